"""``manage.py import_prices --costs``: what an upstream charges us, proposed and written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.utils.timezone import now

from billing import costs
from billing.models import CostPrice, Price
from portal.models import AuditEntry
from portal.tenancy import as_operator
from proxy.models import Model, Route, Upstream
from tests.proxy.commands import run

SMALL = Path(__file__).with_name("price_files") / "small.json"

pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> Iterator[Upstream]:
    with as_operator():
        upstream = Upstream.objects.create(name="house", base_url="https://api.house.test/v1")
        for name, theirs in (("swift", "house-mini"), ("large", "house-large"), ("odd", "nobody-has-it")):
            model = Model.objects.create(name=name, context_window=1000, max_output_tokens=100)
            Route.objects.create(model=model, upstream=upstream, upstream_model=theirs)
        yield upstream


def told(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("import_prices", str(SMALL), "--costs", "house", "--json", *arguments))
    return {one["model"]: one for one in found["costs"]} | {"applied": found["applied"]}


def test_it_proposes_costs_of_the_upstreams_own_models_and_writes_nothing(house: Upstream) -> None:
    found = told()
    assert {name: found[name]["status"] for name in ("house-mini", "house-large", "nobody-has-it")} == {
        "house-mini": "new", "house-large": "new", "nobody-has-it": "missing",
    }  # fmt: skip
    large = {part["name"]: part["new"] for part in found["house-large"]["costs"]}
    assert (large["input"], large["cache_write_1h"], large["per_web_search"]) == ("3.00", "6.00", "0.01")
    assert not CostPrice.objects.exists()


def test_it_writes_them_once_and_touches_no_price(house: Upstream) -> None:
    assert told("--apply")["applied"] == ["house-large", "house-mini"]
    assert told("--apply")["applied"] == []
    stored = CostPrice.objects.get(upstream_model="house-mini")
    assert (stored.input, stored.cache_read, stored.output, stored.source) == (150_000, 75_000, 600_000, "import")
    assert AuditEntry.objects.get(action="cost.import").subject == "house"
    assert not Price.objects.exists()


def test_a_cost_of_the_operators_own_stays(house: Upstream) -> None:
    costs.record(upstream="house", upstream_model="house-mini", costs={"input": 1}, effective_from=now(), now=now())
    found = told("--apply", "--only", "house-mini")
    assert (found["house-mini"]["status"], found["applied"]) == ("yours", [])
    assert "You entered this cost yourself" in run("import_prices", str(SMALL), "--costs", "house")


def test_a_cost_that_jumps_is_not_taken_unseen(house: Upstream) -> None:
    costs.record(
        upstream="house", upstream_model="house-mini", costs={"input": 1, "output": 4}, effective_from=now(), now=now(),
        source="import",
    )  # fmt: skip
    found = told("--apply", "--only", "house-mini")
    assert (found["house-mini"]["status"], found["applied"]) == ("suspicious", [])


def test_it_says_which_upstreams_there_are(house: Upstream) -> None:
    with pytest.raises(CommandError, match="there are: house"):
        run("import_prices", str(SMALL), "--costs", "mouse")
