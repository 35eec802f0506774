"""What is checked of the books before a month gets its number: the months that are not closed, and the wallet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing import books, closing, invoices, posted, tasks
from billing.meters import Usage
from billing.models import Invoice
from portal.tenancy import as_operator
from tests.billing.world import World, as_role, run


@pytest.fixture
def two_months(world: World) -> World:
    """A month with an invoice, and one that is being drafted; a correction of the first came too late for it."""
    late = world.opening()
    world.open([late])
    world.sweep()
    world.use(Usage(input=10**6, cache_read=5))
    with as_operator():
        closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
    world.clock += timedelta(days=31)
    world.use(Usage(input=10**5, output=7))
    return world


def draft(world: World) -> Invoice:
    with as_operator():
        return closing.draft(tenant=world.tenant, month="2027-04", now=world.clock)


def found(world: World, invoice: Invoice) -> set[str]:
    with as_operator():
        report = books.check(tenant_id=world.tenant.id, since=posted.begins(invoice))
    return {difference.check for difference in report.differences}


def test_the_open_months_alone_are_read(two_months: World) -> None:
    invoice = draft(two_months)
    with as_operator():
        report = books.check(tenant_id=two_months.tenant.id, since=posted.begins(invoice))
    assert ([row.period for row in report.sums], report.differences) == (["2027-04"], ())
    assert report.sums[0].agree


def test_31_a_closed_month_is_read_again_when_something_of_it_is_on_the_draft(two_months: World) -> None:
    two_months.use(Usage(input=77), at=two_months.clock - timedelta(days=31))
    invoice = draft(two_months)
    with as_operator():
        report = books.check(tenant_id=two_months.tenant.id, since=posted.begins(invoice))
    assert [row.period for row in report.sums] == ["2027-03", "2027-04"]
    assert report.differences == ()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE billing_usageevent SET cost = cost + 1 WHERE output = 7 AND {mine}",
        "UPDATE billing_usageevent SET input = input + 1, prompt_tokens = prompt_tokens + 1 "
        "WHERE output = 7 AND {mine}",
        "UPDATE billing_usageevent SET transfer_id = NULL WHERE output = 7 AND {mine}",
        "DELETE FROM billing_usageevent WHERE output = 7 AND {mine}",
        "UPDATE billing_usagerollup SET requests = requests + 1 WHERE output = 7 AND {mine}",
        "UPDATE billing_usagerollup SET cost = cost + 1 WHERE output = 7 AND {mine}",
        "UPDATE billing_allowance SET spent = spent + 1 WHERE kind = 'wallet' AND {mine}",
        "UPDATE billing_allowance SET held = held + 1 WHERE kind = 'wallet' AND {mine}",
        "UPDATE billing_invoiceline SET exact = exact + 1 WHERE {mine} AND invoice_id IN "
        "(SELECT id FROM billing_invoice WHERE status = 'draft')",
        "DELETE FROM billing_invoicedtransfer WHERE {mine} AND invoice_id IN "
        "(SELECT id FROM billing_invoice WHERE status = 'draft')",
    ],
)
def test_what_is_wrong_in_an_open_month_is_found(two_months: World, tampering: str) -> None:
    invoice = draft(two_months)
    with as_role("none"):
        assert run(tampering.replace("{mine}", f"tenant_id = {two_months.tenant.id}"))
    assert found(two_months, invoice)


def test_what_is_wrong_in_a_closed_month_is_found_by_the_nightly_check(two_months: World) -> None:
    invoice = draft(two_months)
    with as_role("none"):
        run("UPDATE billing_usagerollup SET cost = cost + 1 WHERE cache_read = 5 AND tenant_id = %s",
            two_months.tenant.id)  # fmt: skip
    assert found(two_months, invoice) == set()
    with as_operator():
        assert books.check(tenant_id=two_months.tenant.id).differences


def test_a_tenant_that_moved_is_read_whole(two_months: World) -> None:
    with as_operator():
        type(two_months.tenant).objects.filter(pk=two_months.tenant.pk).update(timezone="Asia/Tokyo")
        two_months.tenant.refresh_from_db()
        invoice = invoices.draft(tenant=two_months.tenant, month="2027-04", now=two_months.clock)
        assert posted.begins(invoice) is None


@pytest.mark.parametrize("backwards", [False, True])
def test_28_months_are_closed_from_both_ends_of_the_list_once(
    two_months: World, monkeypatch: pytest.MonkeyPatch, backwards: bool
) -> None:
    other = World()
    other.use(Usage(input=10**6))
    monkeypatch.setattr(tasks, "current_time", lambda: two_months.clock + timedelta(days=31))
    with as_operator():
        tasks.close_periods.run(backwards=backwards)
        tasks.close_periods.run(backwards=not backwards)
        made = Invoice.objects.exclude(number=None).order_by("tenant", "id")
        labels = [(invoice.tenant_id, invoice.period_label) for invoice in made]
    assert len(labels) == len(set(labels)) == 3
