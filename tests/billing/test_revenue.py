"""Revenue by month: ties to the ledger to the picodollar, whatever happened."""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from billing import charges, closing, credit_notes, exchange, revenue
from billing.charges import Wanted
from billing.exchange import Rate
from billing.invoice_events import Said
from billing.meters import Usage
from billing.models import LedgerEntry
from billing.money import minor_to_pico
from billing.periods import month_of
from billing.revenue import RevenueProblem
from portal.models import Tenant, User
from portal.tenancy import as_operator
from tests.billing.world import USD, World

MARCH, APRIL, MAY = (datetime(2027, month, 1, tzinfo=UTC) for month in (3, 4, 5))


def lived(mode: str, currency: str = "USD") -> World:
    """March: calls, a charge, the invoice and a credit note of a part of it; a call of March that comes late."""
    world = World(mode=mode, credit=50 * USD, zone="UTC")
    with as_operator():
        Tenant.objects.filter(pk=world.tenant.pk).update(currency=currency)
        world.tenant.refresh_from_db()
        if currency != "USD":
            exchange.keep(Rate(currency, 86_957, 100_000, world.clock.date(), "ECB"), now=world.clock)
    for _ in range(5):
        world.use(Usage(input=random.randrange(10**7), output=random.randrange(10**6)))
        world.clock += timedelta(days=3)
    world.post()
    late = world.clock - timedelta(days=1)
    with as_operator():
        month = month_of(world.clock, "UTC")
        wanted = Wanted("other", "support", "Support", 3 * USD)
        charges.bring_to(tenant=world.tenant, period=month, wanted=wanted, now=world.clock)
        world.clock = APRIL + timedelta(days=1)
        invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        first = invoice.lines.order_by("position")[0]
        said = Said(reason="wrong", actor="")
        credit_notes.issue(invoice=invoice, amounts={first.pk: first.amount // 3}, said=said, now=world.clock)
    world.use(Usage(output=777), at=late)
    world.post()
    return world


def credited(world: World) -> int:
    """What the account ``revenue`` was credited with for a tenant, by the plainest reading."""
    entries = LedgerEntry.objects.filter(tenant_id=world.tenant.pk, account__kind="revenue")
    return -sum(int(entry.amount) for entry in entries)


@pytest.mark.django_db
@pytest.mark.parametrize("basis", ["effective", "posted"])
@pytest.mark.parametrize(("mode", "currency"), [("postpaid", "USD"), ("prepaid", "USD"), ("postpaid", "EUR")])
def test_the_months_add_up_to_the_ledger(mode: str, currency: str, basis: str) -> None:
    world = lived(mode, currency)
    with as_operator():
        months = revenue.by_month(first=MARCH, until=MAY, basis=basis, tenant_id=world.tenant.pk)
        assert [month.name for month in months] == ["2027-03", "2027-04"]
        assert sum(month.total for month in months) == credited(world)
        assert months[-1].deferred == (-world.balance("wallet") if mode == "prepaid" else 0)
        entries = LedgerEntry.objects.filter(tenant_id=world.tenant.pk, account__kind="receivable")
        owed = sum(int(entry.amount) for entry in entries)
        assert sum(months[-1].receivable.values()) == owed
        late = 777 * 600_000
        assert sum(month.accrued for month in months) == late
        assert sum(month.late for month in months) == late


@pytest.mark.django_db
def test_late_usage_counts_in_its_month_and_was_written_in_the_next() -> None:
    world = lived("postpaid")
    late = 777 * 600_000
    with as_operator():
        counts = revenue.by_month(first=MARCH, until=MAY, tenant_id=world.tenant.pk)
        written = revenue.by_month(first=MARCH, until=MAY, basis="posted", tenant_id=world.tenant.pk)
    assert counts[0].earned["usage"] - written[0].earned["usage"] == late
    assert written[1].earned["usage"] == late
    assert (counts[0].late, counts[0].accrued, written[1].accrued) == (late, late, late)
    assert counts[0].earned["charge"] == 3 * USD
    assert counts[1].earned["credit_note"] < 0


@pytest.mark.django_db
def test_the_tenants_of_a_month_add_up_to_it() -> None:
    worlds = [lived("postpaid"), lived("prepaid"), lived("postpaid", "EUR")]
    with as_operator():
        (march,) = revenue.by_month(first=MARCH, until=APRIL)
        tenants = revenue.by_tenant(first=MARCH, until=APRIL)
    assert sum(one.total for one in tenants) == march.total
    assert sum(one.accrued for one in tenants) == march.accrued
    mine = {one.name: one for one in tenants}
    assert all(mine[world.tenant.slug].total > 0 for world in worlds)


@pytest.mark.django_db
def test_money_received_and_tax_keep_their_currency() -> None:
    world = lived("postpaid", "EUR")
    with as_operator():
        months = revenue.by_month(first=MARCH, until=MAY, tenant_id=world.tenant.pk)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(CASE kind WHEN 'invoice' THEN total ELSE -total END) FROM billing_invoice "
                "WHERE tenant_id = %s AND number IS NOT NULL",
                [world.tenant.pk],
            )
            (total,) = cursor.fetchone()
    assert months[-1].receivable == {"EUR": minor_to_pico(int(total), "EUR")}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("first", "until", "basis"),
    [(MARCH, MAY, "other"), (MAY, MARCH, "posted"), (MARCH, datetime(2031, 1, 1, tzinfo=UTC), "posted")],
)
def test_it_refuses_what_it_does_not_answer(first: datetime, until: datetime, basis: str) -> None:
    with pytest.raises(RevenueProblem):
        revenue.by_month(first=first, until=until, basis=basis)


