"""Which movements a correction corrects, so that credit goes back where it came from. Only reads."""

from __future__ import annotations

from django.db import connection

from billing.models import Charge, Transfer

ADJUSTED = """
SELECT DISTINCT e.transfer_id FROM billing_usageadjustment a
JOIN billing_usageevent e ON e.tenant_id = a.tenant_id AND e.id = a.event_id
WHERE a.tenant_id = %s AND a.transfer_id = %s AND e.transfer_id IS NOT NULL
"""

CORRECTED = """
WITH corrected AS (
    SELECT corrects_id AS id FROM billing_invoice
    WHERE tenant_id = %(tenant)s AND 'credit_note:' || id = %(key)s AND corrects_id IS NOT NULL)
SELECT i.transfer_id FROM corrected c JOIN billing_invoicedtransfer i ON i.invoice_id = c.id
UNION SELECT t.id FROM corrected c JOIN billing_transfer t ON t.tenant_id = %(tenant)s AND t.key = 'invoice:' || c.id
"""


def of(transfer: Transfer) -> list[int]:
    """The transfers that a negative movement takes back from; none known is an empty list."""
    if transfer.reverses_id is not None:
        return [transfer.reverses_id]
    if transfer.kind == Transfer.Kind.ADJUSTMENT:
        with connection.cursor() as cursor:
            cursor.execute(ADJUSTED, [transfer.tenant_id, transfer.pk])
            return [row[0] for row in cursor.fetchall()]
    if transfer.kind == Transfer.Kind.CHARGE:
        return _charged_before(transfer)
    if transfer.kind == Transfer.Kind.CREDIT_NOTE:
        with connection.cursor() as cursor:
            cursor.execute(CORRECTED, {"tenant": transfer.tenant_id, "key": transfer.key})
            return [row[0] for row in cursor.fetchall()]
    return []


def _charged_before(transfer: Transfer) -> list[int]:
    """Earlier charges of the same kind and subject in the month."""
    charge = Charge.objects.filter(transfer=transfer).first()
    if charge is None:
        return []
    same = Charge.objects.filter(
        tenant_id=charge.tenant_id, period_label=charge.period_label, kind=charge.kind, subject=charge.subject
    )
    return list(same.filter(pk__lt=charge.pk).values_list("transfer_id", flat=True))
