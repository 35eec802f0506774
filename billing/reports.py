"""Read-only questions for pages, the API and exports. Each takes the tenant whose rows it is about.

Sums come from the 15-minute roll-ups, which run a few seconds behind; lists and receipts come from usage events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from operator import add
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from billing import catalog
from billing.meters import COMPLETION_CLASSES, PROMPT_CLASSES, TOKEN_CLASSES
from billing.models import Allowance, Budget, Invoice, Price, UsageAdjustment, UsageEvent, UsageRollup, Wallet
from billing.periods import Period, month_of
from billing.pricing import PriceVersion

DIMENSIONS = {"model": "model", "project": "project_id", "api_key": "api_key_id"}
MOST_CALLS = 200
SUMS = {
    "total_requests": Sum("requests", default=0),
    "total_estimated": Sum("estimated", default=0),
    "prompt": Sum(reduce(add, map(F, PROMPT_CLASSES)), default=0),
    "cached": Sum("cache_read", default=0),
    "completion": Sum(reduce(add, map(F, COMPLETION_CLASSES)), default=0),
    "total_cost": Sum("cost", default=0),
}
"""Aggregates over roll-ups, in the order of the fields of Totals."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Requests, tokens and picodollars of some usage. Cached tokens are part of ``prompt_tokens``."""

    requests: int = 0
    estimated: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """The totals of one model, project, key or day: ``key`` is its name, id or date."""

    key: str | int | date
    totals: Totals


@dataclass(frozen=True, slots=True)
class MonthSoFar:
    """The running month of a tenant; ``running`` calls are still open and hold ``held`` picodollars."""

    period: Period
    totals: Totals
    by_model: tuple[Slice, ...]
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit with what is spent and held of it, in picodollars. ``scope`` is ``wallet`` or a budget's scope."""

    scope: str
    scope_id: int
    window: str
    starts_at: datetime
    ends_at: datetime | None
    limit: int
    spent: int
    held: int

    @property
    def left(self) -> int:
        """What the next calls may cost, negative when overdrawn."""
        return self.limit - self.spent - self.held


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list; None is any. ``start`` and ``end`` bound the admission, half-open."""

    model: str | None = None
    project_id: int | None = None
    api_key_id: int | None = None
    state: str | None = None
    failed: bool = False
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """Quantity × unit price = amount, exact: tokens × picodollars per token, or a counted surcharge."""

    token_class: str
    quantity: int
    unit_price: int
    amount: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """One call, line by line, with the price version it was admitted under and a late correction if there was one."""

    event: UsageEvent
    price: PriceVersion
    lines: tuple[ReceiptLine, ...]
    adjustment: LateUsage | None


@dataclass(frozen=True, slots=True)
class LateUsage:
    """True usage that came after an estimate: the signed difference in picodollars."""

    cost: int


def totals(*, tenant_id: int, start: datetime, end: datetime, **only: str | int) -> Totals:
    """Everything a tenant used in ``[start, end)``. ``only`` narrows by ``model``, ``project_id`` or ``api_key_id``."""
    return _totals(_rollups(tenant_id, start, end).filter(**only).aggregate(**SUMS))


def usage_by(*, tenant_id: int, dimension: str, start: datetime, end: datetime, **only: str | int) -> list[Slice]:
    """Usage per ``model``, ``project`` or ``api_key`` (ids) in ``[start, end)``, dearest first; ``only`` as totals."""
    column = DIMENSIONS[dimension]
    found = _rollups(tenant_id, start, end).filter(**only)
    rows = found.values(column).annotate(**SUMS).order_by("-total_cost", column)
    return [Slice(row[column], _totals(row)) for row in rows]


def usage_by_day(*, tenant_id: int, start: datetime, end: datetime, zone: str, **only: str | int) -> list[Slice]:
    """Usage per local day of a zone in ``[start, end)``, oldest first; days without usage are left out.

    ``only`` narrows by ``model``, ``project_id`` or ``api_key_id``.
    """
    rows = (
        _rollups(tenant_id, start, end)
        .filter(**only)
        .values(day=TruncDate("bucket_at", tzinfo=ZoneInfo(zone)))
        .annotate(**SUMS)
        .order_by("day")
    )
    return [Slice(row["day"], _totals(row)) for row in rows]


def month_so_far(*, tenant_id: int, zone: str, now: datetime, anchor: int = 1) -> MonthSoFar:
    """The tenant's running month, from the anchor's day on, by model, and what is still under way."""
    period = month_of(now, zone, anchor)
    end = period.end or now
    by_model = tuple(usage_by(tenant_id=tenant_id, dimension="model", start=period.start, end=end))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(sum(hold), 0) FROM billing_usageevent WHERE tenant_id = %s AND state = 'open'",
            [tenant_id],
        )
        running, held = cursor.fetchone()
    total = totals(tenant_id=tenant_id, start=period.start, end=end)
    return MonthSoFar(period, total, by_model, running, int(held))


def limits(*, tenant_id: int, now: datetime) -> list[Limit]:
    """The wallet first, then the running window of every active budget."""
    rows = (
        Allowance.objects.filter(
            Q(kind=Allowance.Kind.WALLET) | Q(budget__is_active=True), tenant_id=tenant_id, starts_at__lte=now
        )
        .exclude(ends_at__lte=now)
        .select_related("budget")
        .order_by("budget__scope", "budget__scope_id", "id")
    )
    found = [_limit(row) for row in rows]
    order = ["wallet", *Budget.Scope.values]
    return sorted(found, key=lambda limit: order.index(limit.scope))


def wallet(*, tenant_id: int) -> Wallet | None:
    """How the tenant pays."""
    return Wallet.objects.filter(tenant_id=tenant_id).first()


def calls(
    *, tenant_id: int, only: CallFilter = CallFilter(), before: UUID | None = None, most: int = 50
) -> list[UsageEvent]:
    """Calls, newest first; ``before`` is the id of the last one of the page before. At most 200."""
    found = UsageEvent.objects.filter(tenant_id=tenant_id)
    for name in ("model", "project_id", "api_key_id", "state"):
        if (value := getattr(only, name)) is not None:
            found = found.filter(**{name: value})
    if only.failed:
        found = found.exclude(error_code="")
    if only.start:
        found = found.filter(id__gte=first_id(only.start))
    if only.end:
        found = found.filter(id__lt=first_id(only.end))
    if before:
        found = found.filter(id__lt=before)
    return list(found.order_by("-id")[: max(1, min(most, MOST_CALLS))])


def call(*, tenant_id: int, shown_id: str) -> UsageEvent | None:
    """One call by the id people see (``req_`` or ``chatcmpl-`` and 24 hex), or None."""
    digits = shown_id.rpartition("_")[2].rpartition("-")[2].lower()
    if len(digits) != 24 or not set(digits) <= set("0123456789abcdef"):
        return None
    return UsageEvent.objects.filter(tenant_id=tenant_id, id=UUID(digits + "00000000")).first()


def receipt(event: UsageEvent) -> Receipt:
    """What one call cost, line by line."""
    price = catalog.version_of(Price.objects.get(pk=event.price_id))
    counted = [(name, getattr(event, name), getattr(price, name)) for name in TOKEN_CLASSES]
    if event.state == UsageEvent.State.SETTLED:
        counted.append(("per_request", 1, price.per_request))
    counted.append(("per_web_search", event.web_searches, price.per_web_search or 0))
    counted.append(("per_image", event.images, price.per_image or 0))
    late = UsageAdjustment.objects.filter(tenant_id=event.tenant_id, event_id=event.id)
    costs = list(late.values_list("cost", flat=True))  # one, or two where another price rates the true usage
    return Receipt(event, price, receipt_lines(counted), LateUsage(sum(costs)) if costs else None)


def receipt_lines(counted: Iterable[tuple[str, int, int]]) -> tuple[ReceiptLine, ...]:
    """Lines of what was counted and has a price or a quantity worth showing."""
    return tuple(
        ReceiptLine(name, quantity, unit, quantity * unit)
        for name, quantity, unit in counted
        if quantity and (unit or not name.startswith("per_"))
    )


def invoices(*, tenant_id: int) -> QuerySet[Invoice]:
    """A tenant's invoices, newest period first."""
    return Invoice.objects.filter(tenant_id=tenant_id).order_by("-period_start_at", "-id")


