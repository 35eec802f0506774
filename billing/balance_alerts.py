"""Telling a tenant that its wallet runs low, once per crossing, and how long it will last. Writes BalanceAlert."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Sum

from billing import notices, parties
from billing.models import Allowance, BalanceAlert, UsageRollup
from billing.parties import Tenant
from billing.webhooks import messages

MOST = 10
WEEK = timedelta(days=7)
LARGEST = 10**9 * 10**12


class AlertProblem(Exception):
    """Thresholds that cannot be, in plain words."""


@transaction.atomic
def set_thresholds(*, tenant: Tenant, thresholds: Collection[int]) -> None:
    """Tell the tenant at these amounts left (picodollars) and no others. What is kept stays armed or sent."""
    wanted = set(thresholds)
    if len(wanted) > MOST:
        raise AlertProblem(f"At most {MOST} thresholds.")
    if not all(0 <= each <= LARGEST for each in wanted):
        raise AlertProblem("A threshold is from nothing to a billion USD.")
    mine = BalanceAlert.objects.filter(tenant_id=tenant.id)
    mine.exclude(threshold__in=wanted).delete()
    kept = {int(threshold) for threshold in mine.values_list("threshold", flat=True)}
    left = left_in(tenant.id)
    BalanceAlert.objects.bulk_create(
        (BalanceAlert(tenant_id=tenant.id, threshold=each, is_armed=left >= each) for each in sorted(wanted - kept)),
        ignore_conflicts=True,
    )


def send_due(*, now: datetime) -> int:
    """Tell the tenants whose wallet fell below a threshold since they were last told; returns how many.

    Of several thresholds crossed at once the lowest is told. Any number of workers may do it at once.
    """
    sent = 0
    left = _left_by_tenant()
    for tenant in parties.tenants_by_id(left):
        sent += _send(tenant, left[tenant.id], now)
    return sent


def runway_days(*, tenant_id: int, now: datetime) -> int | None:
    """Whole days that what is left lasts at the average of the last seven days; None when nothing was used.

    Integers alone: days = left × 7 // used.
    """
    week = UsageRollup.objects.filter(tenant_id=tenant_id, bucket_at__gte=now - WEEK, bucket_at__lte=now)
    used = int(week.aggregate(total=Sum("cost"))["total"] or 0)
    return max(0, left_in(tenant_id)) * WEEK.days // used if used > 0 else None


def left_in(tenant_id: int) -> int:
    """What is left in a wallet, running calls not counted."""
    row = Allowance.objects.filter(tenant_id=tenant_id, kind=Allowance.Kind.WALLET).first()
    return int(row.limit - row.spent) if row else 0


def _left_by_tenant() -> dict[int, int]:
    """What is left of tenants with alerts."""
    rows = Allowance.objects.filter(kind=Allowance.Kind.WALLET, tenant__in=BalanceAlert.objects.values("tenant"))
    return {tenant: int(left) for tenant, left in rows.values_list("tenant_id", F("limit") - F("spent"))}


@transaction.atomic
def _send(tenant: Tenant, left: int, now: datetime) -> bool:
    """The update of what is armed is won by one worker; whoever else asks finds nothing armed."""
    alerts = BalanceAlert.objects.filter(tenant_id=tenant.id)
    alerts.filter(is_armed=False, threshold__lte=left).update(is_armed=True)
    crossed = alerts.select_for_update().filter(is_armed=True, threshold__gt=left).order_by("threshold")
    found = [(row.pk, int(row.threshold)) for row in crossed]
    if not found:
        return False
    alerts.filter(pk__in=[pk for pk, _threshold in found]).update(is_armed=False, sent_at=now)
    days = runway_days(tenant_id=tenant.id, now=now)
    notices.tell(tenant=tenant, notice=notices.low_balance(left=left, threshold=found[0][1], days=days))
    messages.balance_low(tenant_id=tenant.id, left=left, threshold=found[0][1], days=days, now=now)
    return True
