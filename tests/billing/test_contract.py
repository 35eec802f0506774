"""What a row says of its call, prices that change under way, and runs with a cap of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection

from billing import books, closing, journal, reports
from billing.journal import Ending
from billing.meters import COUNTERS, Usage
from billing.models import Allowance, Run, StoredAnswer, UsageAdjustment
from billing.pricing import PriceVersion, rate
from portal.tenancy import as_operator, as_tenant
from tests.billing.world import PRICES, USD, World, as_gateway, as_role, run

DEAR = {name: 3 * price for name, price in PRICES.items()} | {"per_request": 40}


def dear_price(world: World) -> PriceVersion:
    return world.publish(DEAR, world.clock + timedelta(hours=1))


def ensure_run(world: World, name: str, limit: int | None) -> tuple[int, ...]:
    """The run's allowance, limit, spent and held, as the gateway asks for them; empty when it has none."""
    with as_gateway(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM ensure_run(%s, %s, %s, %s)", [world.tenant.id, world.keys[0].pk, name, limit])
        return tuple(map(int, cursor.fetchone() or ()))


def test_a_row_says_what_kind_of_call_it_was_and_who_answered(world: World) -> None:
    opening = replace(world.opening(), operation="embeddings", run_id="nightly", input_bytes=812)
    world.open([opening])
    ending = replace(
        world.ending(opening, Usage(input=5)), reported_model="swift-0613", route_id=7, output_bytes=99, overhead_ms=3
    )
    world.settle([ending])
    event = world.event(opening)
    assert (event.operation, event.run_id, event.input_bytes) == ("embeddings", "nightly", 812)
    assert (event.reported_model, event.route_id, event.output_bytes, event.overhead_ms) == ("swift-0613", 7, 99, 3)


def test_a_plain_call_is_a_chat_of_no_run_and_no_route(world: World) -> None:
    event = world.event(world.use(Usage(input=1)))
    assert (event.operation, event.run_id, event.route_id, event.price_id) == ("chat", "", None, world.price.id)


def test_the_price_that_rated_a_call_is_the_one_on_its_row(world: World) -> None:
    dear = dear_price(world)
    openings = [world.opening() for _ in range(3)]
    world.open(openings)
    usage = Usage(input=1000, output=20)
    rated = replace(world.ending(openings[0], usage, dear), price_id=dear.id)
    kept = world.ending(openings[1], usage)
    voided = Ending(openings[2].id, openings[2].tenant_id, state="voided", basis=None, price_id=dear.id)
    assert world.settle([rated, kept, voided]) == 3
    assert [world.event(one).price_id for one in openings] == [dear.id, world.price.id, world.price.id]
    world.post()
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()


@pytest.mark.parametrize("same_price", [True, False])
@pytest.mark.parametrize("posted_between", [True, False])
def test_true_usage_under_another_price_replaces_the_estimate(
    world: World, same_price: bool, posted_between: bool
) -> None:
    cheap, dear = world.publish(PRICES | {"per_request": 9}, world.clock + timedelta(minutes=1)), dear_price(world)
    opening = replace(world.opening(), price_id=cheap.id)
    world.open([opening])
    world.sweep()
    if posted_between:
        world.post()
    price = cheap if same_price else dear
    usage = Usage(input=90, output=500)
    for _turn in range(2):
        world.settle([replace(world.ending(opening, usage, price), price_id=price.id)] * 2)
    with as_operator():
        rows = list(UsageAdjustment.objects.filter(tenant=world.tenant).order_by("id"))
    estimate = world.event(opening)
    counted = {name: estimate_of(estimate, name) + sum(row.counts[at] for row in rows) for at, name in numbered()}
    assert [row.price_id for row in rows] == ([cheap.id] if same_price else [cheap.id, dear.id])
    assert Usage(**counted) == usage
    assert world.wallet().spent == rate(usage, price) == estimate.cost + sum(row.cost for row in rows)
    world.post()
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()
        invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        assert invoice.exact == rate(usage, price)
        shown = reports.receipt(estimate).adjustment
        assert shown is not None
        assert shown.cost == rate(usage, price) - estimate.cost


def numbered() -> list[tuple[int, str]]:
    return list(enumerate(COUNTERS))


def estimate_of(event: object, name: str) -> int:
    return int(getattr(event, name))


def test_an_open_call_goes_on_under_another_model_and_price(world: World) -> None:
    dear, other = dear_price(world), World()
    opening = world.opening()
    world.open([opening])
    with as_gateway():
        for tenant, done in ((other.tenant, False), (world.tenant, True)):
            assert done is journal.reassign_usage(opening.id, tenant_id=tenant.id, model="rapid-1", price_id=dear.id)
    event = world.event(opening)
    assert (event.model, event.price_id, event.requested_model) == ("rapid-1", dear.id, world.model)
    world.settle([world.ending(opening, Usage(input=7), dear)])
    with as_gateway():
        assert not journal.reassign_usage(opening.id, tenant_id=world.tenant.id, model="m", price_id=world.price.id)
    assert world.event(opening).price_id == dear.id


def test_a_run_has_one_cap_which_the_last_one_sent_sets(world: World) -> None:
    other = World()
    assert ensure_run(world, "job", None) == ()
    first = ensure_run(world, "job", 10)
    assert first[1:] == (10, 0, 0)
    assert ensure_run(world, "job", None) == first
    assert ensure_run(world, "job", 25) == (first[0], 25, 0, 0)
    assert ensure_run(other, "job", 1)[0] != first[0]
    opening = world.opening(20)
    world.open([replace(opening, allowances=(*opening.allowances, first[0]))])
    assert ensure_run(world, "job", 5) == (first[0], 20, 0, 20)


def test_calls_of_a_run_must_fit_its_cap_and_its_wallet(world: World) -> None:
    allowance = ensure_run(world, "job", 10)[0]
    openings = [world.opening(hold) for hold in (6, 5, 4)]
    openings = [replace(one, allowances=(*one.allowances, allowance), run_id="job") for one in openings]
    (refusal,) = world.open(openings)
    assert (refusal.place, refusal.allowance_id, refusal.limit, refusal.held) == (1, allowance, 10, 6)
    assert world.wallet().held == 10
    world.settle([replace(world.ending(one, Usage()), cost=one.hold) for one in (openings[0], openings[2])])
    assert ensure_run(world, "job", None) == (allowance, 10, 10, 0)


def test_a_runs_cap_is_no_budget_and_no_wallet_of_its_tenant(world: World) -> None:
    before = world.allowances()
    with as_operator():
        limits = reports.limits(tenant_id=world.tenant.id, now=world.clock)
    allowance = ensure_run(world, "job", 10)[0]
    assert world.allowances() == before
    assert world.wallet().pk != allowance
    with as_operator():
        assert reports.limits(tenant_id=world.tenant.id, now=world.clock) == limits
        assert books.check(tenant_id=world.tenant.id).differences == ()


def test_a_tenant_sees_its_own_runs_and_cannot_raise_their_cap(world: World) -> None:
    other = World()
    for each in (world, other):
        ensure_run(each, "job", 10)
    with as_tenant(world.tenant.id):
        assert [run.tenant_id for run in Run.objects.all()] == [world.tenant.id]
        assert Allowance.objects.filter(kind="run").update(limit=USD) == 0


def test_runs_that_cost_nothing_within_a_day_are_forgotten(world: World) -> None:
    spent, held, unused = (ensure_run(world, name, 10)[0] for name in ("spent", "held", "unused"))
    openings = [replace(one, allowances=(*one.allowances, run_of)) for one, run_of in
                zip((world.opening(5), world.opening(5)), (spent, held), strict=True)]  # fmt: skip
    world.open(openings)
    world.settle([replace(world.ending(openings[0], Usage()), cost=3)])
    with as_operator():
        now = journal.database_now()
        journal.forget_runs(now=now + timedelta(hours=23))
        assert Allowance.objects.filter(pk=unused).exists()
        journal.forget_runs(now=now + timedelta(hours=25))
        assert {run.allowance_id for run in Run.objects.filter(tenant=world.tenant)} == {spent, held}
        assert not Allowance.objects.filter(pk=unused).exists()
    assert ensure_run(world, "unused", 10)[0] != unused


def test_answers_are_forgotten_once_their_day_is_over(world: World) -> None:
    with as_gateway(), connection.cursor() as cursor:
        for key, kept_s in ((b"old", 0), (b"new", 3600)):
            cursor.execute(
                "SELECT outcome FROM claim_idempotency(%s, %s, 'body', 'request', %s, 15, %s)",
                [world.tenant.id, key, world.owner, kept_s],
            )
            assert cursor.fetchone() == ("claimed",)
    with as_operator():
        assert journal.forget_answers(now=journal.database_now()) == 1
        assert StoredAnswer.objects.filter(tenant=world.tenant).count() == 1


@pytest.mark.parametrize("role", ["tollgate_portal", "tollgate_gateway", "tollgate_operator"])
def test_nobody_reads_stored_answers_past_their_functions(world: World, role: str) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), as_role(role):
        run("SELECT sealed FROM billing_storedanswer")


@pytest.mark.django_db(transaction=True)
def test_a_new_run_tells_no_gateway_and_a_new_budget_does() -> None:
    world = World()
    with connection.cursor() as cursor:
        cursor.execute("LISTEN tollgate")
    ensure_run(world, "job", 10)
    assert list(connection.connection.notifies(timeout=0.2)) == []
    world.set_budget(5)
    assert {notice.payload for notice in connection.connection.notifies(timeout=0.2)} == {f"tenant:{world.tenant.id}"}
