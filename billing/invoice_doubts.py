"""What makes a draft wait for a person: a sum far above what the tenant was invoiced before. Only reads."""

from __future__ import annotations

from django.conf import settings

from billing.models import Invoice
from billing.money import PICO_PER_USD, usd

LOOKED_AT = 6
"""How many invoices before it an average is taken of."""
FEWEST = 2


def far_above_average(invoice: Invoice) -> str:
    """Why a draft is suspicious, or nothing: more than PARK_FACTOR times the average, and more than PARK_ABOVE_USD.

    Compared are exact amounts in USD, whatever currencies and taxes; a tenant with fewer than FEWEST invoices has no
    average yet.
    """
    exact = int(invoice.exact)
    if not settings.PARK_FACTOR or exact <= settings.PARK_ABOVE_USD * PICO_PER_USD:
        return ""
    before = Invoice.objects.filter(tenant_id=invoice.tenant_id, kind=Invoice.Kind.INVOICE, number__isnull=False)
    amounts = [int(amount) for amount in before.order_by("-id").values_list("exact", flat=True)[:LOOKED_AT]]
    if len(amounts) < FEWEST or exact * len(amounts) <= settings.PARK_FACTOR * sum(amounts):
        return ""
    average = sum(amounts) // len(amounts) // 10**10 * 10**10
    return (
        f"{usd(exact // 10**10 * 10**10)} USD is more than {settings.PARK_FACTOR} times the average of the last "
        f"{len(amounts)} invoices, {usd(average)} USD."
    )
