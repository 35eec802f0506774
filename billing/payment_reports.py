"""Questions about a tenant's payments, for pages and API. Only reads, and only one tenant's rows."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet, Sum

from billing.models import Allocation, Invoice, PayingCustomer, Payment, Refund


@dataclass(frozen=True, slots=True)
class Paid:
    """What a payment pays now: minor units on an invoice, or as credit (None)."""

    invoice: Invoice | None
    amount: int


@dataclass(frozen=True, slots=True)
class OnInvoice:
    """What a payment gave to an invoice: minor units, after what went back."""

    payment: Payment
    amount: int


def payments(*, tenant_id: int) -> QuerySet[Payment]:
    """Payments of a tenant with the invoice each was asked for and what went back, the latest first."""
    back = Prefetch("refunds", queryset=Refund.objects.filter(tenant_id=tenant_id).order_by("id"))
    rows = Payment.objects.filter(tenant_id=tenant_id).select_related("invoice").prefetch_related(back)
    return rows.order_by("-id")


def paid_by(payment: Payment) -> list[Paid]:
    """What a payment pays, invoices first, the oldest of them first; without what went back."""
    rows = Allocation.objects.filter(payment=payment, tenant_id=payment.tenant_id)
    sums = {row["invoice"] or 0: int(row["total"]) for row in rows.values("invoice").annotate(total=Sum("amount"))}
    invoices = Invoice.objects.in_bulk(sums)
    shown = [Paid(invoices[key], sums[key]) for key in sorted(invoices) if sums[key]]
    return [*shown, Paid(None, sums[0])] if sums.get(0) else shown


def on_invoice(invoice: Invoice) -> list[OnInvoice]:
    """The payments of an invoice, the first first."""
    rows = Allocation.objects.filter(invoice=invoice, tenant_id=invoice.tenant_id)
    sums = {row["payment"]: int(row["total"]) for row in rows.values("payment").annotate(total=Sum("amount"))}
    found = Payment.objects.in_bulk(sums)
    return [OnInvoice(found[key], sums[key]) for key in sorted(found) if sums[key]]


def saved_card(*, tenant_id: int) -> str:
    """The card that automatic top-ups are charged to, in words, or nothing."""
    found = PayingCustomer.objects.filter(tenant_id=tenant_id).exclude(method_id="").first()
    return (found.card or "A saved card") if found else ""
