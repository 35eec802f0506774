"""What the gateway reads back, and receipts made of it: their lines are their amount, and only this key signs them."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import pytest_asyncio
from django.conf import settings
from django.core.management import CommandError, call_command

from billing.meters import COUNTERS, UNIT_PRICES, Usage
from billing.money import PICO_PER_USD
from proxy import receipts
from proxy.errors import Unavailable
from proxy.journal import Journal, Opening, Settlement
from proxy.receipts import ReceiptProblem
from proxy.records import Reader, Room
from proxy.request_id import RequestIds, as_uuid
from tests.deadline import until
from tests.proxy.rows import Rows

UNIT = 1_000
KEY = receipts.signing_key("m" * 40)


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Rows(connection, database_url)


class Desk:
    """A tenant with a wallet and a price, calls of it, and what can be read of them."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        self.rows = rows
        self.tenant = rows.tenant()
        self.wallet = rows.allowance(self.tenant, 10**15)
        self.price = rows.price(UNIT, per_request=7, per_web_search=11, per_image=13)
        self.journal = Journal(rows.url, folder, delivered=list)
        self.reader = Reader(rows.url)
        self.ids = RequestIds()

    async def open(self, hold: int = 10**9, allowances: tuple[int, ...] = (), **fields: Any) -> Opening | None:
        now = datetime.now(UTC)
        literal = "{" + ",".join(map(str, (self.wallet, *allowances))) + "}"
        opening = Opening(
            as_uuid(self.ids.next()), self.tenant, 1, 5, "m-1", "alias", self.price, False, now,
            now + timedelta(minutes=5), hold, 3, literal, **fields,
        )  # fmt: skip
        return opening if await self.journal.open(opening) is None else None

    async def settle(self, opening: Opening, usage: Usage, **fields: Any) -> None:
        counts = (*usage, usage.prompt_tokens, usage.completion_tokens, 2, 200, 10, 30, 77, 4)
        end = Settlement(
            opening.id, self.tenant, "settled", "exact", cost_of(usage), 0, "sandbox", "m-up", "", "stop", counts
        )
        self.journal.settle(end._replace(**fields))
        state = "SELECT state <> 'open' FROM billing_usageevent WHERE id = %s::uuid"
        await asyncio.to_thread(until, lambda: self.rows.run(state, opening.id))

    async def used(self, usage: Usage, **fields: Any) -> Opening:
        opening = await self.open()
        assert opening is not None
        await self.settle(opening, usage, **fields)
        return opening

    async def receipt(self, opening: Opening) -> dict[str, Any]:
        row = await self.reader.receipt_row(self.tenant, f"req_{opening.id[:24]}")
        assert row is not None
        return receipts.body(row)


def cost_of(usage: Usage) -> int:
    units = [*(UNIT * place for place in range(1, 11)), 11, 13]
    return sum(count * unit for count, unit in zip(usage, units, strict=True)) + 7


@pytest_asyncio.fixture
async def desk(rows: Rows, tmp_path: Path) -> AsyncIterator[Desk]:
    one = Desk(rows, tmp_path)
    await one.journal.start()
    yield one
    await one.journal.stop(within_s=5)
    await one.reader.close()


def pico(amount: str) -> int:
    whole, _, fraction = amount.partition(".")
    return int(whole) * PICO_PER_USD + int(fraction.ljust(12, "0")) * (-1 if whole.startswith("-") else 1)


@pytest.mark.parametrize("name", COUNTERS)
async def test_the_lines_of_each_class_are_the_amount(desk: Desk, name: str) -> None:
    usage = Usage(**{name: 12_345, "input": 3} if name != "input" else {"input": 12_345})
    receipt = await desk.receipt(await desk.used(usage))
    assert sum(pico(line["amount"]) for line in receipt["lines"]) == cost_of(usage)
    assert pico(receipt["amount"]["amount"]) == pico(receipt["total"]["amount"]) == cost_of(usage)
    counted = {line["class"]: line.get("tokens", line.get("count")) for line in receipt["lines"]}
    assert counted[UNIT_PRICES[name]] == 12_345
    assert counted["per_request"] == 1


