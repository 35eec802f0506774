"""The ledger: zero-sum, append-only, and equal to what the wallets say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import budgets, ledger
from billing.ledger import Entry, LedgerProblem, Movement
from billing.meters import Usage
from billing.models import LedgerAccount, LedgerEntry, Transfer, Wallet
from portal.tenancy import as_operator
from tests.billing.world import ROLES, USD, World, as_role, run

AMOUNTS = st.integers(-(10**30), 10**30)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(AMOUNTS, min_size=1, max_size=4), st.booleans())
def test_invariant_11_transfers_sum_to_zero_or_are_refused(world: World, amounts: list[int], balanced: bool) -> None:
    kinds = ("wallet", "receivable", "accrued", "goodwill", "rounding")
    if balanced:
        amounts = [*amounts, -sum(amounts)]
    entries = tuple(Entry(kind, amount) for kind, amount in zip(kinds, amounts, strict=False))
    movement = Movement("payment", f"m{amounts}"[:190], world.clock, entries)
    with as_operator():
        if sum(amounts):
            with pytest.raises(LedgerProblem):
                ledger.post(tenant=world.tenant, movement=movement, now=world.clock)
        else:
            transfer, _made = ledger.post(tenant=world.tenant, movement=movement, now=world.clock)
            assert sum(int(entry.amount) for entry in transfer.entries.all()) == 0


def test_invariant_11_the_database_refuses_entries_that_do_not_sum_to_zero(world: World) -> None:
    with as_operator():
        account = LedgerAccount.objects.get(tenant=world.tenant, kind="wallet")
        transfer = Transfer.objects.create(
            tenant=world.tenant, kind="payment", key="bad", effective_at=world.clock, posted_at=world.clock
        )
        revenue = LedgerAccount.objects.get(tenant=None, kind="revenue", currency="USD")
        for sides in (((account, 1),), ((account, 1), (revenue, -2))):
            entries = [
                LedgerEntry(transfer=transfer, tenant=world.tenant, account=each, amount=amount)
                for each, amount in sides
            ]
            with pytest.raises(IntegrityError, match="does not sum to zero"), transaction.atomic():
                LedgerEntry.objects.bulk_create(entries)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_ledgerentry SET amount = amount + 1",
        "DELETE FROM billing_ledgerentry",
        "UPDATE billing_transfer SET memo = 'x'",
        "DELETE FROM billing_transfer",
        "TRUNCATE billing_ledgerentry",
        "TRUNCATE billing_transfer CASCADE",
    ],
)
def test_invariant_12_ledger_rows_cannot_be_changed_by_anyone(prepaid: World, role: str, statement: str) -> None:
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("SELECT set_config('app.tenant_id', %s, true)", str(prepaid.tenant.id))
    with pytest.raises(DatabaseError, match=r"never changed|permission denied"), as_role(role):
        run(statement)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.integers(1, 10**15), st.none()), max_size=8))
def test_invariant_13_the_cached_balance_is_the_sum_of_entries_at_any_time(
    prepaid: World, acts: list[int | None]
) -> None:
    for number, amount in enumerate(acts):
        if amount is None:
            prepaid.use(Usage(input=1000))
            prepaid.post()
        else:
            with as_operator():
                key = f"{number} {amount} {prepaid.wallet().limit}"
                ledger.top_up(tenant=prepaid.tenant, amount=amount, key=key, now=prepaid.clock)
        wallet = prepaid.wallet()
        assert wallet.limit - wallet.spent == -prepaid.balance("wallet")


def test_invariant_13_a_credit_line_minus_what_is_accrued_is_what_is_left(world: World) -> None:
    world.use(Usage(input=5000, output=100))
    world.post()
    wallet = world.wallet()
    assert wallet.limit - wallet.spent == 100 * USD - world.balance("accrued")
    assert world.balance("revenue") == -world.balance("accrued")


def test_invariant_22_a_top_up_n_times_credits_once_and_another_one_under_its_key_is_refused(prepaid: World) -> None:
    with as_operator():
        made = {ledger.top_up(tenant=prepaid.tenant, amount=USD, key="k", now=prepaid.clock).pk for _ in range(3)}
        with pytest.raises(LedgerProblem, match="another movement"):
            ledger.top_up(tenant=prepaid.tenant, amount=2 * USD, key="k", now=prepaid.clock)
    assert len(made) == 1
    assert prepaid.wallet().limit == 101 * USD


@pytest.mark.parametrize("amount", [0, -1])
def test_a_top_up_is_more_than_nothing(prepaid: World, amount: int) -> None:
    with as_operator(), pytest.raises(LedgerProblem):
        ledger.top_up(tenant=prepaid.tenant, amount=amount, key="k", now=prepaid.clock)


def test_a_credit_line_can_be_moved_and_binds_the_next_call(world: World) -> None:
    with as_operator():
        ledger.set_credit_limit(tenant=world.tenant, credit_limit=5, now=world.clock)
    assert world.wallet().limit == 5
    assert len(world.open([world.opening(6)])) == 1
    assert world.open([world.opening(5)]) == []
    with as_operator(), pytest.raises(LedgerProblem):
        ledger.set_credit_limit(tenant=world.tenant, credit_limit=-1, now=world.clock)


def test_a_prepaid_tenant_has_no_credit_line(prepaid: World) -> None:
    with as_operator():
        with pytest.raises(LedgerProblem):
            ledger.set_credit_limit(tenant=prepaid.tenant, credit_limit=5, now=prepaid.clock)
        with pytest.raises(IntegrityError), transaction.atomic():
            Wallet.objects.filter(tenant=prepaid.tenant).update(credit_limit=1)


def test_a_lower_budget_refuses_the_next_call_and_keeps_what_is_held(world: World) -> None:
    world.set_budget(100)
    running = world.opening(80)
    assert world.open([running]) == []
    budget = world.set_budget(50)
    assert len(world.open([world.opening(1)])) == 1
    world.settle([world.ending(running, Usage())])
    assert world.open([world.opening(50)]) == []
    with as_operator():
        assert {int(row.limit) for row in budget.allowances.all()} == {50}


def test_windows_of_a_budget_tile_time_even_if_the_tenant_moves(world: World) -> None:
    budget = world.set_budget(100, window="day")
    for zone in ("Europe/Paris", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "Europe/Paris"):
        with as_operator():
            type(world.tenant).objects.filter(pk=world.tenant.pk).update(timezone=zone)
            for _hour in range(60):
                world.clock += timedelta(hours=1)
                budgets.ensure_windows(now=world.clock, tenant_id=world.tenant.id)
    with as_operator():
        rows = list(budget.allowances.order_by("starts_at"))
    assert [row.ends_at for row in rows[:-1]] == [row.starts_at for row in rows[1:]]
    assert sum(row.starts_at <= world.clock < row.ends_at for row in rows if row.ends_at) == 1


def test_a_dropped_budget_holds_nothing_and_resumes_where_it_was(world: World) -> None:
    budget = world.set_budget(100)
    world.open([world.opening(60)])
    with as_operator():
        budgets.drop_budget(budget, now=world.clock)
    assert len(world.allowances()) == 1
    world.set_budget(100)
    assert len(world.open([world.opening(41)])) == 1


@pytest.mark.parametrize(("scope", "limit"), [("tenant", -1), ("planet", 1)])
def test_budgets_that_cannot_be_are_refused(world: World, scope: str, limit: int) -> None:
    with as_operator(), pytest.raises(budgets.BudgetProblem):
        budgets.set_budget(
            tenant=world.tenant, scope=scope, scope_id=world.tenant.id, window="day", limit=limit, now=world.clock
        )


def test_a_budget_for_someone_elses_project_is_refused(world: World) -> None:
    other = World()
    with as_operator(), pytest.raises(budgets.BudgetProblem):
        budgets.set_budget(
            tenant=world.tenant, scope="project", scope_id=other.project.pk, window="day", limit=1, now=world.clock
        )


def test_a_key_has_from_one_to_two_hundred_characters(prepaid: World) -> None:
    with as_operator():
        made = ledger.top_up(tenant=prepaid.tenant, amount=1, key="k" * 200, now=prepaid.clock)
        assert made.key == "k" * 200
        for key in ("", "k" * 201):
            with pytest.raises(ledger.LedgerProblem, match="from 1 to 200 characters"):
                ledger.top_up(tenant=prepaid.tenant, amount=1, key=key, now=prepaid.clock)


def test_a_credit_line_may_be_nothing_and_not_less(world: World) -> None:
    with as_operator():
        ledger.set_credit_limit(tenant=world.tenant, credit_limit=0, now=world.clock)
        with pytest.raises(ledger.LedgerProblem, match="cannot be negative"):
            ledger.set_credit_limit(tenant=world.tenant, credit_limit=-1, now=world.clock)
    assert world.wallet().limit == 0
    assert world.balance("receivable") == 0  # where nothing was moved


@pytest.mark.parametrize("kind", [Transfer.Kind.PAYMENT, Transfer.Kind.USAGE])
def test_a_key_of_another_kind_of_movement_is_refused(prepaid: World, kind: str) -> None:
    entries = (Entry("payments", 5), Entry("wallet", -5))
    with as_operator():
        ledger.top_up(tenant=prepaid.tenant, amount=5, key="one", now=prepaid.clock)
        with pytest.raises(ledger.LedgerProblem, match="used for another movement"):
            ledger.post(
                tenant=prepaid.tenant, movement=Movement(kind, "one", prepaid.clock, entries), now=prepaid.clock
            )


@pytest.mark.parametrize("amount", [4, 6])
def test_a_key_of_another_amount_is_refused_be_it_more_or_less(prepaid: World, amount: int) -> None:
    with as_operator():
        ledger.top_up(tenant=prepaid.tenant, amount=5, key="one", now=prepaid.clock)
        with pytest.raises(ledger.LedgerProblem, match="used for another movement"):
            ledger.top_up(tenant=prepaid.tenant, amount=amount, key="one", now=prepaid.clock)
