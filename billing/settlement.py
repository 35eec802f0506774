"""What the job does with payments that pay too much or nothing yet: credit is moved to where it is owed.

After a credit note over a paid invoice, what was paid too much is credit; and what tenants paid ahead pays their next
invoices, the oldest due first. It may run twice, late or beside itself.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import connection, transaction
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
    """Invoices with more allocated than is left of them after credit notes, or just as much and not paid yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH notes AS (
                SELECT corrects_id AS id, sum(total) AS total FROM billing_invoice
                WHERE corrects_id IS NOT NULL AND status <> 'draft'
                    AND (%(tenant)s::bigint IS NULL OR tenant_id = %(tenant)s)
                GROUP BY 1)
            SELECT i.id FROM notes n JOIN billing_invoice i USING (id) CROSS JOIN LATERAL (
                SELECT sum(a.amount) AS amount FROM billing_allocation a WHERE a.invoice_id = i.id) a
            WHERE a.amount > i.total - n.total OR a.amount = i.total - n.total AND i.status = 'finalised'
            ORDER BY i.id""",
            {"tenant": tenant_id},
        )
        return [row[0] for row in cursor.fetchall()]


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