async def test_a_receipt_says_what_the_call_was(desk: Desk) -> None:
    opening = await desk.open(operation="messages", run_id="job", input_bytes=9)
    assert opening is not None
    await desk.settle(opening, Usage(*range(1, 13)), reported_model="m-up-0613", route_id=4)
    receipt = await desk.receipt(opening)
    assert sum(pico(line["amount"]) for line in receipt["lines"]) == cost_of(Usage(*range(1, 13)))
    assert (
        receipt.items()
        >= {
            "id": f"req_{opening.id[:24]}",
            "object": "receipt",
            "created": int(opening.opened_at.timestamp()),
            "state": "settled",
            "model": "m-1",
            "requested_model": "alias",
            "operation": "messages",
            "upstream": "sandbox",
            "upstream_model": "m-up",
            "reported_model": "m-up-0613",
            "attempts": 2,
            "status": 200,
            "finish_reason": "stop",
            "error_code": None,
            "basis": "exact",
            "run_id": "job",
            "hold": None,
            "bytes": {"input": 9, "output": 77},
            "timings": {"first_byte_ms": 10, "duration_ms": 30, "overhead_ms": 4},
            "adjustments": [],
        }.items()
    )
    assert receipt["price"]["id"] == desk.price
    assert receipt["price"]["per_million_tokens"]["input"] == "0.001"


async def test_an_open_call_shows_its_hold_and_a_voided_one_costs_nothing(desk: Desk) -> None:
    opening = await desk.open(hold=1_500_000_000_000)
    assert opening is not None
    receipt = await desk.receipt(opening)
    assert (receipt["state"], receipt["settled"], receipt["lines"]) == ("open", None, [])
    assert receipt["hold"] == {"amount": "1.50", "currency": "USD"}
    await desk.settle(opening, Usage(), state="voided", basis=None, cost=0, error_code="bad_gateway")
    receipt = await desk.receipt(opening)
    assert (receipt["state"], receipt["hold"], receipt["lines"]) == ("voided", None, [])
    assert (receipt["amount"]["amount"], receipt["error_code"]) == ("0.00", "bad_gateway")


async def test_true_usage_that_came_late_is_on_the_receipt(desk: Desk) -> None:
    dear = desk.rows.price(UNIT * 2, per_request=70)
    estimate, truth = Usage(input=50), Usage(input=40, output=60)
    opening = await desk.used(estimate, basis="estimated", flags=2)
    true_cost = 40 * UNIT * 2 + 60 * UNIT * 14 + 70
    await desk.settle(opening, truth, cost=true_cost, price_id=dear)
    spent = "SELECT spent FROM billing_allowance WHERE id = %s"
    await asyncio.to_thread(until, lambda: desk.rows.run(spent, desk.wallet) == true_cost)
    receipt = await desk.receipt(opening)
    assert pico(receipt["amount"]["amount"]) == cost_of(estimate)
    assert pico(receipt["total"]["amount"]) == true_cost
    assert [each["price"]["id"] for each in receipt["adjustments"]] == [desk.price, dear]
    for each in receipt["adjustments"]:
        assert sum(pico(line["amount"]) for line in each["lines"]) == pico(each["amount"]["amount"])


async def test_a_call_is_found_by_every_id_it_is_shown_under_by_its_tenant_alone(desk: Desk) -> None:
    digits = (await desk.used(Usage(input=1))).id[:24]
    for shown in (digits, f"req_{digits}", f"chatcmpl-{digits}", f"resp_{digits.upper()}"):
        assert await desk.reader.receipt_row(desk.tenant, shown) is not None
    assert await desk.reader.receipt_row(desk.rows.tenant(), digits) is None
    for wrong in ("", "req_", digits[:-1], f"{digits}0", "z" * 24, "0" * 24, f"req_{digits}'--"):
        assert await desk.reader.receipt_row(desk.tenant, wrong) is None


async def test_a_receipt_tells_nothing_of_how_the_house_is_run(desk: Desk) -> None:
    receipt = await desk.receipt(await desk.used(Usage(input=1)))
    assert not {"owner", "allowances", "transfer_id", "tenant_id", "project_id", "route_id"} & receipt.keys()


async def test_usage_is_summed_by_model_for_one_key(desk: Desk) -> None:
    for usage in (Usage(input=10, output=2), Usage(input=5, cache_read=7)):
        await desk.used(usage)
    await desk.open()
    since, until_ = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    (row,) = await desk.reader.usage_of(desk.tenant, 5, since, until_)
    cost = str(cost_of(Usage(input=15, cache_read=7, output=2)) + 7)
    expected = {"model": "m-1", "requests": 2, "estimated": 0, "input": 15, "cache_read": 7, "output": 2, "cost": cost}
    assert row == dict.fromkeys(COUNTERS, 0) | expected
    assert await desk.reader.usage_of(desk.tenant, 6, since, until_) == []
    assert await desk.reader.usage_of(desk.rows.tenant(), 5, since, until_) == []
    assert await desk.reader.usage_of(desk.tenant, 5, since, since) == []


