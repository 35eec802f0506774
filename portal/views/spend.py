"""Spend by month: what was used, what of it is invoiced and what is still open."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from billing import spend as months
from billing.money import format_minor
from portal import charts, figures
from portal.access import Permission
from portal.charts import Point
from portal.models import Tenant
from portal.views.page import TenantRequest, render_page, tenant_page


@require_safe
@tenant_page(Permission.SEE_INVOICES)
def spend(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """The last twelve months, from the first in which something was used, as bars and a table."""
    found = months.by_month(tenant_id=tenant.pk, zone=tenant.timezone, now=now())
    first = next((place for place, row in enumerate(found) if row.used or row.billed), len(found) - 1)
    found = found[first:]  # a phone shows the left of a chart: no months before the first
    points = [
        Point(
            row.label, max(0, row.used),
            f"{row.label}: {figures.short(row.used)} used, {figures.short(row.open)} of it not invoiced yet",
        )
        for row in found
    ]  # fmt: skip
    rows = [
        {
            "month": row,
            "billed": [(currency, format_minor(amount, currency)) for currency, amount in sorted(row.billed.items())],
            "owed": [(currency, format_minor(row.owed[currency], currency)) for currency in sorted(row.owed)],
        }
        for row in reversed(found)
    ]
    context = {
        "chart": charts.bars(points), "chart_words": "Used by month", "measure": "cost",
        "rows": rows, "is_used": any(row.used for row in found),
    }  # fmt: skip
    page: HttpResponse = render_page(request, "spend.html", context)
    return page
