"""Row-level security: a tenant sees, sums and writes its own rows only, whatever the code asks for."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from billing import budgets, catalog, closing, invoice_pdf, reports
from billing.meters import Usage
from billing.models import Allowance, Budget, Invoice, PriceBook
from portal.tenancy import as_operator, as_tenant
from tests.billing.world import USD, World, as_role, run

TABLES = (
    "billing_usageevent",
    "billing_usagerollup",
    "billing_usageadjustment",
    "billing_budget",
    "billing_wallet",
    "billing_allowance",
    "billing_transfer",
    "billing_ledgerentry",
    "billing_invoice",
    "billing_invoiceline",
    "billing_invoicedtransfer",
)


@pytest.fixture
def pair(db: None) -> tuple[World, World]:
    """Two tenants with a row in every table."""
    worlds = World(), World()
    for world in worlds:
        world.set_budget(50 * USD)
        late = world.opening()
        world.open([late])
        world.sweep()
        world.settle([world.ending(late, Usage(input=5))])
        world.use(Usage(input=10**6))
        with as_operator():
            closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
    return worlds


def tenants_in(table: str) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT tenant_id FROM {table}")  # noqa: S608
        return {row[0] for row in cursor.fetchall()}


@pytest.mark.parametrize("table", TABLES)
def test_invariant_32_a_tenant_sees_only_its_own_rows(pair: tuple[World, World], table: str) -> None:
    mine, other = pair
    with as_operator():
        assert tenants_in(table) >= {mine.tenant.id, other.tenant.id}
    with as_tenant(mine.tenant.id):
        assert tenants_in(table) == {mine.tenant.id}
    with as_role("tollgate_portal"):
        assert tenants_in(table) == set()


def test_invariant_32_a_tenant_sums_only_its_own_rows(pair: tuple[World, World]) -> None:
    mine, other = pair
    start, end = mine.clock.replace(day=1), mine.clock.replace(day=28)
    with as_operator():
        own = reports.totals(tenant_id=mine.tenant.id, start=start, end=end)
    with as_tenant(mine.tenant.id):
        assert reports.totals(tenant_id=mine.tenant.id, start=start, end=end) == own
        assert reports.totals(tenant_id=other.tenant.id, start=start, end=end) == reports.Totals()
        assert reports.calls(tenant_id=other.tenant.id) == []
        assert reports.limits(tenant_id=other.tenant.id, now=mine.clock) == []
        assert list(reports.invoices(tenant_id=other.tenant.id)) == []
        shown = str(other.event(other.use(Usage(input=1))))
        assert reports.call(tenant_id=other.tenant.id, shown_id=shown) is None


def test_invariant_32_a_tenant_can_draw_its_own_invoice(pair: tuple[World, World]) -> None:
    mine, _other = pair
    with as_tenant(mine.tenant.id):
        assert invoice_pdf.render(Invoice.objects.get()).startswith(b"%PDF")


def test_invariant_32_the_partitions_of_the_journal_are_closed_to_everyone(pair: tuple[World, World]) -> None:
    for role in ("tollgate_portal", "tollgate_operator", "tollgate_gateway"):
        with pytest.raises(DatabaseError, match="permission denied"), as_role(role):
            run("SELECT * FROM billing_usageevent_2027_03")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_usageevent SET cost = 0",
        "UPDATE billing_usageevent SET transfer_id = NULL",
        "UPDATE billing_allowance SET spent = 0",
        "UPDATE billing_allowance SET held = 0",
        "UPDATE billing_wallet SET credit_limit = 1",
        "UPDATE billing_usagerollup SET cost = 0",
        "INSERT INTO billing_transfer (tenant_id, kind, key, effective_at, posted_at, memo) "
        "SELECT id, 'top_up', 'mine', now(), now(), '' FROM portal_tenant",
        "UPDATE billing_invoice SET status = 'paid'",
        "SELECT * FROM billing_invoiceseries",
        "SELECT * FROM billing_journalowner",
        "SELECT charge_wallet(1, -1000000)",
        "SELECT ensure_run(1, 1, 'job', 10)",
        "SELECT forget_runs(now())",
        "SELECT reassign_usage(NULL, 1, 'm', 1)",
        "SELECT usage_receipt(1, NULL)",
        "SELECT drop_idempotency(1, 'key', 'request', NULL)",
        "SELECT settle_usage('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    ],
)
def test_invariant_32_the_portal_cannot_write_money(pair: tuple[World, World], statement: str) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), as_tenant(pair[0].tenant.id):
        run(statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE billing_usageevent SET cost = 0", "UPDATE billing_allowance SET held = 0"]
)
def test_invariant_32_not_even_the_operator_writes_events_or_holds(pair: tuple[World, World], statement: str) -> None:
    for role in ("tollgate_operator", "tollgate_gateway"):
        with pytest.raises(DatabaseError, match="permission denied"), as_role(role):
            run(statement)


def test_invariant_32_the_portal_sets_budgets_of_its_tenant_and_no_wallet(pair: tuple[World, World]) -> None:
    mine, other = pair
    with as_tenant(mine.tenant.id):
        budget = budgets.set_budget(
            tenant=mine.tenant, scope="tenant", scope_id=mine.tenant.id, window="month", limit=7, now=mine.clock
        )
        assert {int(row.limit) for row in Allowance.objects.filter(budget=budget, ends_at__gt=mine.clock)} == {7}
        assert Allowance.objects.filter(budget=None).update(limit=10**30) == 0
        assert Allowance.objects.filter(tenant=other.tenant).update(limit=10**30) == 0
        assert Budget.objects.filter(tenant=other.tenant).update(limit=10**30) == 0
        with pytest.raises(DatabaseError), transaction.atomic():
            Allowance.objects.create(tenant=other.tenant, budget=budget, starts_at=mine.clock, limit=1)
        with pytest.raises(DatabaseError), transaction.atomic():
            Allowance.objects.create(tenant=mine.tenant, budget=budget, starts_at=mine.clock, limit=9, spent=-9)
    assert mine.wallet().limit == 100 * USD


def test_invariant_32_a_tenants_own_prices_are_its_own_secret(pair: tuple[World, World]) -> None:
    mine, other = pair
    with as_operator():
        book = PriceBook.objects.create(tenant=mine.tenant, name="Contract")
        catalog.publish(
            book=book, model="secret", prices={"input": 1, "output": 1}, effective_from=mine.clock, now=mine.clock
        )
    for tenant, versions in ((mine.tenant, 1), (other.tenant, 0)):
        with as_tenant(tenant.id):
            assert len(catalog.price_list(book, "secret").versions) == versions
            assert catalog.price_list(catalog.default_book(), mine.model).versions
