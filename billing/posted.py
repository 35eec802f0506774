"""Which calls are behind the transfers on an invoice: month by month, with the time in which they were admitted.

An event knows its transfer, and is found by its tenant and its id, which begins with its time. Only reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Min

from billing.models import Charge, Invoice, Transfer
from billing.periods import FIRST_DAY, month_of

BUCKET = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The transfers on an invoice that are of one month of its tenant's.

    The calls they were posted from were admitted from ``start`` until before ``end``; charges have none.
    """

    label: str
    transfer_ids: list[int]
    start: datetime
    end: datetime

    def of(self, tenant_id: int) -> dict[str, Any]:
        """The values of EVENTS and ADJUSTMENTS."""
        return {"tenant": tenant_id, "ids": self.transfer_ids, "start": self.start, "end": self.end}


def stretches(invoice: Invoice) -> list[Stretch]:
    """What is on an invoice, the earliest month first.

    The transfers are passed on as they are: a join over them goes by stale statistics.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT to_char(m.at - CASE
                    WHEN extract(day FROM m.at) < least(%(anchor)s, extract(day FROM
                        date_trunc('month', m.at) + interval '1 month' - interval '1 day'))
                    THEN make_interval(days => extract(day FROM m.at)::int) ELSE interval '0' END, 'YYYY-MM') AS label,
                array_agg(t.id), min(t.effective_at) FILTER (WHERE t.kind <> 'charge'),
                max(t.effective_at) FILTER (WHERE t.kind <> 'charge')
            FROM billing_invoicedtransfer i JOIN billing_transfer t ON t.id = i.transfer_id
            CROSS JOIN LATERAL (SELECT t.effective_at AT TIME ZONE %(zone)s AS at) m
            WHERE i.invoice_id = %(invoice)s GROUP BY label ORDER BY label""",
            {"zone": invoice.timezone, "anchor": invoice.anchor_day, "invoice": invoice.pk},
        )
        return [
            Stretch(label, ids, first or FIRST_DAY, last + BUCKET if last else FIRST_DAY)
            for label, ids, first, last in cursor.fetchall()
        ]


def begins(invoice: Invoice) -> datetime | None:
    """The start of the first month that something on a draft is of; None where the tenant's months were others once."""
    zone, anchor = invoice.tenant.timezone, invoice.tenant.billing_anchor_day
    others = Invoice.objects.filter(tenant_id=invoice.tenant_id).exclude(timezone=zone, anchor_day=anchor)
    if others.exists() or _charged_elsewhere(invoice.tenant_id, zone, anchor):
        return None
    mine = Transfer.objects.filter(invoicedtransfer__invoice=invoice)
    first = mine.aggregate(first=Min("effective_at"))["first"] or invoice.period_start_at
    return min(invoice.period_start_at, month_of(first, zone, anchor).start)


def _charged_elsewhere(tenant_id: int, zone: str, anchor: int) -> bool:
    """Whether a charge stands outside of its month: it was made when the tenant's months were others."""
    made = Charge.objects.filter(tenant_id=tenant_id).values_list("effective_at", "period_label")
    return any(month_of(moment, zone, anchor).label != label for moment, label in made)


EVENTS = """billing_usageevent
    WHERE tenant_id = %(tenant)s AND id >= uuid_floor(%(start)s) AND id < uuid_floor(%(end)s)
        AND transfer_id = ANY (%(ids)s)"""

ADJUSTMENTS = """billing_usageadjustment
    WHERE tenant_id = %(tenant)s AND event_id >= uuid_floor(%(start)s) AND event_id < uuid_floor(%(end)s)
        AND transfer_id = ANY (%(ids)s)"""
