"""Wallets that run low: filled once per crossing, people told once, and how long they last."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.core import mail

from billing import balance_alerts, ledger, top_ups
from billing.balance_alerts import AlertProblem
from billing.meters import Usage
from billing.models import BalanceAlert, TopUpAttempt, TopUpRule
from billing.parties import Tenant
from billing.top_ups import NoCashier, Rule, TopUpProblem
from portal.models import Membership, Role, User
from portal.tenancy import as_operator
from tests.billing.crowd import together
from tests.billing.world import USD, World

SPEND = Usage(input=600_000_000)
"""90 USD of a wallet of 100."""


@dataclass
class Till:
    """Payments that are noted, or that fail."""

    problem: str = ""
    asked: list[tuple[int, int, str]] = field(default_factory=list)

    def request_top_up(self, tenant: Tenant, amount: int, reason: str, now: datetime) -> object:
        self.asked.append((tenant.id, amount, reason))
        if self.problem:
            raise TopUpProblem(self.problem)
        return None


def set_rule(world: World, *, most: int = 3) -> None:
    with as_operator():
        top_ups.set_rule(tenant=world.tenant, rule=Rule(20 * USD, 50 * USD, most), now=world.clock)


def fire(world: World, till: Till) -> int:
    with as_operator():
        return top_ups.fire_due(now=world.clock, by=till)


def rule_of(world: World) -> TopUpRule:
    with as_operator():
        return TopUpRule.objects.get(tenant=world.tenant)


def people(world: World) -> None:
    """One member of each role."""
    with as_operator():
        for role in Role.values:
            user = User.objects.create_user(f"{role}-{world.tenant.slug}@example.com")
            Membership.objects.create(tenant=world.tenant, user=user, role=role)


def test_a_rule_fires_once_per_crossing(prepaid: World) -> None:
    set_rule(prepaid)
    till = Till()
    assert fire(prepaid, till) == 0
    prepaid.use(SPEND)
    assert [fire(prepaid, till) for _ in range(3)] == [1, 0, 0]
    assert till.asked == [(prepaid.tenant.id, 50 * USD, "Automatic top-up 1 of 2027-03")]
    assert rule_of(prepaid).state == "fired"
    with as_operator():
        ledger.top_up(tenant=prepaid.tenant, amount=50 * USD, key="paid", now=prepaid.clock)
    assert fire(prepaid, till) == 0
    assert rule_of(prepaid).state == "armed"
    prepaid.use(Usage(input=300_000_000))
    assert fire(prepaid, till) == 1
    assert till.asked[-1][2] == "Automatic top-up 2 of 2027-03"


def test_a_month_s_last_top_up_stops_the_rule_and_says_so(prepaid: World) -> None:
    set_rule(prepaid, most=1)
    till = Till()
    prepaid.use(SPEND)
    fire(prepaid, till)
    with as_operator():
        ledger.top_up(tenant=prepaid.tenant, amount=50 * USD, key="paid", now=prepaid.clock)
    fire(prepaid, till)
    prepaid.use(Usage(input=300_000_000))
    assert fire(prepaid, till) == 0
    assert len(till.asked) == 1
    assert (rule_of(prepaid).state, rule_of(prepaid).reason) == (
        "stopped", "It topped up 1 times in 2027-03, the most you allowed.",
    )  # fmt: skip


def test_a_payment_that_fails_stops_the_rule_with_its_reason_and_tells_people(
    prepaid: World, django_capture_on_commit_callbacks: object
) -> None:
    people(prepaid)
    set_rule(prepaid)
    prepaid.use(SPEND)
    till = Till(problem="Your card was declined.")
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        assert [fire(prepaid, till) for _ in range(2)] == [0, 0]
    assert len(till.asked) == 1
    assert (rule_of(prepaid).state, rule_of(prepaid).reason) == ("stopped", "Your card was declined.")
    with as_operator():
        attempt = TopUpAttempt.objects.get(tenant=prepaid.tenant)
    assert (attempt.state, attempt.reason) == ("failed", "Your card was declined.")
    (message,) = mail.outbox
    assert sorted(message.bcc) == sorted(f"{role}-{prepaid.tenant.slug}@example.com" for role in ("owner", "finance"))
    assert "Your card was declined." in message.body
    set_rule(prepaid)
    assert rule_of(prepaid).state == "armed"


def test_without_payments_a_rule_stops_and_says_so(prepaid: World) -> None:
    set_rule(prepaid)
    prepaid.use(SPEND)
    with as_operator():
        assert top_ups.fire_due(now=prepaid.clock, by=NoCashier()) == 0
    assert rule_of(prepaid).reason == "No way to pay automatically is set up."


def test_a_rule_that_cannot_be_is_refused(prepaid: World, world: World) -> None:
    for tenant, rule, words in (
        (world.tenant, Rule(1, 1, 1), "prepaid"),
        (prepaid.tenant, Rule(1, 0, 1), "more than nothing"),
        (prepaid.tenant, Rule(-1, 1, 1), "more than nothing"),
        (prepaid.tenant, Rule(1, 1, 0), "once"),
    ):
        with as_operator(), pytest.raises(TopUpProblem, match=words):
            top_ups.set_rule(tenant=tenant, rule=rule, now=prepaid.clock)


def test_a_dropped_rule_fires_no_more(prepaid: World) -> None:
    set_rule(prepaid)
    with as_operator():
        assert [top_ups.drop_rule(tenant=prepaid.tenant) for _ in range(2)] == [True, False]
    prepaid.use(SPEND)
    assert fire(prepaid, Till()) == 0


@pytest.mark.django_db(transaction=True)
def test_many_workers_fire_once() -> None:
    world = World(mode="prepaid")
    set_rule(world)
    world.use(SPEND)
    till = Till()
    assert sum(together([partial(fire, world, till) for _ in range(8)])) == 1
    assert len(till.asked) == 1


def test_people_are_told_once_per_crossing_at_the_lowest(
    prepaid: World, django_capture_on_commit_callbacks: object
) -> None:
    people(prepaid)
    with as_operator():
        balance_alerts.set_thresholds(tenant=prepaid.tenant, thresholds=[50 * USD, 20 * USD, 5 * USD])
    sent: list[int] = []
    for act in (None, SPEND, None, "fill", SPEND, None):
        if isinstance(act, Usage):
            prepaid.use(act)
        with as_operator():
            if act == "fill":
                ledger.top_up(tenant=prepaid.tenant, amount=90 * USD, key="paid", now=prepaid.clock)
            with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
                sent.append(balance_alerts.send_due(now=prepaid.clock))
    assert sent == [0, 1, 0, 0, 1, 0]
    assert len(mail.outbox) == 2
    assert "less than the 20.00 USD" in mail.outbox[0].body
    assert sorted(mail.outbox[0].bcc) == [f"{role}-{prepaid.tenant.slug}@example.com" for role in ("finance", "owner")]


def test_a_threshold_that_is_crossed_already_waits_until_it_is_crossed_again(prepaid: World) -> None:
    with as_operator():
        balance_alerts.set_thresholds(tenant=prepaid.tenant, thresholds=[500 * USD])
        assert balance_alerts.send_due(now=prepaid.clock) == 0
        balance_alerts.set_thresholds(tenant=prepaid.tenant, thresholds=[])
        assert not BalanceAlert.objects.filter(tenant=prepaid.tenant).exists()


@pytest.mark.parametrize("thresholds", [[-1], list(range(11))])
def test_thresholds_that_cannot_be_are_refused(prepaid: World, thresholds: list[int]) -> None:
    with as_operator(), pytest.raises(AlertProblem):
        balance_alerts.set_thresholds(tenant=prepaid.tenant, thresholds=thresholds)


def test_the_runway_is_what_is_left_at_the_average_of_a_week(prepaid: World) -> None:
    def days() -> int | None:
        with as_operator():
            return balance_alerts.runway_days(tenant_id=prepaid.tenant.id, now=prepaid.clock)

    assert days() is None
    prepaid.use(Usage(input=20_000_000), at=prepaid.clock - timedelta(days=6))
    prepaid.use(Usage(input=20_000_000), at=prepaid.clock - timedelta(days=8))
    prepaid.post()
    assert days() == 94 * 7 // 3
    prepaid.use(Usage(input=620_000_000))
    prepaid.post()
    assert days() == 1 * 7 // 96
