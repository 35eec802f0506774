"""Charges besides the price of single calls: minimums, tiers, free allowances, re-rated months, credits, anything else.

The only writer of Charge. A charge is debited where usage is, to the tenant's ``wallet`` or ``accrued``, and counts
against its wallet or credit line at once; the next invoice shows it as a line of its own, under its month.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Sum

from billing import ledger
from billing.ledger import Entry, Movement
from billing.models import Charge, LedgerAccount, Transfer, Wallet
from billing.parties import Tenant
from billing.periods import Period

ONE_CHARGER = 7_003
"""First half of the advisory lock under which one tenant's charges are made, one after the other."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the charges of one kind and subject in a month should sum to: signed picodollars, with the line's words.

    ``detail`` is how it came about, for whoever opens the line: plain JSON values, amounts as texts.
    """

    kind: str
    subject: str
    description: str
    exact: int
    detail: dict[str, Any] = field(default_factory=dict)


@transaction.atomic
def bring_to(*, tenant: Tenant, period: Period, wanted: Wanted, now: datetime) -> Charge | None:
    """Charge the difference between what is wanted and what was charged already; None if there is none.

    Called again it changes nothing. It counts as of the last moment of the month, or of ``now`` within it.
    """
    lock(tenant.id)
    made = Charge.objects.filter(
        tenant_id=tenant.id, period_label=period.label, kind=wanted.kind, subject=wanted.subject
    )
    difference = wanted.exact - int(made.aggregate(total=Sum("exact"))["total"] or 0)
    if not difference:
        return None
    return _make(tenant, period, wanted, difference, number=made.count() + 1, now=now)


def lock(tenant_id: int) -> None:
    """Wait until nobody else charges this tenant, up to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [ONE_CHARGER, tenant_id])


def charged(*, tenant_id: int, period_label: str, kinds: tuple[str, ...]) -> int:
    """The sum of a month's charges of some kinds."""
    made = Charge.objects.filter(tenant_id=tenant_id, period_label=period_label, kind__in=kinds)
    return int(made.aggregate(total=Sum("exact"))["total"] or 0)


def _make(tenant: Tenant, period: Period, wanted: Wanted, exact: int, *, number: int, now: datetime) -> Charge:
    kinds = LedgerAccount.Kind
    wallet = Wallet.objects.filter(tenant_id=tenant.id).first()
    prepaid = wallet is not None and wallet.mode == Wallet.Mode.PREPAID
    entries = (Entry(kinds.WALLET if prepaid else kinds.ACCRUED, exact), Entry(kinds.REVENUE, -exact))
    last = now if period.end is None else min(now, period.end - timedelta(microseconds=1))
    key = f"charge:{period.label}:{wanted.kind}:{number}:{wanted.subject}"
    movement = Movement(Transfer.Kind.CHARGE, key, max(period.start, last), entries, wanted.description)
    transfer, _made = ledger.post(tenant=tenant, movement=movement, now=now)
    charge = Charge.objects.create(
        tenant_id=tenant.id, kind=wanted.kind, subject=wanted.subject, period_label=period.label,
        effective_at=movement.effective_at, description=wanted.description, exact=exact, transfer=transfer,
        detail=wanted.detail, created_at=now,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT charge_wallet(%s, %s)", [tenant.id, exact])
    return charge
