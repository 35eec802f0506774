"""The spine: one call by the SDK, from API key to event, ledger, roll-up and the PDF of the invoice."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from pypdf import PdfReader

from tests.control import Control
from tests.deadline import until
from tests.product import Product

pytestmark = pytest.mark.timeout(240)
PRICES = {"input": "1500.00", "cache_read": "375.00", "output": "6000.00", "reasoning": "9000.00"}
CALLS = (("cached-3", False), ("reasoning", True), ("echo", True), ("echo", False))


def test_calls_become_an_invoice_of_their_sum(product: Callable[..., Product]) -> None:
    own = product(workers=1)
    control = Control(own)
    try:
        offer(own, control)
        key = json.loads(control.manage("issue_key", "--tenant", "acme", "--json"))["key"]
        until(lambda: own.post(key, "sandbox/nothing").status_code == 404)
        ids = [call(own, key, kind, stream=stream) for kind, stream in CALLS]
        cost = settled_cost(own, ids)
        month = f"{datetime.now(UTC):%Y-%m}"
        closed = json.loads(
            control.manage("close_period", "--tenant", "acme", "--month", month, "--finalise", "--json")
        )
        check(own, control, closed, cost)
    finally:
        control.stop()


def offer(own: Product, control: Control) -> None:
    """Dear models, so that a few calls make whole cents."""
    parts = [own.upstream_toml()]
    for kind in dict.fromkeys(kind for kind, _ in CALLS):
        toml = own.model_toml(kind)
        for name, price in (("input", "1.00"), ("cache_read", "0.25"), ("output", "4.00"), ("reasoning", "6.00")):
            toml = toml.replace(f'\n{name} = "{price}"', f'\n{name} = "{PRICES[name]}"')
        parts.append(toml)
    tenant = ["[[tenants]]", 'slug = "acme"', 'name = "Acme Müller GmbH"', 'billing = "postpaid"']
    parts.append("\n".join([*tenant, 'credit_limit = "1000.00"', 'timezone = "UTC"', ""]))
    path = own.folder / "offer.toml"
    path.write_text("\n".join(parts))
    control.manage("apply", str(path))


def call(own: Product, key: str, kind: str, *, stream: bool) -> str:
    """One call of the SDK; returns the id it shows."""
    asked: dict[str, Any] = {"model": f"sandbox/{kind}", "max_tokens": 50}
    asked["messages"] = [{"role": "user", "content": "one two three four five"}]
    with own.client(key) as client:
        if not stream:
            return str(client.chat.completions.create(**asked).id)
        chunks = list(client.chat.completions.create(**asked, stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"
        return str(chunks[-1].id)


def settled_cost(own: Product, ids: list[str]) -> int:
    """The exact cost of the calls, once all are settled, by what the sandbox counted."""
    until(lambda: own.query("SELECT count(*) FROM billing_usageevent WHERE state = 'settled'")[0][0] == len(ids))
    price = {name: int(Decimal(text) * 10**6) for name, text in PRICES.items()}
    total = 0
    for shown in ids:
        counted = own.sandbox.stats("req_" + shown.removeprefix("chatcmpl-"))
        cached, reasoning = counted["cached_tokens"], counted["reasoning_tokens"]
        total += (counted["prompt_tokens"] - cached) * price["input"] + cached * price["cache_read"]
        total += (counted["completion_tokens"] - reasoning) * price["output"] + reasoning * price["reasoning"]
    assert own.query("SELECT sum(cost) FROM billing_usageevent")[0][0] == total
    return total


def check(own: Product, control: Control, closed: dict[str, Any], cost: int) -> None:
    """The invoice, its lines, the ledger, the roll-ups, the books and the PDF say the same."""
    cent = Decimal("0.01")
    assert closed["status"] in ("finalised", "paid")
    assert Decimal(closed["exact"]) * 10**12 == cost
    lines = [Decimal(line["exact"]).quantize(cent, ROUND_HALF_UP) for line in closed["lines"]]
    assert [Decimal(line["amount"]) for line in closed["lines"]] == lines
    assert Decimal(closed["total"]) == sum(lines)
    assert abs(Decimal(closed["total"]) - Decimal(cost).scaleb(-12)) <= cent * len(lines) / 2
    assert {line["token_class"] for line in closed["lines"]} >= {"input", "cache_read", "output", "reasoning"}
    assert own.query("SELECT sum(cost) FROM billing_usagerollup")[0][0] == cost
    assert own.query("SELECT count(*) FROM billing_usageevent WHERE transfer_id IS NULL")[0][0] == 0
    assert json.loads(control.manage("check_books", "--json"))["differences"] == []
    text = pdf_text(own, closed["id"])
    for shown in (closed["number"], closed["total"], "Acme Müller GmbH"):
        assert shown in text
    again = json.loads(
        control.manage("close_period", "--tenant", "acme", "--month", closed["period"], "--finalise", "--json")
    )
    assert (again["number"], again["total"]) == (closed["number"], closed["total"])


def pdf_text(own: Product, invoice: int) -> str:
    """What the invoice's PDF says, as the owner of the data typesets it."""
    script = "import sys; from billing.models import Invoice; from billing.invoice_pdf import render; "
    script += f"print(render(Invoice.objects.get(pk={invoice})).hex())"
    printed = own.manage("shell", "--no-imports", "-c", script)
    reader = PdfReader(io.BytesIO(bytes.fromhex(printed.strip().splitlines()[-1])))
    return "\n".join(page.extract_text() for page in reader.pages)
