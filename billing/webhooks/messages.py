"""What tenants are told, kind by kind: the data of each message, and the verbs that write one.

Each is called in the transaction of what it tells of, as the operator. Amounts are decimal texts: in USD where the name
ends in ``_usd``, else in the currency beside them. docs/guide/webhooks.md shows one of each, and a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from billing.models import Allowance, Invoice, MessageKind
from billing.money import format_minor, usd
from billing.outbox import Data, emit, moment

FOR_EVER = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EndingKey:
    """An API key whose time is over or nearly so; ``days`` is how many are left at most, 0 once it expired."""

    tenant_id: int
    public_id: str
    name: str
    project: str
    last_four: str
    expires_at: datetime
    days: int


def balance_low(*, tenant_id: int, left: int, threshold: int, days: int | None, now: datetime) -> None:
    """Less than a threshold (picodollars) is left; ``days`` is how long it lasts, None if nothing is used."""
    data = {"left_usd": usd(left), "threshold_usd": usd(threshold), "lasts_days": days}
    emit(tenant_id=tenant_id, kind=MessageKind.WALLET_LOW, subject="wallet", data=data, now=now)


def top_up_stopped(*, tenant_id: int, reason: str, now: datetime) -> None:
    """The automatic top-up does not go on."""
    emit(tenant_id=tenant_id, kind=MessageKind.TOP_UP_STOPPED, subject="wallet", data={"reason": reason}, now=now)


def invoice_finalised(*, invoice: Invoice, now: datetime) -> None:
    """An invoice or credit note has its number, and is what it is for ever."""
    _of_invoice(MessageKind.INVOICE_FINALISED, invoice, now, {})


def invoice_paid(*, invoice: Invoice, now: datetime) -> None:
    """Nothing of an invoice is left to pay."""
    _of_invoice(MessageKind.INVOICE_PAID, invoice, now, {})


def invoice_overdue(*, invoice: Invoice, unpaid: int, days_late: int, now: datetime) -> None:
    """An invoice is past due, and was reminded of; ``unpaid`` is in minor units of its currency."""
    more = {"unpaid": format_minor(unpaid, invoice.currency), "reminder_after_days": days_late}
    _of_invoice(MessageKind.INVOICE_OVERDUE, invoice, now, more)


def budget_reached(*, allowance: Allowance, percent: int, of: Data, now: datetime) -> bool:
    """So many percent of a budget are spent in this window; told once for each of them. ``of`` names its scope."""
    budget = allowance.budget
    if budget is None:
        return False
    ends_at = allowance.ends_at
    data = {
        "percent": percent,
        "budget": {"scope": budget.scope, **of, "window": budget.window, "limit_usd": usd(int(allowance.limit))},
        "spent_usd": usd(int(allowance.spent)),
        "window_starts_at": moment(allowance.starts_at),
        "window_ends_at": moment(ends_at) if ends_at else None,
    }
    return emit(
        tenant_id=allowance.tenant_id,
        kind=MessageKind.BUDGET_THRESHOLD,
        subject=f"allowance:{allowance.pk}",
        data=data,
        now=now,
        once_key=str(percent),
        # Beyond its window nobody asks again; a lifetime has no end, and neither has the memory of it.
        keep_until=ends_at or FOR_EVER,
    )


def key_ends(*, key: EndingKey, now: datetime) -> bool:
    """A key expires within ``days``, or has expired; told once for each, and anew when the date was changed."""
    kind = MessageKind.KEY_EXPIRING if key.days else MessageKind.KEY_EXPIRED
    shown: Data = {
        "id": key.public_id,
        "name": key.name,
        "project": key.project,
        "last_four": key.last_four,
        "expires_at": moment(key.expires_at),
    }
    data = {"key": shown, "within_days": key.days} if key.days else {"key": shown}
    once = f"{key.days}:{moment(key.expires_at)}"
    return emit(tenant_id=key.tenant_id, kind=kind, subject=f"key:{key.public_id}", data=data, now=now, once_key=once)


def _of_invoice(kind: str, invoice: Invoice, now: datetime, more: dict[str, Any]) -> None:
    shown: Data = {
        "id": invoice.pk,
        "number": invoice.number,
        "kind": invoice.kind,
        "corrects": invoice.corrects_id,
        "status": invoice.status,
        "period": invoice.period_label,
        "currency": invoice.currency,
        "subtotal": format_minor(invoice.subtotal, invoice.currency),
        "tax": format_minor(invoice.tax, invoice.currency),
        "total": format_minor(invoice.total, invoice.currency),
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "finalised_at": moment(invoice.finalised_at) if invoice.finalised_at else None,
    }
    emit(
        tenant_id=invoice.tenant_id,
        kind=kind,
        subject=f"invoice:{invoice.number}",
        data={"invoice": shown, **more},
        now=now,
    )
