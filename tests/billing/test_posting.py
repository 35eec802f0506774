"""From events to roll-ups and ledger: nothing lost, nothing twice, in any order."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import books, posting, reports
from billing.journal import Ending
from billing.meters import COUNTERS, Usage
from billing.models import Transfer, UsageEvent, UsageRollup
from billing.periods import bucket_of
from portal.tenancy import as_operator
from tests.billing.world import World, as_role, run

CALLS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 3000), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
)
IN_ONE_WORLD = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rolled(world: World) -> dict[tuple[datetime, int], tuple[int, ...]]:
    with as_operator():
        rows = UsageRollup.objects.filter(tenant=world.tenant)
        return {
            (row.bucket_at, row.api_key_id): (row.requests, int(row.cost), *(getattr(row, name) for name in COUNTERS))
            for row in rows
        }


@IN_ONE_WORLD
@given(CALLS)
def test_invariant_9_roll_ups_equal_the_events(world: World, calls: list[tuple[int, int, int, bool]]) -> None:
    for tokens, minutes, _late, second in calls:
        usage = Usage(input=tokens, output=tokens // 3, reasoning=tokens % 7)
        world.use(usage, at=world.clock + timedelta(minutes=minutes), key=world.keys[second])
        if tokens % 2:
            world.post()
    world.post()
    with as_operator():
        expected: dict[tuple[datetime, int], list[int]] = {}
        for event in UsageEvent.objects.filter(tenant_id=world.tenant.id):
            row = expected.setdefault((bucket_of(event.opened_at), event.api_key_id), [0] * 14)
            for place, value in enumerate((1, event.cost, *(getattr(event, name) for name in COUNTERS))):
                row[place] += value
    assert rolled(world) == {key: tuple(row) for key, row in expected.items()}


@pytest.mark.django_db
@settings(max_examples=8, deadline=None)
@given(CALLS, st.randoms(use_true_random=False))
def test_invariant_10_the_order_of_arrival_changes_no_total(
    calls: list[tuple[int, int, int, bool]], rng: random.Random
) -> None:
    totals = []
    for _turn in range(2):
        world = World()
        for tokens, minutes, _late, second in calls:
            at = world.clock + timedelta(minutes=minutes)
            world.use(Usage(input=tokens, output=1), at=at, key=world.keys[second])
            if rng.random() < 0.3:
                world.post()
        world.post()
        places = {key.pk: place for place, key in enumerate(world.keys)}
        totals.append({(bucket, places[key]): row for (bucket, key), row in rolled(world).items()})
        with as_operator():
            assert books.check(tenant_id=world.tenant.id).differences == ()
        rng.shuffle(calls)
    assert totals[0] == totals[1]


def test_invariant_1_posting_again_posts_nothing(world: World) -> None:
    world.use(Usage(input=10))
    assert world.post() == 1
    before = (rolled(world), world.balance("accrued"))
    assert world.post() == 0
    assert (rolled(world), world.balance("accrued")) == before


def test_open_and_voided_calls_are_not_posted(world: World) -> None:
    running, voided = world.opening(), world.opening()
    world.open([running, voided])
    world.settle([Ending(voided.id, voided.tenant_id, state="voided", basis=None)])
    assert world.post() == 0


def test_a_batch_takes_no_more_than_it_is_given(world: World) -> None:
    for _call in range(5):
        world.use(Usage(input=10))
    with as_operator():
        assert [posting.post_settled(now=world.clock, limit=2) for _turn in range(4)] == [2, 2, 1, 0]
        assert UsageRollup.objects.get(tenant=world.tenant).requests == 5


def test_01_batches_smaller_than_what_waits_post_each_call_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are settled late: their time is before that of what was posted already."""
    monkeypatch.setattr(posting, "BATCH", 3)
    late = world.opening()
    world.open([late])
    for second in range(1, 8):
        world.use(Usage(input=10), at=world.clock + timedelta(seconds=second))
    assert world.post() == 7
    world.settle([world.ending(late, Usage(input=10))])
    assert world.post() == 1
    assert [row[:2] for row in rolled(world).values()] == [(8, 80 * world.price.input)]
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()


def test_accounts_that_are_missing_are_opened(world: World) -> None:
    with as_role("none"):
        run("SET CONSTRAINTS ALL IMMEDIATE")
        run("ALTER TABLE billing_ledgeraccount DISABLE TRIGGER append_only")
        run("DELETE FROM billing_ledgeraccount WHERE tenant_id = %s", world.tenant.id)
        run("ALTER TABLE billing_ledgeraccount ENABLE TRIGGER append_only")
    world.use(Usage(input=10))
    assert world.post() == 1
    assert world.balance("accrued") == 10 * world.price.input


@pytest.mark.parametrize(
    ("column", "value"),
    [("transfer_id", "0"), ("account_id", "0"), ("tenant_id", "tenant_id + 1"), ("currency", "'EUR'")],
)
def test_an_entry_without_its_transfer_or_account_is_refused(world: World, column: str, value: str) -> None:
    world.use(Usage(input=10))
    world.post()
    columns = ["transfer_id", "tenant_id", "account_id", "currency", "amount"]
    values = [value if name == column else name for name in columns]
    with pytest.raises(IntegrityError, match="without its transfer or account"), as_role("tollgate_operator"):
        run(f"INSERT INTO billing_ledgerentry ({', '.join(columns)}) SELECT {', '.join(values)} "  # noqa: S608
            "FROM billing_ledgerentry WHERE tenant_id = %s", world.tenant.id)  # fmt: skip