def has_uninvoiced(*, tenant_id: int, until: datetime) -> bool:
    """Whether usage admitted before a moment is settled and on no invoice, or on a draft only."""
    with connection.cursor() as cursor:
        cursor.execute(UNINVOICED, {"tenant": tenant_id, "until": until})
        return bool(cursor.fetchone()[0])


def first_id(moment: datetime) -> UUID:
    """The smallest event id of a moment: UUIDv7 begins with milliseconds. The same as uuid_floor in SQL."""
    seconds = int(moment.replace(microsecond=0).timestamp())
    return UUID(int=(seconds * 1000 + moment.microsecond // 1000) << 80)


UNINVOICED = """
SELECT EXISTS (SELECT FROM billing_usageevent WHERE tenant_id = %(tenant)s AND state = 'settled'
        AND transfer_id IS NULL AND id < uuid_floor(%(until)s))
    OR EXISTS (SELECT FROM billing_usageadjustment WHERE tenant_id = %(tenant)s
        AND transfer_id IS NULL AND opened_at < %(until)s)
    OR EXISTS (SELECT FROM billing_transfer t WHERE t.tenant_id = %(tenant)s
        AND t.kind IN ('usage', 'adjustment', 'charge') AND t.effective_at < %(until)s AND NOT EXISTS (
            SELECT FROM billing_invoicedtransfer x JOIN billing_invoice i ON i.id = x.invoice_id
            WHERE x.transfer_id = t.id AND i.status <> 'draft'))
"""


def _rollups(tenant_id: int, start: datetime, end: datetime) -> QuerySet[UsageRollup]:
    return UsageRollup.objects.filter(tenant_id=tenant_id, bucket_at__gte=start, bucket_at__lt=end)


def _totals(row: Mapping[str, Any]) -> Totals:
    return Totals(*(int(row[name]) for name in SUMS))


def _limit(row: Allowance) -> Limit:
    budget = row.budget
    scope, scope_id, window = (
        (budget.scope, budget.scope_id, budget.window) if budget else ("wallet", row.tenant_id, "")
    )
    return Limit(scope, scope_id, window, row.starts_at, row.ends_at, int(row.limit), int(row.spent), int(row.held))
