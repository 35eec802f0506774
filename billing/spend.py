"""What a tenant spent by month of its time zone: used, of that invoiced and open, and what its documents say. Reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from billing.periods import TICK, month, month_of
from billing.revenue import EARNING

MONTHS = 12


@dataclass(slots=True)
class Spend:
    """One calendar month. ``used`` and ``open`` are exact picodollars: calls and charges of the month at their prices.

    ``open`` is what of it no numbered invoice has. ``billed`` and ``owed`` are minor units by currency, with tax: what
    the invoices of the month say less credit notes, and those of them that are not paid, void or uncollectible.
    """

    label: str
    used: int = 0
    open: int = 0
    billed: dict[str, int] = field(default_factory=dict)
    owed: dict[str, int] = field(default_factory=dict)

    @property
    def invoiced(self) -> int:
        """What of ``used`` numbered invoices have."""
        return self.used - self.open


def by_month(*, tenant_id: int, zone: str, now: datetime, months: int = MONTHS) -> list[Spend]:
    """The running month and those before it, the earliest first. The caller's role must see the tenant's rows."""
    labels = [month_of(now, zone).label]
    while len(labels) < months:
        labels.insert(0, month_of(month(labels[0], zone).start - TICK, zone).label)
    found = {label: Spend(label) for label in labels}
    values = {
        "tenant": tenant_id, "zone": zone, "start": month(labels[0], zone).start, "end": month(labels[-1], zone).end,
        "earning": list(EARNING), "labels": labels,
    }  # fmt: skip
    for label, used, open_ in _rows(USED, values):
        found[label].used, found[label].open = int(used), int(open_)
    for label, currency, billed, owed in _rows(DOCUMENTS, values):
        found[label].billed[currency] = int(billed)
        found[label].owed[currency] = int(owed)
    return list(found.values())


def _rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


USED = """
SELECT to_char(t.effective_at AT TIME ZONE %(zone)s, 'YYYY-MM'), -sum(e.amount),
    -coalesce(sum(e.amount) FILTER (WHERE i.id IS NULL OR i.status = 'draft'), 0)
FROM billing_transfer t JOIN billing_ledgerentry e ON e.transfer_id = t.id
JOIN billing_ledgeraccount a ON a.id = e.account_id
LEFT JOIN billing_invoicedtransfer x ON x.transfer_id = t.id LEFT JOIN billing_invoice i ON i.id = x.invoice_id
WHERE t.tenant_id = %(tenant)s AND a.kind = 'revenue' AND t.kind = ANY (%(earning)s)
    AND t.effective_at >= %(start)s AND t.effective_at < %(end)s
GROUP BY 1
"""
DOCUMENTS = """
SELECT r.period_label, r.currency, sum(s.sign * r.total),
    coalesce(sum(s.sign * r.total) FILTER (WHERE coalesce(c.status, r.status) = 'finalised'), 0)
FROM billing_invoice r LEFT JOIN billing_invoice c ON c.id = r.corrects_id
CROSS JOIN LATERAL (SELECT CASE r.kind WHEN 'credit_note' THEN -1 ELSE 1 END AS sign) s
WHERE r.tenant_id = %(tenant)s AND r.number IS NOT NULL AND r.period_label = ANY (%(labels)s)
GROUP BY 1, 2
"""
