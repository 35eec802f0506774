"""Many connections at once: limits are exact, numbers have no gaps, and nothing deadlocks."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction

from billing import books, invoices, journal, ledger, posting
from billing.journal import Opening
from billing.meters import Usage
from billing.models import Allowance, Invoice, InvoiceSeries, UsageEvent
from portal import limits
from portal.tenancy import as_operator, as_tenant
from tests.billing.crowd import together
from tests.billing.world import USD, World

pytestmark = pytest.mark.django_db(transaction=True)


def chunks(openings: list[Opening], size: int) -> list[list[Opening]]:
    return [openings[start : start + size] for start in range(0, len(openings), size)]


@pytest.mark.parametrize(
    ("ceiling", "headroom", "batch"), [(3, 100, 1), (3, 100, 25), (7, 7, 1), (1, 40, 7), (100, 99, 25), (13, 1000, 8)]
)
def test_invariant_17_parallel_requests_admit_exactly_what_fits(ceiling: int, headroom: int, batch: int) -> None:
    world = World()
    for scope, limit in (("api_key", headroom), ("project", headroom + 1), ("tenant", 10**9)):
        world.set_budget(limit, scope=scope)
    openings = [world.opening(ceiling) for _ in range(200)]
    groups = chunks(openings, batch)
    per_thread = [groups[place::8] for place in range(8)]

    def admit(mine: list[list[Opening]]) -> int:
        return sum(len(group) - len(world.open(group)) for group in mine)

    admitted = sum(together([partial(admit, mine) for mine in per_thread]))
    assert admitted == min(200, headroom // ceiling)
    with as_operator():
        assert UsageEvent.objects.filter(tenant_id=world.tenant.id, state="open").count() == admitted
        assert books.check(tenant_id=world.tenant.id).differences == ()


def test_invariant_14_limits_hold_while_calls_end_and_begin() -> None:
    world = World()
    budget = world.set_budget(1000)
    seen: list[bool] = []

    def live(seed: int) -> None:
        rng = random.Random(seed)
        for _turn in range(15):
            openings = [world.opening(rng.randrange(1, 120)) for _ in range(rng.randrange(1, 8))]
            refused = {one.place for one in world.open(openings)}
            admitted = [one for place, one in enumerate(openings) if place not in refused]
            with as_operator():
                rows = Allowance.objects.filter(budget=budget)
                seen.extend(row.spent + row.held <= row.limit for row in rows)
            world.settle([journal.Ending(one.id, one.tenant_id, state="voided", basis=None) for one in admitted])

    together([partial(live, seed) for seed in range(6)])
    assert all(seen)
    with as_operator():
        assert {int(row.held) for row in Allowance.objects.filter(tenant=world.tenant)} == {0}


def test_overlapping_batches_the_sweep_and_posting_never_deadlock_and_the_books_balance() -> None:
    """Deadlocks raise OperationalError in a thread, which ``together`` raises here."""
    worlds = [World(mode=mode, credit=10_000 * USD) for mode in ("postpaid", "prepaid", "postpaid")]
    for world in worlds:
        world.set_budget(10_000 * USD)
        world.set_budget(10_000 * USD, window="day", scope="project")

    def gateway(seed: int) -> None:
        rng = random.Random(seed)
        running: list[Opening] = []
        for _turn in range(20):
            openings = [rng.choice(worlds).opening(USD // 100) for _ in range(rng.randrange(1, 20))]
            worlds[0].open(openings)
            running += openings
            rng.shuffle(running)
            done, running = running[: len(running) // 2], running[len(running) // 2 :]
            endings = [worlds[0].ending(one, Usage(input=rng.randrange(500)), world_of(one).price) for one in done]
            if endings:
                worlds[0].settle(endings)
                worlds[0].settle(endings[::-1])  # the gateway was not sure that it was heard

    def world_of(opening: Opening) -> World:
        return next(world for world in worlds if world.tenant.id == opening.tenant_id)

    def sweep() -> None:
        for turn in range(25):
            with as_operator():
                journal.sweep(now=journal.database_now() + timedelta(days=365 * (turn % 2)), limit=20)

    def post() -> None:
        for _turn in range(25):
            with as_operator():
                posting.post_settled(now=worlds[0].clock, limit=100)

    jobs: list[Callable[[], None]] = [partial(gateway, seed) for seed in range(5)]
    together([*jobs, sweep, sweep, post, post])
    worlds[0].sweep()
    for world in worlds:
        world.post()
        with as_operator():
            assert books.check(tenant_id=world.tenant.id).differences == ()
            held = [int(row.held) for row in Allowance.objects.filter(tenant=world.tenant)]
            assert held == [0] * len(held)


def test_changing_several_limits_under_calls_never_deadlocks() -> None:
    world = World()
    for window in ("month", "day"):  # windows of a day are made last and set first
        world.set_budget(10**16, window=window)

    def change(start: int) -> None:
        for turn in range(start, start + 40):
            with as_tenant(world.tenant.id):
                wanted = limits.Limits(day=10**16 + turn, month=10**16 + turn)
                limits.change(scope=limits.Scope(world.tenant), limits=wanted, actor=None, now=world.clock)

    def call() -> None:
        for _turn in range(60):
            world.use(Usage(input=1))

    jobs: list[Callable[[], None]] = [partial(change, 0), partial(change, 1000), call, call]
    together(jobs)
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()


def test_invariant_1_parallel_posting_posts_each_call_once() -> None:
    world = World()
    openings = [world.opening(USD // 1000) for _ in range(300)]
    for group in chunks(openings, 100):
        assert world.open(group) == []
        world.settle([world.ending(one, Usage(input=10)) for one in group])
    posted = together([world.post for _ in range(6)])
    assert sum(posted) == 300
    assert world.balance("accrued") == 300 * 10 * world.price.input


def test_invariant_22_the_same_top_up_many_times_at_once_credits_once() -> None:
    world = World(mode="prepaid", credit=0)

    def credit() -> int:
        with as_operator():
            return ledger.top_up(tenant=world.tenant, amount=5 * USD, key="pay-1", now=world.clock).pk

    assert len(set(together([credit] * 12))) == 1
    assert world.wallet().limit == 5 * USD
    assert world.balance("wallet") == -5 * USD


class Rollback(Exception):
    """Thrown to undo a finalisation."""


def test_invariant_27_numbers_have_no_gap_under_fifty_finalisations_with_rollbacks() -> None:
    worlds = [World() for _ in range(50)]
    drafts = []
    for world in worlds:
        world.use(Usage(input=10**6))
        world.post()
        with as_operator():
            drafts.append(invoices.draft(tenant=world.tenant, month="2027-03", now=world.clock))

    def finalise(turn: int) -> int:
        """Finalise one draft, undone a random number of times after its number was given."""
        undone = random.Random(turn).randrange(3)
        for left in range(undone, -1, -1):
            with contextlib.suppress(Rollback), as_operator():
                invoices.finalise(invoice=drafts[turn], now=worlds[0].clock)
                if left:
                    raise Rollback
        return undone

    assert sum(together([partial(finalise, turn) for turn in range(50)])) > 10
    with as_operator():
        numbers = Invoice.objects.exclude(number=None).order_by("number").values_list("number", flat=True)
        assert list(numbers) == [f"INV-2027-{number:05d}" for number in range(1, 51)]
        assert InvoiceSeries.objects.get().last_number == 50
        assert books.check().differences == ()


def test_invariant_28_finalising_in_parallel_is_finalising_once() -> None:
    world = World()
    world.use(Usage(input=10**6))
    world.post()
    with as_operator():
        invoice = invoices.draft(tenant=world.tenant, month="2027-03", now=world.clock)

    def finalise() -> str | None:
        with as_operator():
            return invoices.finalise(invoice=invoice, now=world.clock).number

    assert set(together([finalise] * 10)) == {"INV-2027-00001"}
    with as_operator():
        assert InvoiceSeries.objects.get().last_number == 1
    assert world.balance("receivable") == USD * 15 // 100


def test_invariant_18_an_admission_that_is_cut_off_before_its_commit_leaves_nothing() -> None:
    world = World()
    opening = world.opening()

    @transaction.atomic
    def cut_off() -> None:
        world.open([opening])
        raise Rollback

    with pytest.raises(Rollback):
        together([cut_off])
    assert world.wallet().held == 0
    with as_operator():
        assert not UsageEvent.objects.filter(tenant_id=world.tenant.id).exists()
        assert books.check(tenant_id=world.tenant.id).differences == ()


def test_invariant_18_a_sweep_and_the_gateways_own_ending_at_once_end_the_call_once() -> None:
    world = World()
    openings = [world.opening(USD // 100) for _ in range(60)]
    world.open(openings)
    endings = [world.ending(one, Usage(input=50, output=3)) for one in openings]
    ended = together([lambda: world.settle(endings), world.sweep, lambda: world.settle(endings[::-1]), world.sweep])
    assert sum(ended) == 60
    world.post()
    assert world.wallet().spent == sum(one.cost for one in endings)
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()
