"""What happened to invoices, who did it and why: the only writer of InvoiceEvent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.models import Invoice, InvoiceEvent


@dataclass(frozen=True, slots=True)
class Said:
    """Who does something to an invoice, and why, in words for whoever reads it later."""

    actor: str = ""
    reason: str = ""


def note(*, invoice: Invoice, kind: str, said: Said, now: datetime, step: int = 0) -> InvoiceEvent:
    """Write down what happened to an invoice; ``step`` is of a reminder."""
    return InvoiceEvent.objects.create(
        invoice=invoice, tenant_id=invoice.tenant_id, kind=kind, step=step, actor=said.actor[:200],
        reason=said.reason[:200], at=now,
    )  # fmt: skip
