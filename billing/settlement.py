"""What the job does with payments that pay too much or nothing yet: credit is moved to where it is owed.

After a credit note over a paid invoice, what was paid too much is credit; and what tenants paid ahead pays their next
invoices, the oldest due first. It may run twice, late or beside itself.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import Sum

from billing import allocations, dues, invoices, parties
from billing.allocations import Part
from billing.exchange import ExchangeProblem
from billing.models import Allocation, Invoice, Payment
from billing.parties import Tenant

logger = logging.getLogger(__name__)


def settle_all(*, now: datetime) -> int:
    """Settle every tenant with something to move; returns how many."""
    tenants = parties.tenants_by_id(_waiting())
    for tenant in tenants:
        try:
            settle(tenant=tenant, now=now)
        except ExchangeProblem:
            logger.exception("the payments of tenant %s wait", tenant.id)
    return len(tenants)


@transaction.atomic
def settle(*, tenant: Tenant, now: datetime) -> None:
    """Move what was paid too much to credit, and credit to what is owed. Raises ExchangeProblem without a rate."""
    invoices.lock(tenant.id)
    for invoice in Invoice.objects.select_related("tenant").filter(pk__in=_overpaid(tenant.id)).order_by("id"):
        _free_excess(invoice, now)
    for payment in Payment.objects.select_related("tenant").filter(pk__in=_ahead(tenant.id)).order_by("id"):
        _apply(payment, now)


def _waiting() -> list[int]:
    """Tenants with an overpaid invoice, or with an advance and something owed in its currency."""
    overpaid = Invoice.objects.filter(pk__in=_overpaid()).values_list("tenant_id", flat=True)
    ahead = Payment.objects.filter(pk__in=_ahead()).values_list("tenant_id", "currency").distinct()
    return sorted({*overpaid, *(tenant for tenant, currency in ahead if dues.owed(tenant, currency).exists())})


def _overpaid(tenant_id: int | None = None) -> list[int]:
    """Invoices with more allocated than is left of them after credit notes, and those paid by a credit note's rest."""
    rows = Allocation.objects.filter(invoice__isnull=False, invoice__credit_notes__isnull=False)
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    found = Invoice.objects.select_related("tenant").filter(pk__in=rows.values("invoice"))
    return [each.pk for each in found if _moves(each)]


def _moves(invoice: Invoice) -> bool:
    left = dues.unpaid(invoice)
    return left < 0 or (left == 0 and invoice.status == Invoice.Status.FINALISED)


def _ahead(tenant_id: int | None = None) -> list[int]:
    """Payments of which something is an advance."""
    rows = Allocation.objects.filter(target=Allocation.Target.ADVANCE)
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    sums = rows.values("payment").annotate(total=Sum("amount")).filter(total__gt=0)
    return [row["payment"] for row in sums]


def _free_excess(invoice: Invoice, now: datetime) -> None:
    """What was paid too much is credit, the last payment first; an invoice of which nothing is left to pay is paid."""
    rows = Allocation.objects.filter(invoice=invoice).values("payment").annotate(total=Sum("amount"))
    excess = -dues.unpaid(invoice)
    for row in rows.filter(total__gt=0).order_by("-payment"):
        part = min(excess, int(row["total"]))
        if part <= 0:
            break
        payment = Payment.objects.select_related("tenant").get(pk=row["payment"])
        allocations.take_receivable(Part(payment, -part, invoice), now)
        allocations.credit(payment=payment, amount=part, now=now)
        excess -= part
    allocations.close_if_paid(invoice=invoice, said=f"Credit notes and payments cover {invoice}", now=now)


def _apply(payment: Payment, now: datetime) -> None:
    """Pay what is owed with what was paid ahead."""
    rows = Allocation.objects.filter(payment=payment, target=Allocation.Target.ADVANCE)
    left = int(rows.aggregate(total=Sum("amount"))["total"] or 0)
    for invoice in dues.owed(payment.tenant_id, payment.currency).select_related("tenant"):
        part = min(left, dues.unpaid(invoice))
        if part > 0:
            allocations.take_receivable(Part(payment, -part), now)
            allocations.pay_invoice(payment=payment, invoice=invoice, amount=part, now=now)
            left -= part
