"""What tenants still have to pay of their invoices, and what they paid ahead. Only reads."""

from __future__ import annotations

from django.db.models import QuerySet, Sum

from billing import credit_notes
from billing.models import Allocation, Invoice

OWED = (Invoice.Status.FINALISED, Invoice.Status.UNCOLLECTIBLE)


def paid(invoice: Invoice) -> int:
    """Minor units of payments that are allocated to an invoice."""
    return int(Allocation.objects.filter(invoice=invoice).aggregate(total=Sum("amount"))["total"] or 0)


def unpaid(invoice: Invoice) -> int:
    """Minor units still to be paid of an invoice, after credit notes and payments: nothing of a prepaid one.

    Negative is what was paid too much, as after a credit note over a paid invoice.
    """
    if invoice.kind != Invoice.Kind.INVOICE or invoice.status == Invoice.Status.DRAFT:
        return 0
    if invoice.snapshot.get("mode") == "prepaid":
        return 0
    return credit_notes.left_total(invoice) - paid(invoice)


def owed(tenant_id: int, currency: str) -> QuerySet[Invoice]:
    """Finalised invoices of a tenant in a currency that are not paid, the oldest due first."""
    rows = Invoice.objects.filter(
        tenant_id=tenant_id, currency=currency, kind=Invoice.Kind.INVOICE, status=Invoice.Status.FINALISED
    )
    return rows.order_by("due_on", "finalised_at", "id")


def advances(tenant_id: int) -> dict[str, int]:
    """What a tenant paid ahead for coming invoices: minor units by currency, nothing left out but zeros."""
    rows = Allocation.objects.filter(tenant_id=tenant_id, target=Allocation.Target.ADVANCE)
    sums = rows.values_list("payment__currency").annotate(total=Sum("amount")).order_by("payment__currency")
    return {currency: int(total) for currency, total in sums if total}
