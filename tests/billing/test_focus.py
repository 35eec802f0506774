"""The FOCUS dataset: its rules, each invoice's total to the minor unit, and every row in one month."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet
import pytest
from django.test import override_settings

from billing import catalog
from billing.exports import files
from billing.exports.columns import Type
from billing.exports.focus.columns import FOCUS
from billing.exports.focus.dataset import DATASETS
from billing.exports.kinds import EXPORTS
from billing.exports.span import Span
from billing.meters import Usage
from billing.models import Invoice, PriceBook
from billing.money import format_minor
from portal.tenancy import as_operator, as_tenant
from tests.billing.focus_rules import broken
from tests.billing.lived_month import SELLER, lived
from tests.billing.world import World

pytestmark = pytest.mark.django_db


def span_of(world: World, first: str, last: str) -> Span:
    return Span.named(world.tenant, first, last)


def texts(world: World, first: str = "2027-03", last: str = "2027-05", name: str = "focus") -> list[dict[str, str]]:
    export = EXPORTS[name]
    with as_tenant(world.tenant.pk):
        parts = b"".join(files.csv_parts(export.columns, export.pages(span_of(world, first, last))))
    return list(csv.DictReader(io.StringIO(parts.decode(), newline="")))


def table(world: World, name: str = "focus") -> list[dict[str, Any]]:
    export, target = EXPORTS[name], io.BytesIO()
    with as_tenant(world.tenant.pk):
        files.write_parquet(target, export.columns, export.pages(span_of(world, "2027-03", "2027-05")))
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(target.getvalue())).to_pylist()
    return rows


def billed(rows: list[dict[str, str]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in rows:
        found[row["InvoiceId"]] = found.get(row["InvoiceId"], Decimal(0)) + Decimal(row["BilledCost"])
    return found


@pytest.fixture(autouse=True)
def seller() -> Iterator[None]:
    with override_settings(SELLER=SELLER):
        yield


@pytest.mark.parametrize("name", [dataset.name for dataset in DATASETS])
@pytest.mark.parametrize(
    ("mode", "currency"), [("postpaid", "USD"), ("prepaid", "USD"), ("postpaid", "EUR"), ("postpaid", "JPY")]
)
def test_it_keeps_the_rules_and_sums_to_each_invoice(mode: str, currency: str, name: str) -> None:
    world = lived(mode, currency)
    rows = texts(world, name=name)
    assert broken(rows) == []
    with as_operator():
        issued = Invoice.objects.filter(tenant_id=world.tenant.pk, number__isnull=False)
        totals = {
            str(one.number): Decimal(format_minor(one.total, currency)) * (1 if one.kind == "invoice" else -1)
            for one in issued
        }
    assert len(totals) == 3
    sums = billed(rows)
    open_sum = sums.pop("")
    assert sums == totals
    assert open_sum > 0
    categories = Counter(row["ChargeCategory"] for row in rows)
    assert set(categories) == {"Usage", "Purchase", "Credit", "Adjustment", "Tax"}


def test_invariant_33_parquet_holds_what_csv_does() -> None:
    world = lived(currency="EUR")
    rows, whole = texts(world), table(world)
    assert len(rows) == len(whole)
    for text, row in zip(rows, whole, strict=True):
        for column in FOCUS:
            value = row[column.name]
            if value is None:
                assert text[column.name] == ""
            elif column.type is Type.DECIMAL:
                assert Decimal(text[column.name]) == value
            elif column.type is Type.SECOND:
                assert datetime.fromisoformat(text[column.name]) == value
            else:
                assert text[column.name] == value


def test_each_row_is_in_one_month_whatever_months_are_asked_for() -> None:
    world = lived()
    each = [row for label in ("2027-03", "2027-04", "2027-05") for row in texts(world, label, label)]
    assert Counter(map(str, each)) == Counter(map(str, texts(world)))
    late = [
        row for row in each if row["ChargePeriodStart"] < "2027-03-31T22" and row["BillingPeriodStart"] > "2027-03-31"
    ]
    assert [row["ConsumedQuantity"] for row in late] == ["777"]
    assert {row["ChargeClass"] for row in late} == {""}


def test_hours_are_those_of_the_tenants_day() -> None:
    world = lived()
    hours, days = texts(world, name="focus-hourly"), texts(world)
    assert billed(hours) == billed(days)
    used = [row for row in hours if row["ConsumedQuantity"]]
    for row in used:
        start, end = (datetime.fromisoformat(row[f"ChargePeriod{side}"]) for side in ("Start", "End"))
        assert end - start == timedelta(hours=1)
    assert "2027-03-10T12:00:00Z" in {row["ChargePeriodStart"] for row in used}
    assert "2027-03-09T23:00:00Z" in {row["ChargePeriodStart"] for row in days}


def test_a_tenants_own_price_is_beside_the_public_one() -> None:
    world = World()
    with as_operator():
        public = world.price
        book = PriceBook.objects.create(tenant=world.tenant, name="own")
        made = catalog.publish(
            book=book, model=world.model, prices={"input": 100_000, "output": 400_000}, effective_from=world.clock,
            now=world.clock,
        )  # fmt: skip
        assert made is not None
        world.price = catalog.versions_by_id([made.pk])[made.pk]
    world.use(Usage(input=3_000_000))
    (row,) = texts(world)
    assert (row["ContractedUnitPrice"], row["ListUnitPrice"]) == ("0.1", "0.15")
    assert (row["BilledCost"], row["ContractedCost"], row["ListCost"]) == ("0.3", "0.3", "0.45")
    assert (row["PricingQuantity"], row["PricingUnit"], row["ConsumedQuantity"]) == ("3", "1000000 Tokens", "3000000")
    assert row["SkuPriceId"] == f"{made.pk}/input"
    assert public.id != made.pk


def test_invariant_32_a_tenant_sees_its_own_rows_alone() -> None:
    world, other = lived(), World()
    export = EXPORTS["focus"]
    with as_tenant(other.tenant.pk):
        assert list(export.pages(span_of(world, "2027-03", "2027-05"))) == []
