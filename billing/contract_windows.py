"""Which time a month of a contract is: as it was closed or, where nothing is closed yet, as the tenant's calendar says.

A month that was invoiced after its end keeps its bounds, whatever time zone or anchor the tenant has later; what lies
between it and the new calendar belongs to the month of the new calendar. So each moment is in one window, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from django.db.models import F

from billing import periods
from billing.models import Invoice
from billing.parties import Tenant
from billing.periods import Period, month, month_of


class Window(NamedTuple):
    """``[start, end)`` of a month or, where ``place`` is not 0, of a part beside the one that is closed."""

    label: str
    start: datetime
    end: datetime
    whole: Period
    place: int = 0

    def share(self, start: datetime, end: datetime | None) -> Fraction:
        """How much of the whole month lies in this window and in ``[start, end)``."""
        last = self.end if end is None else min(self.end, end)
        return periods.share(self.whole, max(self.start, start), last) if start < last else Fraction(0)

    @property
    def period(self) -> Period:
        """The window as a period."""
        return Period(self.start, self.end, self.label)


def closed(tenant_id: int) -> list[Window]:
    """The months that were invoiced after their end, in the order in which that was done; none overlaps another."""
    rows = Invoice.objects.filter(
        tenant_id=tenant_id, kind=Invoice.Kind.INVOICE, finalised_at__gte=F("period_end_at")
    ).order_by("finalised_at", "id")
    found: list[Window] = []
    for label, start, end in rows.values_list("period_label", "period_start_at", "period_end_at"):
        found += _windows(Period(start, end, label), found)
    return found


def of_month(tenant: Tenant, label: str, done: Sequence[Window]) -> list[Window]:
    """The windows of a month: those that are ``closed``, and what the calendar leaves beside them."""
    calendar = month(label, tenant.timezone, tenant.billing_anchor_day)
    return [*(window for window in done if window.label == label), *_windows(calendar, done)]


def labels(tenant: Tenant, start: datetime, last: str, done: Iterable[Window]) -> list[str]:
    """The months that touch ``[start, …)``, up to the month ``last``, in order."""
    found = {window.label for window in done if window.end > start and window.label <= last}
    anchor = tenant.billing_anchor_day
    period = month_of(start, tenant.timezone, anchor)
    while period.end and period.label <= last:
        found.add(period.label)
        period = month_of(period.end, tenant.timezone, anchor)
    return sorted(found)


def _windows(whole: Period, done: Sequence[Window]) -> list[Window]:
    """What of a month is in no window yet."""
    pieces = [(whole.start, whole.end or whole.start)]
    for window in done:
        pieces = [piece for one in pieces for piece in _without(one, window)]
    before = sum(window.label == whole.label for window in done)
    return [Window(whole.label, start, end, whole, before + place) for place, (start, end) in enumerate(pieces)]


def _without(piece: tuple[datetime, datetime], window: Window) -> list[tuple[datetime, datetime]]:
    start, end = piece
    parts = [(start, min(end, window.start)), (max(start, window.end), end)]
    return [(first, last) for first, last in parts if first < last]
