"""The check of the books finds whatever is wrong, says where, and the commands report it."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from billing import books, closing, journal, tasks
from billing.management.commands import close_period
from billing.meters import Usage
from billing.models import Invoice
from portal.tenancy import as_operator
from tests.billing.world import World, as_role, run


@pytest.fixture
def busy(world: World) -> World:
    """A tenant with usage in every stage: invoiced, drafted, posted, settled, open; swept and corrected."""
    late = world.opening()
    world.open([late])
    world.sweep()
    world.settle([world.ending(late, Usage(input=5))])
    world.use(Usage(input=10**6))
    with as_operator():
        closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        world.use(Usage(input=10**5))
        closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    world.use(Usage(output=10**5))
    world.post()
    world.use(Usage(reasoning=10**5))
    with as_role("tollgate_gateway"):
        journal.beat(world.owner)
    running = world.opening()
    world.open([running])
    return world


def found(world: World) -> set[str]:
    with as_operator():
        return {difference.check for difference in books.check(tenant_id=world.tenant.id).differences}


def test_books_with_usage_in_every_stage_balance(busy: World) -> None:
    with as_operator():
        report = books.check(tenant_id=busy.tenant.id)
    assert report.differences == ()
    (sums,) = report.sums
    assert sums.a_events == sums.b_rollups == sums.c_ledger == sums.d_invoices > 0


@pytest.mark.parametrize(
    ("tampering", "expected"),
    [
        ("UPDATE billing_usageevent SET cost = cost + 1 WHERE state = 'settled' AND swept = false AND {mine}", "A = B"),
        ("UPDATE billing_usagerollup SET cost = cost - 1 WHERE {mine}", "roll-ups"),
        ("DELETE FROM billing_usagerollup WHERE {mine}", "A = B"),
        ("UPDATE billing_allowance SET held = held + 1 WHERE {mine}", "open holds"),
        ("UPDATE billing_allowance SET spent = spent - 1 WHERE {mine}", "spent"),
        ('UPDATE billing_allowance SET "limit" = "limit" + 1 WHERE {mine}', "wallet limit"),
        ("UPDATE billing_usageevent SET transfer_id = NULL WHERE {mine}", "in its own tenant's usage transfer"),
        ("UPDATE billing_usageevent SET input = input + 1, prompt_tokens = prompt_tokens + 1 "
         "WHERE state = 'settled' AND {mine}", "cost = tokens"),
        ("UPDATE billing_usageevent SET opened_at = opened_at - interval '1 year', "
         "deadline_at = now() - interval '1 hour' WHERE state = 'open' AND {mine}", "living owner"),
        ("DELETE FROM billing_usageevent WHERE state = 'settled' AND {mine}", "A = B"),
        ("INSERT INTO billing_usageevent SELECT (e).* FROM (SELECT jsonb_populate_record(e, jsonb_build_object('id', "
         "gen_random_uuid(), 'id', left(e.id::text, 24) || '0123456789ab')) AS e FROM billing_usageevent e "
         "WHERE state = 'settled' AND {mine} LIMIT 1) x", "A = B"),
        ("UPDATE billing_invoiceline SET exact = exact + 1 WHERE {mine} AND invoice_id IN "
         "(SELECT id FROM billing_invoice WHERE status = 'draft')", "invoice = its lines"),
        ("DELETE FROM billing_invoicedtransfer WHERE {mine} AND invoice_id IN "
         "(SELECT id FROM billing_invoice WHERE status = 'draft')", "A = B"),
    ],
)  # fmt: skip
def test_any_tampering_is_found(busy: World, tampering: str, expected: str) -> None:
    with as_role("none"):
        touched = run(tampering.replace("{mine}", f"tenant_id = {busy.tenant.id}"))
    assert touched
    assert any(check.startswith(expected) or expected in check for check in found(busy)), found(busy)


def test_an_entry_that_unbalances_a_transfer_is_found(busy: World) -> None:
    with as_role("none"):
        run("SET CONSTRAINTS ALL IMMEDIATE")
        run("ALTER TABLE billing_ledgerentry DISABLE TRIGGER zero_sum")
        run(
            "INSERT INTO billing_ledgerentry (transfer_id, tenant_id, account_id, currency, amount) "
            "SELECT transfer_id, tenant_id, account_id, currency, 1 FROM billing_ledgerentry "
            "WHERE tenant_id = %s LIMIT 1",
            busy.tenant.id,
        )
        run("SET CONSTRAINTS ALL IMMEDIATE")
        run("ALTER TABLE billing_ledgerentry ENABLE TRIGGER zero_sum")
    assert "transfers sum to zero" in found(busy)


def test_a_gap_in_the_numbers_is_found(busy: World) -> None:
    with as_operator():
        run("UPDATE billing_invoiceseries SET last_number = last_number + 1")
        checks = {difference.check for difference in books.check().differences}
    assert "invoice numbers have no gaps" in checks


def test_a_tenant_that_moved_to_another_zone_still_balances(busy: World) -> None:
    with as_operator():
        type(busy.tenant).objects.filter(pk=busy.tenant.pk).update(timezone="Pacific/Kiritimati")
        (sums,) = books.check(tenant_id=busy.tenant.id).sums
    assert sums.period == "all"
    assert sums.agree


# -- commands


def command(*arguments: str) -> str:
    out = StringIO()
    with as_operator():
        call_command(*arguments, stdout=out)
    return out.getvalue()


def test_check_books_says_that_they_balance(busy: World) -> None:
    assert "The books balance." in command("check_books")
    checked = json.loads(command("check_books", "--tenant", busy.tenant.slug, "--json"))
    assert checked["balanced"]
    (sums,) = checked["sums"]
    assert sums["a_events"] == sums["d_invoices"]
    assert sums["period"] == "2027-03"
    assert isinstance(sums["a_events"], str)


def test_check_books_ends_with_status_1_and_a_table_of_differences(busy: World) -> None:
    with as_role("none"):
        run("UPDATE billing_usagerollup SET cost = cost - 1 WHERE tenant_id = %s", busy.tenant.id)
    out = StringIO()
    with pytest.raises(SystemExit) as ended, as_operator():
        call_command("check_books", stdout=out)
    assert ended.value.code == 1
    assert "difference: roll-ups = posted calls" in out.getvalue()


def test_close_period_prints_number_total_and_lines(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(close_period, "now", lambda: world.clock)
    world.use(Usage(input=10**6, output=10**6))
    draft = json.loads(command("close_period", "--tenant", world.tenant.slug, "--month", "2027-03", "--json"))
    assert (draft["number"], draft["status"], draft["total"]) == (None, "draft", "0.75")
    final = json.loads(
        command("close_period", "--tenant", world.tenant.slug, "--month", "2027-03", "--finalise", "--json")
    )
    assert (final["number"], final["status"], final["total"]) == ("INV-2027-00001", "finalised", "0.75")
    assert [(line["token_class"], line["unit_price"], line["amount"]) for line in final["lines"]] == [
        ("input", "0.15", "0.15"),
        ("output", "0.60", "0.60"),
    ]


@pytest.mark.parametrize(
    ("tenant", "month", "says"),
    [("nobody", "2027-03", "no tenant"), ("", "2027-3", "not a month"), ("", "2999-01", "not begun"),
     ("", "2026-01", "Nothing was used")],
)  # fmt: skip
def test_close_period_says_what_is_wrong(world: World, tenant: str, month: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        command("close_period", "--tenant", tenant or world.tenant.slug, "--month", month, "--finalise")


# -- jobs


def test_invariant_34_jobs_can_run_any_number_of_times_with_keywords_they_do_not_know(busy: World) -> None:
    with as_operator():
        for _time in range(2):
            for job in (tasks.prepare, tasks.sweep, tasks.post, tasks.close_periods, tasks.check_books):
                job.run(from_a_newer_sender=True)
        assert books.check(tenant_id=busy.tenant.id).differences == ()


def test_invariant_34_the_closing_job_closes_every_tenants_last_month(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = World(zone="Asia/Tokyo", mode="prepaid")
    for each in (world, other):
        each.use(Usage(input=10**6))
    monkeypatch.setattr(tasks, "current_time", lambda: world.clock + timedelta(days=30))
    with as_operator():
        for _time in range(3):
            tasks.close_periods.run()
        made = Invoice.objects.filter(tenant__in=[world.tenant, other.tenant])
        assert [invoice.period_label for invoice in made.exclude(number=None)] == ["2027-03", "2027-03"]


def test_invariant_34_one_tenants_trouble_does_not_keep_the_others_invoices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = World()
    for each in (world, other):
        each.use(Usage(input=10**6))
    monkeypatch.setattr(tasks, "current_time", lambda: world.clock + timedelta(days=30))
    with as_role("none"):
        run("UPDATE billing_allowance SET spent = spent + 1 WHERE tenant_id = %s", world.tenant.id)
        run("UPDATE portal_tenant SET currency = 'EUR' WHERE id = %s", World().tenant.id)
    with as_operator():
        tasks.close_periods.run()
        invoices = {invoice.tenant_id: invoice for invoice in Invoice.objects.all()}
    assert invoices[world.tenant.id].parked_reason
    assert invoices[other.tenant.id].number