@pytest.fixture
def operator(db: None) -> Client:
    with as_operator():
        user = User.objects.create_superuser("op@tollgate.test", "x" * 12)
    client = Client()
    client.force_login(user)
    return client


def test_operators_see_it_and_open_a_month(operator: Client) -> None:
    world = lived("postpaid", "EUR")
    address, asked = reverse("admin:billing_revenue"), {"first": "2027-03", "last": "2027-04"}
    page = operator.get(address, asked).content.decode()
    assert "?month=2027-03" in page
    assert " EUR" in page
    table = operator.get(address, {**asked, "format": "csv"}).content.decode()
    with as_operator():
        months = revenue.by_month(first=MARCH, until=MAY)
    head, *rows = [line.split(",") for line in table.strip().splitlines()]
    assert [row[0] for row in rows] == ["2027-03", "2027-04"]
    place = head.index("earned_usd")
    assert [Decimal(row[place]) * USD for row in rows] == [month.total for month in months]
    assert "receivable_eur" in head
    opened = operator.get(address, {"month": "2027-03"}).content.decode()
    assert world.tenant.slug in opened


@pytest.mark.parametrize(
    "asked", [{"first": "x"}, {"last": "9999-12"}, {"basis": "secret"}, {"month": "2027-13"}, {"first": "1900-01"}]
)
def test_operators_are_told_what_is_wrong(operator: Client, asked: dict[str, str]) -> None:
    answer = operator.get(reverse("admin:billing_revenue"), asked)
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()


def exported(file: Path, *options: str) -> list[dict[str, str]]:
    call_command("export", "revenue", str(file), "--from", "2027-03", "--to", "2027-04", *options)
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.mark.django_db
@pytest.mark.parametrize("basis", ["effective", "posted"])
def test_the_command_writes_what_independent_sql_adds_up(tmp_path: Path, basis: str) -> None:
    worlds = [lived("postpaid"), lived("prepaid"), lived("postpaid", "EUR")]
    with as_operator():
        rows = exported(tmp_path / "revenue.csv", "--basis", basis)
        mine = [exported(tmp_path / "one.csv", "--basis", basis, "--tenant", world.tenant.slug) for world in worlds]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT to_char(CASE %s WHEN 'posted' THEN posted_at ELSE effective_at END AT TIME ZONE 'UTC', "
                "'YYYY-MM') AS month, -sum(amount) FROM billing_transfer t, billing_ledgerentry e "
                "WHERE e.transfer_id = t.id AND e.account_id IN (SELECT id FROM billing_ledgeraccount "
                "WHERE kind = 'revenue' AND tenant_id IS NULL) GROUP BY month",
                [basis],
            )
            booked = {month: int(amount) for month, amount in cursor.fetchall()}
    assert [row["month"] for row in rows] == ["2027-03", "2027-04"]
    for place, row in enumerate(rows):
        assert Decimal(row["earned_usd"]) * USD == booked[row["month"]]
        assert Decimal(row["invoiced_usd"]) + Decimal(row["accrued_usd"]) == Decimal(row["earned_usd"])
        assert sum(Decimal(each[place]["earned_usd"]) for each in mine) == Decimal(row["earned_usd"])
    assert Decimal(rows[-1]["receivable_eur"]) > 0
