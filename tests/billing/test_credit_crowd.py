"""Many workers on one wallet at once: each movement is sliced once, each credit ends once, no limit is overshot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from billing import books, charges, credit_ends, credit_rounds, credits
from billing.charges import Wanted
from billing.credits import CreditProblem
from billing.grants import Terms
from billing.meters import Usage
from billing.models import CreditGrant, CreditUse
from billing.periods import month
from portal.tenancy import as_operator
from tests.billing.crowd import together
from tests.billing.world import USD, World

pytestmark = pytest.mark.django_db(transaction=True)
MARCH = month("2027-03", "Europe/Paris")


def give(world: World, key: str, days: int) -> CreditGrant:
    ends = world.clock + timedelta(days=days)
    with as_operator():
        terms = Terms("paid", 3 * USD, world.clock, priority=1, expires_at=ends)
        return credits.grant(tenant=world.tenant, terms=terms, key=key, now=world.clock)


def test_invariant_20_workers_that_grant_slice_expire_and_refund_at_once_keep_the_books() -> None:
    world = World(mode="prepaid", credit=5 * USD)
    ending = [give(world, f"ending {number}", 1) for number in range(3)]
    for number in range(40):
        world.use(Usage(input=100_000 + number), at=world.clock + timedelta(minutes=20 * number))
    later = world.clock + timedelta(days=1)

    def charge(number: int) -> None:
        with as_operator():
            for amount in (USD // 10, USD // 20):
                wanted = Wanted("other", f"s{number}", "Something", amount)
                charges.bring_to(tenant=world.tenant, period=MARCH, wanted=wanted, now=later)

    def expire() -> None:
        with as_operator():
            credit_rounds.expire(tenant=world.tenant, now=later)

    def use() -> None:
        with as_operator():
            credit_rounds.use_all(now=later)

    def refund(number: int) -> None:
        with as_operator(), contextlib.suppress(CreditProblem):
            credit_ends.refund(tenant=world.tenant, grant=ending[0], amount=USD, key=str(number), now=later)

    def call() -> None:
        opening = world.opening(USD // 2)
        if not world.open([opening]):
            world.settle([world.ending(opening, Usage(input=1_000_000))])

    def grant() -> None:
        give(world, "the same", 30)

    jobs: list[Callable[[], None]] = [expire, expire, use, use, call, call, grant, grant]
    jobs += [partial(charge, number) for number in range(3)] + [partial(refund, number) for number in range(3)]
    together(jobs)
    with as_operator():
        credit_rounds.expire(tenant=world.tenant, now=later)
        assert books.check(tenant_id=world.tenant.id).differences == ()
        assert CreditGrant.objects.filter(tenant=world.tenant, key="grant:the same").count() == 1
        ended = CreditGrant.objects.filter(pk__in=[one.pk for one in ending])
        assert sum(int(one.unused) for one in ended) == 0
        taken = CreditUse.objects.filter(tenant=world.tenant, kind="consumed")
        assert sum(int(use.amount) for use in taken) == world.wallet().spent
    assert world.wallet().spent <= world.wallet().limit
