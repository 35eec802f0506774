"""What becomes of an invoice: released if it was put aside; then paid, void, uncollectible; disputed for a while.

Each says who and why. The status goes on once, but for money: what was given up can be paid after all, and what was
paid is open again when the money went back. A trigger keeps it so whoever writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from billing import credit_notes, dues, invoices
from billing.invoice_events import Said, note
from billing.invoices import InvoiceProblem
from billing.models import Invoice, InvoiceEvent
from billing.money import format_minor
from billing.webhooks import messages

Kind, Status = InvoiceEvent.Kind, Invoice.Status


@transaction.atomic
def release(*, invoice: Invoice, said: Said, now: datetime) -> Invoice:
    """Finalise a parked draft all the same, for a reason. What it says must still agree with the ledger."""
    _must_say_why(said)
    invoices.lock(invoice.tenant_id)
    invoice = invoices.reread(invoice)
    if invoice.status != Status.DRAFT or not invoice.parked_reason:
        raise InvoiceProblem("Only a draft that was put aside is released.")
    note(invoice=invoice, kind=Kind.RELEASED, said=said, now=now)
    return invoices.finalise(invoice=invoice, now=now)


@transaction.atomic
def mark_paid(*, invoice: Invoice, now: datetime, said: Said | None = None) -> Invoice:
    """Finalised, or given up, → paid, once payments leave nothing to pay. Again changes nothing.

    Raises InvoiceProblem.
    """
    invoice = _locked(invoice)
    if invoice.status == Status.PAID:
        return invoice
    left = dues.unpaid(invoice)
    if left > 0:
        raise InvoiceProblem(
            f"{format_minor(left, invoice.currency)} {invoice.currency} of {invoice} are not paid: record the payment."
        )
    paid = _go_on(invoice, Status.PAID, said or Said(), now, after=dues.OWED)
    messages.invoice_paid(invoice=paid, now=now)
    return paid


@transaction.atomic
def reopen(*, invoice: Invoice, said: Said, now: datetime) -> Invoice:
    """Paid → finalised: money of it went back, and it is to be paid again. Raises InvoiceProblem."""
    invoice = _locked(invoice)
    if dues.unpaid(invoice) <= 0:
        raise InvoiceProblem(f"{invoice} is paid.")
    Invoice.objects.filter(pk=invoice.pk, status=Status.PAID).update(status=Status.FINALISED)
    note(invoice=invoice, kind=Kind.REOPENED, said=said, now=now)
    invoice.status = Status.FINALISED
    return invoice


@transaction.atomic
def write_off(*, invoice: Invoice, said: Said, now: datetime) -> Invoice:
    """Finalised → uncollectible: nobody expects the money any more; the receivable stays in the ledger."""
    _must_say_why(said)
    return _go_on(_locked(invoice), Status.UNCOLLECTIBLE, said, now)


@transaction.atomic
def void(*, invoice: Invoice, said: Said, now: datetime) -> Invoice:
    """Finalised → void, by a credit note over everything that is left of it. Returns the credit note."""
    invoice = _locked(invoice)
    if invoice.kind != Invoice.Kind.INVOICE or invoice.status != Status.FINALISED:
        raise InvoiceProblem(f"This invoice is {invoice.status}: it can no longer be void.")
    return credit_notes.issue(invoice=invoice, amounts=None, said=said, now=now)


@transaction.atomic
def dispute(*, invoice: Invoice, said: Said, now: datetime) -> None:
    """Note that the tenant disputes an invoice: no reminders until that is settled."""
    _must_say_why(said)
    invoice = _locked(invoice)
    if invoice.status != Status.FINALISED or is_disputed(invoice):
        raise InvoiceProblem("Only an invoice that is to be paid, and not disputed yet, is disputed.")
    note(invoice=invoice, kind=Kind.DISPUTED, said=said, now=now)


@transaction.atomic
def settle_dispute(*, invoice: Invoice, said: Said, now: datetime) -> None:
    """Note that a dispute is over: reminders go on."""
    _must_say_why(said)
    invoice = _locked(invoice)
    if not is_disputed(invoice):
        raise InvoiceProblem("This invoice is not disputed.")
    note(invoice=invoice, kind=Kind.SETTLED, said=said, now=now)


def is_disputed(invoice: Invoice) -> bool:
    """Whether the latest word on a dispute is that there is one."""
    words = InvoiceEvent.objects.filter(invoice=invoice, kind__in=(Kind.DISPUTED, Kind.SETTLED))
    latest = words.order_by("-id").first()
    return latest is not None and latest.kind == Kind.DISPUTED


def _locked(invoice: Invoice) -> Invoice:
    invoices.lock(invoice.tenant_id)
    return invoices.reread(invoice)


def _go_on(
    invoice: Invoice, status: Invoice.Status, said: Said, now: datetime, after: Sequence[str] = (Status.FINALISED,)
) -> Invoice:
    if invoice.kind != Invoice.Kind.INVOICE or invoice.status not in after:
        raise InvoiceProblem(f"This invoice is {invoice.status}: it cannot become {status}.")
    Invoice.objects.filter(pk=invoice.pk).update(status=status)
    note(invoice=invoice, kind=status, said=said, now=now)
    invoice.status = status
    return invoice


def _must_say_why(said: Said) -> None:
    if not 3 <= len(" ".join(said.reason.split())) <= 200:
        raise InvoiceProblem("Say why in 3 to 200 characters.")
