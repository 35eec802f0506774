"""What members do with their organisation's wallet, each act with its audit row."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from billing import balance_alerts, top_ups, vouchers
from billing.models import CreditGrant
from billing.money import usd
from billing.top_ups import Rule
from billing.vouchers import VoucherProblem
from portal import audit
from portal.models import Tenant, User
from portal.tenancy import as_operator


def redeem(*, tenant: Tenant, code: str, actor: User, now: datetime) -> CreditGrant:
    """Redeem a voucher's code, as the operator: a tenant sees no vouchers. Raises VoucherProblem.

    The exception leaves only after the block has ended, so that the wrong code stays counted.
    """
    problem: VoucherProblem
    with as_operator():
        try:
            grant = vouchers.redeem(tenant=tenant, code=code, now=now)
        except VoucherProblem as caught:
            problem = caught
        else:
            detail: dict[str, object] = {"amount": usd(int(grant.amount)), "kind": grant.kind}
            subject = grant.memo
            audit.record(tenant=tenant, actor=actor, action="voucher.redeem", subject=subject, now=now, detail=detail)
            return grant
    raise problem


@transaction.atomic
def set_rule(*, tenant: Tenant, rule: Rule, actor: User, now: datetime) -> None:
    """Fill the wallet by itself from now on. Raises TopUpProblem."""
    made = top_ups.set_rule(tenant=tenant, rule=rule, now=now)
    _record(tenant, actor, "wallet.set_top_up_rule", now, {"rule": top_ups.words(made)})


@transaction.atomic
def drop_rule(*, tenant: Tenant, actor: User, now: datetime) -> bool:
    """No more automatic top-ups; whether there was a rule."""
    dropped = top_ups.drop_rule(tenant=tenant)
    if dropped:
        _record(tenant, actor, "wallet.drop_top_up_rule", now, {})
    return dropped


@transaction.atomic
def set_thresholds(*, tenant: Tenant, thresholds: Collection[int], actor: User, now: datetime) -> None:
    """Say at which amounts left people are told. Raises AlertProblem."""
    balance_alerts.set_thresholds(tenant=tenant, thresholds=thresholds)
    shown = ", ".join(usd(each) for each in sorted(set(thresholds), reverse=True)) or "none"
    _record(tenant, actor, "wallet.set_alerts", now, {"thresholds": shown})


def _record(tenant: Tenant, actor: User, action: str, now: datetime, detail: dict[str, object]) -> None:
    audit.record(tenant=tenant, actor=actor, action=action, subject=tenant.slug, now=now, detail=detail)