async def test_room_is_told_of_a_tenants_own_allowances(desk: Desk) -> None:
    await desk.open(hold=100)
    other = desk.rows.allowance(desk.rows.tenant(), 5)
    found = await desk.reader.room_of(desk.tenant, [desk.wallet, other, 10**9])
    assert found == [Room(desk.wallet, 10**15, 0, 100)]
    assert found[0].left == 10**15 - 100


async def test_parallel_calls_of_a_run_admit_exactly_what_fits_its_cap(desk: Desk) -> None:
    rooms = await asyncio.gather(*(desk.journal.ensure_run(desk.tenant, 5, "job", 100) for _ in range(20)))
    (room,) = {found for found in rooms if found is not None}
    assert (room.limit, room.spent, room.held) == (100, 0, 0)
    opened = await asyncio.gather(*(desk.open(7, (room.allowance_id,), run_id="job") for _ in range(50)))
    assert sum(opening is not None for opening in opened) == 100 // 7
    (after,) = await desk.reader.room_of(desk.tenant, [room.allowance_id])
    assert (after.held, after.left) == (98, 2)


async def test_a_call_goes_on_under_another_model_while_it_is_open(desk: Desk) -> None:
    dear = desk.rows.price(UNIT * 2)
    opening = await desk.open()
    assert opening is not None
    assert await desk.journal.reassign(opening.id, desk.tenant, "m-2", dear)
    assert (await desk.receipt(opening)).items() >= {"model": "m-2", "requested_model": "alias"}.items()
    await desk.settle(opening, Usage(input=5), cost=5 * UNIT * 2)
    assert (await desk.receipt(opening))["price"]["id"] == dear
    assert not await desk.journal.reassign(opening.id, desk.tenant, "m-1", desk.price)


async def test_without_the_database_it_says_so() -> None:
    reader = Reader("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(Unavailable):
        await reader.room_of(1, [1])


# -- signatures


RECEIPT = {"id": "req_1", "object": "receipt", "lines": [{"class": "input", "amount": "0.10"}], "model": "modèle"}


def test_a_signature_holds_for_every_word_and_for_its_key_alone() -> None:
    signed = orjson.loads(orjson.dumps(receipts.sign(RECEIPT, KEY)))
    receipts.verify(signed, KEY.public_key())
    receipts.verify(dict(reversed(signed.items())), KEY.public_key())
    stranger = receipts.signing_key("n" * 40)
    forged = receipts.sign(RECEIPT, stranger)
    for changed in (
        signed | {"model": "modele"},
        signed | {"lines": []},
        signed | {"more": 1},
        {name: value for name, value in signed.items() if name != "object"},
        signed | {"signature": signed["signature"] | {"value": "AAAA"}},
        signed | {"signature": forged["signature"]},
        signed | {"signature": forged["signature"] | {"kid": signed["signature"]["kid"]}},
        RECEIPT,
    ):
        with pytest.raises(ReceiptProblem):
            receipts.verify(changed, KEY.public_key())


def test_the_published_keys_verify_what_was_signed() -> None:
    published = orjson.loads(orjson.dumps(receipts.jwks(KEY.public_key())))
    signed = receipts.sign(RECEIPT, KEY)
    receipts.verify(signed, receipts.public_keys(published)[signed["signature"]["kid"]])
    assert published["keys"][0].items() >= {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"}.items()


def test_the_command_tells_a_true_receipt_from_a_changed_one(tmp_path: Path) -> None:
    own = receipts.signing_key(settings.MASTER_KEY)
    file = tmp_path / "receipt.json"
    signed = receipts.sign(RECEIPT, own)
    file.write_text(json.dumps(signed, indent=2))
    printed = io.StringIO()
    call_command("verify_receipt", str(file), stdout=printed)
    assert printed.getvalue().startswith("Valid: req_1")
    wrong: tuple[object, ...] = (signed | {"model": "x"}, RECEIPT, receipts.sign(RECEIPT, KEY), [])
    for changed in wrong:
        file.write_text(json.dumps(changed))
        with pytest.raises(CommandError):
            call_command("verify_receipt", str(file))


def test_the_command_takes_a_published_key_set_and_standard_input(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(orjson.dumps(receipts.jwks(KEY.public_key())))
    command = [sys.executable, "manage.py", "verify_receipt", "--keys", str(keys)]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(command, cwd=root, input=orjson.dumps(receipts.sign(RECEIPT, KEY)), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"Valid: req_1")
