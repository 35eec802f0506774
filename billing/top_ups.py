"""Automatic top-ups: a tenant's rule, and its firing once per crossing. The only writer of TopUpRule and TopUpAttempt.

Whoever fires a rule moves it from ``armed`` to ``fired`` by an update that one worker alone can win, writes the attempt
and asks for the payment in the same transaction: a worker that dies has done nothing, or all of it. It is armed again
once the threshold is left. A payment that fails, or one more than a month may have, stops the rule with a reason, and
the tenant's people are told.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.db import transaction
from django.db.models import F

from billing import credits, notices, parties
from billing.models import Allowance, TopUpAttempt, TopUpRule
from billing.money import usd
from billing.parties import Tenant
from billing.periods import month_of
from billing.webhooks import messages

MOST_PER_MONTH = 100
LARGEST = 10**6 * 10**12
"""A rule tops up by at most a million USD."""
State = TopUpRule.State
logger = logging.getLogger(__name__)


class TopUpProblem(Exception):
    """A rule that cannot be, or a payment that was not made; in words for the tenant."""


class Cashier(Protocol):
    """Who asks for the payment of a top-up, such as by charging a saved card; the credit comes when it is paid.

    Raises TopUpProblem, in words for the tenant, when no payment can be asked for.
    """

    def request_top_up(self, tenant: Tenant, amount: int, reason: str, now: datetime) -> object: ...


class NoCashier:
    """Where no payments are set up, a rule stops and says so."""

    def request_top_up(self, tenant: Tenant, amount: int, reason: str, now: datetime) -> object:
        """There is nothing to ask."""
        raise TopUpProblem("No way to pay automatically is set up.")


@dataclass(frozen=True, slots=True)
class Rule:
    """Top up by ``amount`` when less than ``threshold`` is left (picodollars), at most so often in a month."""

    threshold: int
    amount: int
    most_per_month: int


def cashier() -> Cashier:
    """The payments of this installation."""
    if importlib.util.find_spec("billing.payments") is None:
        return NoCashier()
    found = importlib.import_module("billing.payments")
    return found if hasattr(found, "request_top_up") else NoCashier()


def set_rule(*, tenant: Tenant, rule: Rule, now: datetime) -> TopUpRule:
    """Set a tenant's rule and arm it. Raises TopUpProblem."""
    if not credits.is_prepaid(tenant.id):
        raise TopUpProblem("Only a prepaid balance is topped up.")
    if not 0 < rule.amount <= LARGEST or not 0 <= rule.threshold <= LARGEST:
        raise TopUpProblem("Top up by more than nothing, and at most a million USD.")
    if not 0 < rule.most_per_month <= MOST_PER_MONTH:
        raise TopUpProblem(f"Top up from once to {MOST_PER_MONTH} times a month.")
    values = {
        "threshold": rule.threshold, "amount": rule.amount, "most_per_month": rule.most_per_month,
        "state": State.ARMED, "reason": "", "changed_at": now,
    }  # fmt: skip
    made, _new = TopUpRule.objects.update_or_create(tenant_id=tenant.id, defaults=values)
    return made


def drop_rule(*, tenant: Tenant) -> bool:
    """Top up by hand from now on; whether there was a rule."""
    return bool(TopUpRule.objects.filter(tenant_id=tenant.id).delete()[0])


def fire_due(*, now: datetime, by: Cashier | None = None) -> int:
    """Arm what is above its threshold again, and fire what fell below; returns how many payments were asked for.

    Any number of workers may do it at once.
    """
    _arm_again(now)
    below = TopUpRule.objects.filter(state=State.ARMED, tenant_id__in=_tenants_below())
    waiting = parties.tenants_by_id(below.values_list("tenant_id", flat=True))
    return sum([fire(tenant=tenant, now=now, by=by or cashier()) for tenant in waiting])


@transaction.atomic
def fire(*, tenant: Tenant, now: datetime, by: Cashier) -> bool:
    """Fire a tenant's rule if it is armed and its balance below; whether a payment was asked for."""
    attempt = _claim(tenant, now)
    if attempt is None:
        return False
    reason = f"Automatic top-up {attempt.number} of {attempt.period_label}"
    try:
        with transaction.atomic():
            by.request_top_up(tenant, int(attempt.amount), reason, now)
    except TopUpProblem as problem:
        failed(tenant=tenant, reason=str(problem), now=now)
        return False
    return True


def failed(*, tenant: Tenant, reason: str, now: datetime) -> None:
    """A payment that was asked for is not made: stop the rule, say why, and tell the tenant's people, once."""
    with transaction.atomic():
        stopped = TopUpRule.objects.filter(tenant_id=tenant.id).exclude(state=State.STOPPED)
        if not stopped.update(state=State.STOPPED, reason=reason[:200], changed_at=now):
            return
        last = TopUpAttempt.objects.filter(tenant_id=tenant.id).order_by("-pk").first()
        if last is not None:
            TopUpAttempt.objects.filter(pk=last.pk).update(state=TopUpAttempt.State.FAILED, reason=reason[:200])
        notices.tell(tenant=tenant, notice=notices.top_up_stopped(reason))
        messages.top_up_stopped(tenant_id=tenant.id, reason=reason, now=now)


def _claim(tenant: Tenant, now: datetime) -> TopUpAttempt | None:
    """The attempt of whoever wins the crossing; None for the others, and when the month's firings are used up."""
    rule = TopUpRule.objects.select_for_update().filter(tenant_id=tenant.id, state=State.ARMED).first()
    if rule is None or tenant.id not in _tenants_below(tenant.id):
        return None
    label = month_of(now, tenant.timezone).label
    made = TopUpAttempt.objects.filter(tenant_id=tenant.id, period_label=label).count()
    if made >= rule.most_per_month:
        failed(tenant=tenant, reason=f"It topped up {made} times in {label}, the most you allowed.", now=now)
        return None
    TopUpRule.objects.filter(pk=rule.pk).update(state=State.FIRED, changed_at=now)
    return TopUpAttempt.objects.create(
        tenant_id=tenant.id, period_label=label, number=made + 1, amount=rule.amount, made_at=now
    )


def _arm_again(now: datetime) -> None:
    above = TopUpRule.objects.filter(state=State.FIRED).exclude(tenant_id__in=_tenants_below())
    above.update(state=State.ARMED, changed_at=now)


def _tenants_below(tenant_id: int | None = None) -> list[int]:
    """Tenants with a rule and less left than its threshold."""
    wallets = Allowance.objects.filter(kind=Allowance.Kind.WALLET, tenant__in=TopUpRule.objects.values("tenant"))
    if tenant_id is not None:
        wallets = wallets.filter(tenant_id=tenant_id)
    rules = {
        rule.tenant_id: int(rule.threshold) for rule in TopUpRule.objects.filter(tenant__in=wallets.values("tenant"))
    }
    left = wallets.annotate(left=F("limit") - F("spent")).values_list("tenant_id", "left")
    return [tenant for tenant, amount in left if tenant in rules and int(amount) < rules[tenant]]


def words(rule: TopUpRule) -> str:
    """What a rule does, in a sentence."""
    often = "once a month" if rule.most_per_month == 1 else f"{rule.most_per_month} times a month"
    amounts = f"{usd(int(rule.amount))} USD when less than {usd(int(rule.threshold))} USD is left"
    return f"Tops up by {amounts}, at most {often}."
