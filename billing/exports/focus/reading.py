"""What the FOCUS dataset is made from: the invoices of a span, and settled usage by hour or day. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Min

from billing.exports.span import Span
from billing.meters import COUNTERS
from billing.models import Charge, Invoice, Transfer
from billing.periods import Period, day_of


class Used(NamedTuple):
    """What one key used of one model under one price in an hour or a day, and on which invoice it is."""

    slot: int
    """Which hour of the day."""
    project_id: int
    api_key_id: int
    model: str
    price_id: int
    invoice_id: int | None
    is_late_truth: bool
    """An estimate put right after it was counted."""
    project_slug: str | None
    project: str | None
    key_id: str | None
    key: str | None
    cost: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Books:
    """The invoices whose month begins in the span, drafts among them, and their credit notes."""

    span: Span
    invoices: dict[int, Invoice]
    notes: list[Invoice]

    @classmethod
    def of(cls, span: Span) -> Books:
        """Read now: with usage that is settled while the rest is read, none is on two."""
        found = Invoice.objects.filter(
            tenant_id=span.tenant.id, period_start_at__gte=span.start, period_start_at__lt=span.end
        ).order_by("period_start_at", "id")
        rows = list(found)
        return cls(
            span,
            {row.pk: row for row in rows if row.kind == Invoice.Kind.INVOICE},
            [row for row in rows if row.kind == Invoice.Kind.CREDIT_NOTE and row.number],
        )

    def days(self) -> Iterator[Period]:
        """The days on which something of the span was used: late usage of earlier months is on its invoices."""
        late = Transfer.objects.filter(invoicedtransfer__invoice__in=list(self.invoices))
        first = late.aggregate(first=Min("effective_at"))["first"] or self.span.start
        moment = day_of(min(first, self.span.start), self.span.tenant.timezone)
        while moment.end and moment.start < self.span.end:
            following = self._next_used(moment.start)
            if following is None:
                return
            day = day_of(following, self.span.tenant.timezone)
            if day.start >= self.span.end or day.end is None:
                return
            yield day
            moment = day_of(day.end, self.span.tenant.timezone)

    def used(self, day: Period, *, hourly: bool) -> list[Used]:
        """The usage of a day that is on one of the invoices, or on none and in the span."""
        values: dict[str, Any] = {
            "tenant": self.span.tenant.id, "start": day.start, "end": day.end, "invoices": list(self.invoices),
            "is_open": day.start >= self.span.start, "hourly": hourly,
        }  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(USED, values)
            return [Used._make((*row[:11], int(row[11]), tuple(map(int, row[12:])))) for row in cursor.fetchall()]

    def charges(self) -> list[tuple[Charge, int | None]]:
        """Charges besides usage that are on one of the invoices, or on none and in the span."""
        found = Charge.objects.filter(tenant_id=self.span.tenant.id).order_by("period_label", "id")
        on = found.filter(transfer__invoicedtransfer__invoice__in=list(self.invoices))
        open_ = found.filter(
            transfer__invoicedtransfer=None, effective_at__gte=self.span.start, effective_at__lt=self.span.end
        )
        rows = [
            (row, row.transfer.invoicedtransfer.invoice_id) for row in on.select_related("transfer__invoicedtransfer")
        ]
        return rows + [(row, None) for row in open_]

    def _next_used(self, since: datetime) -> datetime | None:
        """When the first call from a moment on was admitted, settled or put right."""
        with connection.cursor() as cursor:
            cursor.execute(NEXT, {"tenant": self.span.tenant.id, "since": since, "end": self.span.end})
            found: datetime | None = cursor.fetchone()[0]
        return found


_COUNTS = ", ".join(COUNTERS)
_ADJUSTED = ", ".join(f"counts[{place}]" for place in range(1, len(COUNTERS) + 1))
_WITHIN = "tenant_id = %(tenant)s AND {id} >= uuid_floor(%(start)s) AND {id} < uuid_floor(%(end)s)"
USED = f"""
SELECT slot, u.project_id, api_key_id, u.model, price_id, x.invoice_id, late, p.slug, p.name, k.public_id, k.name,
    sum(cost), {", ".join(f"sum({name})" for name in COUNTERS)}
FROM (
    SELECT opened_at, project_id, api_key_id, model, price_id, transfer_id, false AS late, cost, {_COUNTS}
    FROM billing_usageevent WHERE {_WITHIN.format(id="id")} AND state = 'settled'
    UNION ALL
    SELECT opened_at, project_id, api_key_id, model, price_id, transfer_id, true, cost, {_ADJUSTED}
    FROM billing_usageadjustment WHERE {_WITHIN.format(id="event_id")}
) u
CROSS JOIN LATERAL (SELECT CASE WHEN %(hourly)s
    THEN floor(extract(epoch FROM u.opened_at - %(start)s) / 3600)::int ELSE 0 END AS slot) s
LEFT JOIN billing_invoicedtransfer x ON x.transfer_id = u.transfer_id
LEFT JOIN portal_project p ON p.id = u.project_id LEFT JOIN portal_apikey k ON k.id = u.api_key_id
WHERE x.invoice_id = ANY (%(invoices)s::bigint[]) OR (x.invoice_id IS NULL AND %(is_open)s)
GROUP BY slot, u.project_id, api_key_id, u.model, price_id, x.invoice_id, late, p.slug, p.name, k.public_id, k.name
ORDER BY slot, u.project_id, api_key_id, u.model, price_id, x.invoice_id, late
"""
NEXT = """
SELECT least(
    (SELECT opened_at FROM billing_usageevent
     WHERE tenant_id = %(tenant)s AND id >= uuid_floor(%(since)s) AND id < uuid_floor(%(end)s) ORDER BY id LIMIT 1),
    (SELECT min(opened_at) FROM billing_usageadjustment
     WHERE tenant_id = %(tenant)s AND opened_at >= %(since)s AND opened_at < %(end)s))
"""
