"""Closing a month from the pages or the API: draft, finalise, discard, each with its audit row.

The caller has asked portal/access.py whether the person may. Invoices are written as the operator: the portal's own
database role can only read them.
"""

from __future__ import annotations

from datetime import datetime

from billing import books, invoices, posting
from billing.invoices import InvoiceProblem
from billing.models import Invoice
from portal import audit
from portal.models import Tenant, User
from portal.tenancy import as_operator


def draft_month(*, tenant: Tenant, month: str, actor: User | None, now: datetime) -> Invoice:
    """The draft of a month (``2026-11``), built anew with everything settled until now.

    Raises InvoiceProblem and PeriodProblem in plain words.
    """
    with as_operator():
        posting.post_everything(now=now, tenant_id=tenant.pk)
        invoice = invoices.draft(tenant=tenant, month=month, now=now)
        audit.record(tenant=tenant, actor=actor, action="invoice.draft", subject=month, now=now)
    return invoice


def finalise(*, invoice: Invoice, actor: User | None, now: datetime) -> Invoice:
    """Number a draft and make it immutable, exactly as it reads.

    If the tenant's books do not balance, the draft is parked with the reason instead and comes back as a draft. Raises
    InvoiceProblem if there is nothing on it or its sums disagree.
    """
    if invoice.status != Invoice.Status.DRAFT:
        raise InvoiceProblem(f"This invoice is {invoice.status} already.")
    with as_operator():
        differences = books.check(tenant_id=invoice.tenant_id).differences
        if differences:
            return invoices.park(invoice=invoice, reason=f"The books differ: {differences[0].check}.")
        audit.record(
            tenant=invoice.tenant,
            actor=actor,
            action="invoice.finalise",
            subject=invoice.period_label,
            now=now,
            detail={"invoice": invoice.pk, "total": str(invoice.total), "currency": invoice.currency},
        )
        return invoices.finalise(invoice=invoice, now=now)


def discard(*, invoice: Invoice, actor: User | None, now: datetime) -> None:
    """Take a draft back; what was on it waits for the next one."""
    if invoice.status != Invoice.Status.DRAFT:
        raise InvoiceProblem(f"This invoice is {invoice.status}: it can no longer be discarded.")
    with as_operator():
        audit.record(
            tenant=invoice.tenant, actor=actor, action="invoice.discard", subject=invoice.period_label, now=now
        )
        invoices.discard(invoice=invoice)
