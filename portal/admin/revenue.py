"""The operators' page of revenue: earned, accrued and owed by month, from the ledger, down to tenants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.timezone import now

from billing import revenue
from billing.admin import TransferAdmin
from billing.exports import files, revenue_months
from billing.models import Transfer
from billing.money import usd
from billing.revenue import Revenue, RevenueProblem
from portal import charts, figures
from portal.charts import Point

COLUMNS = ("usage", "adjustment", "charge", "credit_note")
HEADS = ("Calls", "Late truth", "Charges", "Credit notes")
TITLES = {"effective": "it counts in", "posted": "it was written in"}


def asked(request: HttpRequest) -> tuple[datetime, datetime, str, str]:
    """First moment, end, basis, and the month to look into (or ""); the last twelve months if nothing is asked."""
    today = now().astimezone(UTC)
    last = request.GET.get("last") or f"{today:%Y-%m}"
    until = revenue.month_after(revenue.month_start(last))
    first = request.GET.get("first")
    since = revenue.month_start(first) if first else until.replace(year=until.year - 1)
    return since, until, request.GET.get("basis", "effective"), request.GET.get("month", "")


def answer(since: datetime, until: datetime, basis: str, month: str) -> list[Revenue]:
    """The months, or the tenants of one."""
    if month:
        start = revenue.month_start(month)
        return revenue.by_tenant(first=start, until=revenue.month_after(start), basis=basis)
    return revenue.by_month(first=since, until=until, basis=basis)


admin.site.unregister(Transfer)


@admin.register(Transfer)
class LedgerAdmin(TransferAdmin):
    """The movements of the ledger, and what they make of a month."""

    list_before_template = "admin/billing/transfer/links.html"

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the revenue."""
        return [path("revenue/", self.admin_site.admin_view(self.revenue), name="billing_revenue"), *super().get_urls()]

    def revenue(self, request: HttpRequest) -> HttpResponse:
        """A table with bars; ``month=`` opens one by tenant, ``format=csv`` gives all of its columns."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        problem, rows, month, basis, since, until = "", [], "", "effective", None, None
        try:
            since, until, basis, month = asked(request)
            rows = answer(since, until, basis, month)
        except RevenueProblem as refused:
            problem = str(refused)
        if request.GET.get("format") == "csv" and not problem:
            return _csv(rows, month)
        context = {
            **self.admin_site.each_context(request), "title": "Revenue", "opts": self.model._meta, "problem": problem,
            "rows": _shown(rows), "heads": HEADS, "month": month, "basis": basis, "bases": TITLES,
            "chart": None if month else charts.bars([_point(row) for row in rows]),
            "first": f"{since:%Y-%m}" if since else "", "last": request.GET.get("last", "") or _label(until),
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/transfer/revenue.html", context)


def _label(until: datetime | None) -> str:
    """The month that ends at a moment."""
    if until is None:
        return ""
    return f"{until.year - (until.month == 1):04d}-{(until.month - 2) % 12 + 1:02d}"


def _point(row: Revenue) -> Point:
    words = f"{row.name}: {figures.short(row.total)} earned, {figures.short(row.accrued)} of it not invoiced"
    return Point(row.name, max(0, row.total), words)


def _shown(rows: list[Revenue]) -> list[dict[str, Any]]:
    return [
        {
            "row": row,
            "earned": [row.earned.get(name, 0) for name in COLUMNS],
            "receivable": _amounts(row.receivable),
            "received": _amounts(row.received),
            "tax": _amounts(row.tax),
            "rounding": _amounts(row.rounding),
        }
        for row in rows
    ]


def _amounts(by_currency: dict[str, int]) -> list[tuple[str, str]]:
    return [(currency, usd(amount)) for currency, amount in sorted(by_currency.items()) if amount]


def _csv(rows: list[Revenue], month: str) -> HttpResponse:
    """Exact, as the command exports it."""
    named = {"named": "tenant", "about": "the organisation"} if month else {}
    columns, lines = revenue_months.table_of(rows, **named)
    file = f"revenue-{month}.csv" if month else "revenue.csv"
    content = b"".join(files.csv_parts(columns, [lines]))
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return HttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)
