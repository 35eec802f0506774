"""Closing a month from the pages or the API: draft, finalise, discard, each with its audit row.

The caller has asked portal/access.py whether the person may. Invoices are written as the operator: the portal's own
database role can only read them.
"""

from __future__ import annotations

from datetime import datetime

from billing import closing as billing_closing
from billing import invoice_states, invoices, terms
from billing.invoice_events import Said
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
        invoice = billing_closing.draft(tenant=tenant, month=month, now=now)
        audit.record(tenant=tenant, actor=actor, action="invoice.draft", subject=month, now=now)
    return invoice


def finalise(*, invoice: Invoice, actor: User | None, now: datetime) -> Invoice:
    """Number a draft and make it immutable, exactly as it reads.

    If the tenant's books do not balance, or the sum is far above what it was, the draft is parked with the reason and
    comes back as a draft, to be released by an operator. Raises InvoiceProblem if there is nothing on it, its sums
    disagree, or its month is over and the contract's minimum or more is still to be charged for it.
    """
    if invoice.status != Invoice.Status.DRAFT:
        raise InvoiceProblem(f"This invoice is {invoice.status} already.")
    with as_operator():
        over, label = invoice.period_end_at <= now, invoice.period_label
        if over and terms.apply_until(tenant=invoice.tenant, label=label, now=now):  # taken back with the transaction
            raise InvoiceProblem("The contract comes to something else by now: build the draft anew.")
        if reason := billing_closing.doubts(invoice):
            return invoices.park(invoice=invoice, reason=reason)
        invoices.seal(invoice=invoice, now=now)  # reads every call: before the tenant's lock is taken
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


def dispute(*, invoice: Invoice, reason: str, actor: User, now: datetime) -> None:
    """The tenant says that something is wrong: no reminders until that is settled. Raises InvoiceProblem."""
    with as_operator():
        invoice_states.dispute(invoice=invoice, said=Said(str(actor), reason), now=now)
        _record(invoice, "invoice.dispute", reason, actor, now)


def settle_dispute(*, invoice: Invoice, reason: str, actor: User, now: datetime) -> None:
    """The dispute is over. Raises InvoiceProblem."""
    with as_operator():
        invoice_states.settle_dispute(invoice=invoice, said=Said(str(actor), reason), now=now)
        _record(invoice, "invoice.settle_dispute", reason, actor, now)


def _record(invoice: Invoice, action: str, reason: str, actor: User | None, now: datetime) -> None:
    detail: dict[str, object] = {"invoice": invoice.pk, "reason": reason}
    audit.record(tenant=invoice.tenant, actor=actor, action=action, subject=str(invoice), now=now, detail=detail)