def test_usage_is_debited_where_the_tenant_pays_from(world: World, prepaid: World) -> None:
    for each, kind in ((world, "accrued"), (prepaid, "wallet")):
        before = each.balance(kind)
        each.use(Usage(input=1000))
        each.post()
        assert each.balance(kind) - before == 1000 * each.price.input
        assert each.balance("revenue") == -1000 * each.price.input


def test_a_free_call_is_posted_without_entries(world: World) -> None:
    world.price = world.publish({"input": 0, "output": 0}, world.clock + timedelta(hours=1))
    world.clock += timedelta(hours=2)
    world.use(Usage(input=10))
    world.post()
    with as_operator():
        assert Transfer.objects.get(tenant=world.tenant, kind="usage").entries.count() == 0
        assert books.check(tenant_id=world.tenant.id).differences == ()


@pytest.mark.parametrize("posted_before", [True, False])
def test_invariant_31_a_correction_reaches_roll_ups_and_ledger(world: World, posted_before: bool) -> None:
    opening = world.opening()
    world.open([opening])
    world.sweep()
    if posted_before:
        world.post()
    usage = Usage(input=20, output=2)
    world.settle([world.ending(opening, usage)])
    world.post()
    (row,) = rolled(world).values()
    cost = 20 * world.price.input + 2 * world.price.output
    assert row[:3] == (1, cost, 20)
    assert world.balance("accrued") == cost
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()


def test_transfers_count_at_the_quarter_of_an_hour_of_admission(world: World) -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    first = datetime(2027, 4, 1, 0, 1, tzinfo=kathmandu)
    world.use(Usage(input=10), at=first)
    world.use(Usage(input=10), at=first - timedelta(minutes=2))
    world.post()
    with as_operator():
        moments = Transfer.objects.filter(tenant=world.tenant, kind="usage").values_list("effective_at", flat=True)
        assert sorted(moment.astimezone(kathmandu).strftime("%m-%d %H:%M") for moment in moments) == [
            "03-31 23:45",
            "04-01 00:00",
        ]


# -- reports


def test_reports_add_up(world: World) -> None:
    world.use(Usage(input=1000, cache_read=10, output=5), key=world.keys[0])
    world.use(Usage(input=10, output=5), key=world.keys[1])
    world.post()
    day = timedelta(days=1)
    bounds: dict[str, Any] = {"tenant_id": world.tenant.id, "start": world.clock - day, "end": world.clock + day}
    with as_operator():
        everything = reports.totals(**bounds)
        for dimension in reports.DIMENSIONS:
            parts = reports.usage_by(dimension=dimension, **bounds)
            assert sum(part.totals.cost for part in parts) == everything.cost
        days = reports.usage_by_day(zone="Asia/Tokyo", **bounds)
        month = reports.month_so_far(tenant_id=world.tenant.id, zone="Europe/Paris", now=world.clock)
        total = UsageEvent.objects.filter(tenant_id=world.tenant.id).aggregate(cost=Sum("cost"))["cost"]
    assert (everything.requests, everything.prompt_tokens, everything.cached_tokens) == (2, 1020, 10)
    assert everything.cost == total == sum(part.totals.cost for part in days) == month.totals.cost
    assert [part.key for part in days] == [world.clock.astimezone(ZoneInfo("Asia/Tokyo")).date()]


def test_calls_are_listed_newest_first_in_pages(world: World) -> None:
    made = [world.use(Usage(input=10), at=world.clock + timedelta(seconds=second)) for second in range(5)]
    with as_operator():
        first = reports.calls(tenant_id=world.tenant.id, most=3)
        second = reports.calls(tenant_id=world.tenant.id, most=3, before=first[-1].id)
        only = reports.CallFilter(start=world.clock + timedelta(seconds=1), end=world.clock + timedelta(seconds=3))
        some = reports.calls(tenant_id=world.tenant.id, only=only)
        assert len(reports.calls(tenant_id=world.tenant.id, most=-1)) == 1
    assert [event.id for event in first + second] == [one.id for one in reversed(made)]
    assert [event.id for event in some] == [made[2].id, made[1].id]


def test_a_receipt_adds_up_to_the_cost(world: World) -> None:
    world.price = world.publish({"input": 3, "output": 5, "per_request": 7}, world.clock + timedelta(hours=1))
    world.clock += timedelta(hours=2)
    event = world.event(world.use(Usage(input=10, output=2)))
    with as_operator():
        receipt = reports.receipt(event)
        assert reports.call(tenant_id=world.tenant.id, shown_id=str(event)) == event
        assert reports.call(tenant_id=world.tenant.id, shown_id=f"chatcmpl-{event.id.hex[:24]}") == event
        for text in ("", "req_", "req_" + "z" * 24, "x" * 24, str(event)[:-1], "req_" + "0" * 24):
            assert reports.call(tenant_id=world.tenant.id, shown_id=text) is None
    assert [(line.token_class, line.amount) for line in receipt.lines] == [
        ("input", 30),
        ("output", 10),
        ("per_request", 7),
    ]
    assert sum(line.amount for line in receipt.lines) == event.cost == 47


def test_limits_show_what_is_spent_and_held(world: World) -> None:
    world.set_budget(1000, scope="api_key", window="day")
    world.open([replace(world.opening(600), input_estimate=1)])
    with as_operator():
        wallet, budget = reports.limits(tenant_id=world.tenant.id, now=world.clock)
    assert (wallet.scope, wallet.held) == ("wallet", 600)
    assert (budget.scope, budget.scope_id, budget.window) == ("api_key", world.keys[0].pk, "day")
    assert (budget.held, budget.spent, budget.left) == (600, 0, 400)
