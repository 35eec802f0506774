"""Admission and settlement: holds are taken and given back once, limits hold, and nothing stays open."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import books, journal
from billing.journal import Ending
from billing.meters import COUNTERS, Usage
from billing.models import Allowance, JournalOwner, UsageAdjustment, UsageEvent
from billing.pricing import rate
from portal.tenancy import as_operator
from tests.billing.world import USD, World, as_gateway, new_id

COUNTS = st.integers(0, 100_000)
USAGES = st.builds(Usage, **dict.fromkeys(COUNTERS[:10], COUNTS), web_searches=st.just(0), images=st.just(0))
IN_ONE_WORLD = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def held_and_spent(world: World) -> list[tuple[int, int]]:
    with as_operator():
        rows = Allowance.objects.filter(tenant=world.tenant).order_by("id")
        return [(int(row.held), int(row.spent)) for row in rows]


def test_invariant_1_replaying_a_batch_of_endings_changes_nothing(world: World) -> None:
    openings = [world.opening() for _ in range(5)]
    world.open(openings)
    endings = [world.ending(opening, Usage(input=10, output=5)) for opening in openings]
    assert world.settle(endings) == 5
    before = held_and_spent(world)
    for batch in (endings, endings[::-1], endings[:2] + endings[:2]):
        assert world.settle(batch) == 0
    assert held_and_spent(world) == before


def test_invariant_1_replaying_a_batch_of_openings_is_refused_and_changes_nothing(world: World) -> None:
    openings = [world.opening() for _ in range(3)]
    world.open(openings)
    before = held_and_spent(world)
    with pytest.raises(IntegrityError), transaction.atomic():
        world.open([world.opening(), *openings])
    assert held_and_spent(world) == before
    world.settle([world.ending(opening, Usage(input=1)) for opening in openings])
    with pytest.raises(IntegrityError), transaction.atomic():  # the id is taken for ever
        world.open(openings[:1])


@IN_ONE_WORLD
@given(usage=USAGES)
def test_invariant_2_the_cost_is_tokens_times_the_frozen_price(world: World, usage: Usage) -> None:
    event = world.event(world.use(usage))
    assert event.cost == rate(usage, world.price)
    assert event.cost == sum(getattr(event, name) * getattr(world.price, name) for name in COUNTERS[:10])


@IN_ONE_WORLD
@given(usage=USAGES)
def test_invariant_3_stored_classes_are_not_negative_and_sum_to_their_totals(world: World, usage: Usage) -> None:
    event = world.event(world.use(usage))
    stored = {name: getattr(event, name) for name in COUNTERS}
    assert Usage(**stored) == usage
    assert (event.prompt_tokens, event.completion_tokens) == (usage.prompt_tokens, usage.completion_tokens)


@pytest.mark.parametrize("usage", [Usage(input=-1), Usage(input=5, cache_read=-5), Usage(output=-1)])
def test_invariant_3_the_database_refuses_negative_counts(world: World, usage: Usage) -> None:
    opening = world.opening()
    world.open([opening])
    with pytest.raises(IntegrityError), transaction.atomic():
        world.settle([Ending(opening.id, opening.tenant_id, usage, 0)])
    assert world.event(opening).state == "open"


def test_invariant_3_the_database_refuses_classes_that_do_not_sum_to_the_totals(world: World) -> None:
    class Lying(Ending):
        def counts(self) -> tuple[int, ...]:
            return (*super().counts()[:12], 999, *super().counts()[13:])

    opening = world.opening()
    world.open([opening])
    with pytest.raises(IntegrityError), transaction.atomic():
        world.settle([Lying(opening.id, opening.tenant_id, Usage(input=1), 1)])


@IN_ONE_WORLD
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=30))
def test_invariant_14_spent_and_held_never_exceed_the_limit(world: World, calls: list[tuple[int, bool]]) -> None:
    world.set_budget(USD)
    for size in range(0, len(calls), 7):
        batch = [world.opening(cents * USD // 100) for cents, _settle in calls[size : size + 7]]
        refused = {refusal.place for refusal in world.open(batch)}
        with as_operator():
            for row in Allowance.objects.filter(tenant=world.tenant):
                assert row.spent + row.held <= row.limit
        admitted = [opening for place, opening in enumerate(batch) if place not in refused and calls[size + place][1]]
        world.settle([replace(world.ending(one, Usage()), cost=one.hold) for one in admitted])


def test_invariant_14_a_batch_that_does_not_fit_admits_those_that_do(world: World) -> None:
    budget = world.set_budget(10)
    openings = [world.opening(hold) for hold in (4, 7, 6, 1)]
    refused = world.open(openings)
    assert [refusal.place for refusal in refused] == [1, 3]
    with as_operator():
        running = Allowance.objects.get(budget=budget, starts_at__lte=world.clock, ends_at__gt=world.clock)
    assert [(one.allowance_id, one.limit, one.spent) for one in refused] == [(running.pk, 10, 0)] * 2
    assert running.held == 10


def test_invariant_14_every_level_must_have_room(world: World) -> None:
    for scope, limit in (("tenant", 10), ("project", 5), ("api_key", 3)):
        world.set_budget(limit, scope=scope)
    first, second = world.keys
    assert len(world.allowances(first)) == 4
    assert world.open([world.opening(3, key=first)]) == []
    assert len(world.open([world.opening(1, key=first)])) == 1
    assert world.open([world.opening(2, key=second)]) == []
    assert len(world.open([world.opening(1, key=second)])) == 1
    assert [held for held, _spent in held_and_spent(world) if held] == [5, 5, 5, 3]


def test_invariant_14_an_allowance_that_is_gone_refuses(world: World) -> None:
    opening = replace(world.opening(1), allowances=(2**60,))
    assert [one.allowance_id for one in world.open([opening])] == [None]
    with as_operator():
        assert not UsageEvent.objects.filter(id=opening.id).exists()


def test_invariant_15_each_hold_ends_once_however_the_call_ends(world: World) -> None:
    settled, voided, swept = openings = [world.opening() for _ in range(3)]
    world.open(openings)
    usage = Usage(input=100, output=10)
    world.settle([world.ending(settled, usage)])
    world.settle([Ending(voided.id, voided.tenant_id, state="voided", basis=None, error_code="upstream_error")])
    assert world.sweep() >= 1
    world.settle([world.ending(settled, usage), Ending(voided.id, voided.tenant_id, state="voided", basis=None)])
    assert {held for held, _spent in held_and_spent(world)} == {0}
    assert [world.event(one).state for one in openings] == ["settled", "voided", "settled"]
    assert world.event(swept).swept


@pytest.mark.parametrize("state", ["settled", "voided"])
def test_invariant_16_settling_twice_is_settling_once(world: World, state: str) -> None:
    opening = world.opening()
    world.open([opening])
    usage = Usage(input=7) if state == "settled" else Usage()
    basis = "exact" if state == "settled" else None
    ending = Ending(opening.id, opening.tenant_id, usage, rate(usage, world.price) if basis else 0, state, basis)
    assert world.settle([ending]) == 1
    first = world.event(opening)
    assert world.settle([replace(ending, cost=999, usage=Usage(input=9), state="settled", basis="exact")]) == 0
    again = world.event(opening)
    assert (again.state, again.cost, again.input, again.settled_at) == (
        state,
        first.cost,
        first.input,
        first.settled_at,
    )


def test_a_cost_above_the_hold_is_charged_in_full(world: World) -> None:
    opening = world.opening(1)
    world.open([opening])
    world.settle([world.ending(opening, Usage(input=1000))])
    assert world.wallet().spent == 1000 * world.price.input


# -- the sweep


def test_invariant_18_the_sweep_bills_input_and_what_was_last_noted_as_delivered(world: World) -> None:
    opening = world.opening()
    world.open([opening])
    with as_gateway():
        journal.checkpoint_usage([(opening.id, opening.tenant_id, 40)])
        journal.checkpoint_usage([(opening.id, opening.tenant_id, 30)])  # late notes do not take back
    assert world.sweep() >= 1
    event = world.event(opening)
    assert (event.state, event.basis, event.swept, event.error_code) == ("settled", "estimated", True, "gateway_lost")
    assert event.cost == 100 * world.price.input + 40 * world.price.output
    assert held_and_spent(world) == [(0, event.cost)]


def test_invariant_18_the_sweep_leaves_living_owners_and_young_calls_alone(world: World) -> None:
    with as_gateway():
        journal.beat(world.owner, host="here", pid=1)
    world.clock = journal.database_now()
    opening = world.opening()
    world.open([opening])
    with as_operator():
        assert journal.sweep(now=world.clock) == 0
        assert journal.sweep(now=world.clock + timedelta(seconds=16)) == 1


def test_invariant_18_the_sweep_ends_calls_past_their_deadline_whoever_owns_them(world: World) -> None:
    with as_gateway():
        journal.beat(world.owner)
    opening = world.opening(at=journal.database_now() - timedelta(minutes=11))
    world.open([opening])
    with as_operator():
        assert journal.sweep(now=journal.database_now(), grace_s=0) == 1


def test_invariant_18_nobody_is_swept_while_the_database_has_just_come_up(world: World) -> None:
    world.open([world.opening(at=journal.database_now())])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        started = cursor.fetchone()[0]
    with as_operator():
        assert journal.sweep(now=started + timedelta(seconds=10), grace_s=15) == 0


def test_invariant_18_true_usage_after_a_sweep_is_kept_as_a_difference_once(world: World) -> None:
    opening = world.opening()
    world.open([opening])
    world.sweep()
    estimate = world.event(opening).cost
    usage = Usage(input=90, output=500)
    for _turn in range(3):
        assert world.settle([world.ending(opening, usage)]) == 0
    with as_operator():
        adjustment = UsageAdjustment.objects.get(tenant=world.tenant)
    true_cost = rate(usage, world.price)
    assert adjustment.cost == true_cost - estimate
    assert adjustment.counts[:1] == [-10]
    assert held_and_spent(world) == [(0, true_cost)]
    assert world.event(opening).cost == estimate


def test_invariant_18_a_late_void_gives_back_the_estimate(world: World) -> None:
    opening = world.opening()
    world.open([opening])
    world.sweep()
    world.settle([Ending(opening.id, opening.tenant_id, state="voided", basis=None)])
    assert held_and_spent(world) == [(0, 0)]


def test_invariant_18_an_ended_and_a_late_call_in_one_batch_are_both_charged(world: World) -> None:
    late, fresh = world.opening(), world.opening()
    world.open([late])
    world.sweep()
    world.open([fresh])
    usage = Usage(input=1000)
    assert world.settle([world.ending(late, usage), world.ending(fresh, usage)]) == 1
    assert held_and_spent(world) == [(0, 2 * rate(usage, world.price))]


def test_owners_long_gone_are_forgotten_but_not_while_they_own_open_calls(world: World) -> None:
    with as_gateway():
        journal.beat(world.owner)
    with as_operator():
        journal.sweep(now=journal.database_now() + timedelta(hours=23))
        assert JournalOwner.objects.filter(pk=world.owner).exists()
        journal.sweep(now=journal.database_now() + timedelta(hours=25))
        assert not JournalOwner.objects.filter(pk=world.owner).exists()


def test_the_partitions_of_this_month_and_of_two_ahead_are_made_once(world: World) -> None:
    late = world.clock + timedelta(days=1000)
    with as_operator():
        assert journal.ensure_partitions(now=late) == 3
        assert journal.ensure_partitions(now=late) == 0


def test_ids_of_a_moment_are_above_its_floor(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT uuid_floor(%s) <= %s::uuid", [world.clock, new_id(world.clock)])
        assert cursor.fetchone() == (True,)


def test_the_books_balance_after_all_of_this(world: World) -> None:
    openings = [world.opening() for _ in range(4)]
    world.open(openings)
    world.settle([world.ending(openings[0], Usage(input=5, output=5))])
    world.sweep()
    world.settle([world.ending(openings[1], Usage(input=5, output=500))])
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()
