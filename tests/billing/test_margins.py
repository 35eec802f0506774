"""Margins are revenue less what upstreams charged then; what is sold below cost is told."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.utils.timezone import now

from billing import costs, journal, margins, tasks
from billing.costs import CostProblem
from billing.margins import MarginProblem
from billing.meters import Usage
from billing.models import CostPrice, LossAlert
from portal.models import User
from portal.tenancy import as_operator
from tests.billing.test_reconciliation import Provider
from tests.billing.world import START

BEFORE, AFTER = START - timedelta(days=1), START + timedelta(days=1)


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider()


def charge(provider: Provider, *, days: int = -1, **prices: int) -> CostPrice | None:
    with as_operator():
        return costs.record(
            upstream=provider.upstream, upstream_model="gpt-5", costs=prices,
            effective_from=START + timedelta(days=days), now=START,
        )  # fmt: skip


def margin(provider: Provider, by: str = "model") -> margins.Margin:
    name = {"model": provider.world.model, "tenant": provider.world.tenant.slug, "day": "2027-03-10",
            "upstream": f"{provider.upstream} gpt-5"}[by]  # fmt: skip
    with as_operator():
        found = margins.margins(by=by, since=BEFORE, until=AFTER)
    return next(row for row in found if row.name == name)


@pytest.mark.parametrize("by", ["model", "tenant", "upstream", "day"])
def test_a_margin_is_revenue_less_cost(provider: Provider, by: str) -> None:
    charge(provider, input=100_000, output=400_000)
    provider.call(Usage(input=10, output=20))
    one = margin(provider, by)
    assert (one.revenue, one.cost) == (10 * 150_000 + 20 * 600_000, 10 * 100_000 + 20 * 400_000)
    assert one.margin == 4_500_000
    assert one.basis_points == 3333


def test_a_call_goes_by_the_cost_of_its_time(provider: Provider) -> None:
    provider.call(Usage(input=10))
    charge(provider, input=100)
    charge(provider, days=1, input=900)
    assert margin(provider).cost == 1_000


def test_what_has_no_known_cost_is_told_apart(provider: Provider) -> None:
    provider.call(Usage(input=10))
    one = margin(provider)
    assert (one.revenue_without_cost, one.margin, one.basis_points) == (one.revenue, 0, None)


def test_it_finds_what_is_sold_below_cost(provider: Provider) -> None:
    provider.call(Usage(input=10))
    charge(provider, input=150_000, output=600_001)
    with as_operator():
        found = [loss for loss in margins.losses(now=START + timedelta(hours=1)) if loss.model == provider.world.model]
    assert {(loss.token_class, loss.price, loss.cost) for loss in found} >= {("output", 600_000, 600_001)}
    assert "input" not in {loss.token_class for loss in found}


def test_the_job_tells_operators_of_it_once(
    provider: Provider, caplog: pytest.LogCaptureFixture, mailoutbox: Any, django_capture_on_commit_callbacks: Any
) -> None:
    moment = now()
    User.objects.create_superuser("op@tollgate.test", None)
    provider.world.clock, provider.world.model = moment, f"{provider.world.model}-now"
    with as_operator():
        journal.ensure_partitions(now=moment)
    provider.world.price = provider.world.publish({"input": 100, "output": 100})
    provider.call(Usage(input=10), at=moment)
    with as_operator():
        costs.record(
            upstream=provider.upstream, upstream_model="gpt-5", costs={"input": 200}, effective_from=moment, now=moment
        )
        with django_capture_on_commit_callbacks(execute=True):
            tasks.check_margins()
    assert f"sold below cost: input of {provider.world.model}" in caplog.text
    (mail,) = mailoutbox
    assert (mail.bcc, f"input of {provider.world.model} is sold at" in mail.body) == (["op@tollgate.test"], True)

    caplog.clear()
    with as_operator(), django_capture_on_commit_callbacks(execute=True):
        tasks.check_margins()  # an hour later
        assert (len(mailoutbox), caplog.text) == (1, "")
        CostPrice.objects.filter(upstream=provider.upstream).delete()
        tasks.check_margins()
        assert not LossAlert.objects.filter(upstream=provider.upstream).exists()
        costs.record(
            upstream=provider.upstream, upstream_model="gpt-5", costs={"input": 300}, effective_from=moment, now=moment
        )
        tasks.check_margins()
    assert len(mailoutbox) == 2


def test_costs_never_overlap(provider: Provider) -> None:
    first = charge(provider, input=1)
    assert first is not None
    assert charge(provider, days=0, input=1) is None
    with pytest.raises(CostProblem, match="begins after it"):
        charge(provider, days=-2, input=2)
    first.pk = None
    with pytest.raises(IntegrityError), as_operator():
        first.save(force_insert=True)


@pytest.mark.parametrize("wrong", [{}, {"inputs": 1}, {"input": -1}])
def test_it_refuses_costs_that_are_none(provider: Provider, wrong: dict[str, int]) -> None:
    with pytest.raises(CostProblem):
        charge(provider, **wrong)


def test_it_answers_no_unbounded_question(provider: Provider) -> None:
    with pytest.raises(MarginProblem, match="93 days"):
        margins.margins(by="model", since=START, until=START + timedelta(days=94))
    with pytest.raises(MarginProblem, match="by model"):
        margins.margins(by="secret", since=START, until=AFTER)


def test_the_command_stores_a_cost(provider: Provider) -> None:
    out = StringIO()
    with as_operator():
        call_command("set_cost", provider.upstream, "gpt-5", "input=0.15", "per_request=0.01", stdout=out)
        cost = CostPrice.objects.get(upstream=provider.upstream)
        with pytest.raises(CommandError):
            call_command("set_cost", provider.upstream, "gpt-5", "input=much")
    assert (cost.input, cost.cache_read, cost.per_request) == (150_000, 150_000, 10**10)
