"""Two operators at once: a proposal is decided once, and its prices are published once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from billing import catalog, price_sheets, proposals, reratings
from billing.meters import Usage
from billing.models import Charge, Price, PriceProposal, Rerating
from billing.price_sheets import Sheet
from billing.proposals import Change, ProposalProblem
from billing.reratings import Asked
from portal.models import User
from portal.tenancy import as_operator
from tests.billing.crowd import together
from tests.billing.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_approvals_at_once_publish_once(settings: Any) -> None:
    settings.FOUR_EYES = True
    world = World()
    start = world.clock + timedelta(days=1)
    with as_operator():
        one, *others = [
            User.objects.create_superuser(f"{name}@tollgate.test", None) for name in ("one", "two", "three")
        ]
        book = catalog.default_book()
        sheets = price_sheets.replacing([Sheet(world.model, {"input": 1, "output": 2})], book)
        proposal = proposals.propose(Change(book, sheets, start), actor_id=one.pk, now=world.clock)
        assert proposal is not None

    def decide(user: User, approve: bool) -> str:
        try:
            with as_operator():
                if approve:
                    proposals.approve(proposal_id=proposal.pk, actor_id=user.pk, now=world.clock)
                else:
                    proposals.reject(proposal_id=proposal.pk, actor_id=user.pk, reason="no", now=world.clock)
        except ProposalProblem as problem:
            return str(problem)
        return "decided"

    jobs = [partial(decide, user, approve) for user in others for approve in (True, True, False)]
    answers = together(jobs)
    assert answers.count("decided") == 1
    with as_operator():
        decided = PriceProposal.objects.get(pk=proposal.pk)
        published = Price.objects.filter(model=world.model, effective_from=start).count()
    assert published == (1 if decided.state == "approved" else 0)
    assert set(answers) == {"decided", f"It was {decided.state} already."}


def test_workers_at_once_charge_once() -> None:
    world = World()
    world.use(Usage(input=10**6))
    now = world.clock + timedelta(days=30)
    with as_operator():
        user = User.objects.create_superuser("one@tollgate.test", None)
        sheets = [Sheet(world.model, {"input": 250_000, "output": 1})]
        span = (world.clock - timedelta(days=1), world.clock + timedelta(days=1))
        asked = Asked(catalog.default_book(), None, [world.model], *span, sheets, "x")
        row = reratings.ask(asked, actor_id=user.pk, now=now)

    def work() -> str:
        with as_operator():
            return reratings.work(row.pk, now=now).state

    together([work] * 4)
    with as_operator():
        reratings.confirm(rerating_id=row.pk, actor_id=user.pk, now=now)
    together([work] * 4)
    with as_operator():
        assert Rerating.objects.get(pk=row.pk).state == "done"
        (charge,) = Charge.objects.filter(kind="rerated")
    assert int(charge.exact) == 100_000 * 10**6
