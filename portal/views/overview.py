"""The first page of an organisation: this month so far, limits, the newest calls, how to begin."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from billing import reports
from portal import readings, snippets
from portal.access import Permission
from portal.models import ApiKey, Tenant
from portal.views.calls import with_names
from portal.views.home import LAST_TENANT
from portal.views.keys import PLACEHOLDER, base_url, first_model
from portal.views.page import TenantRequest, render_page, tenant_page

NEWEST = 8


@require_safe
@tenant_page(Permission.VIEW)
def overview(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Figures, bars and newest calls; htmx fetches that part anew while the page is open."""
    moment = now()
    names = readings.Names(tenant)
    month = reports.month_so_far(tenant_id=tenant.pk, zone=tenant.timezone, now=moment)
    recent = reports.calls(tenant_id=tenant.pk, most=NEWEST)
    gauges = readings.gauges(tenant, now=moment)
    context = {
        "month": month,
        "gauges": gauges,
        "empty_balance": any(gauge.is_wallet and gauge.limit.left <= 0 for gauge in gauges),
        "calls": with_names(recent, names),
        "models": readings.shares(month.by_model, "model", names)[:5],
        "has_keys": ApiKey.objects.filter(tenant=tenant).exists(),
        "base_url": base_url(request),
        "snippets": snippets.first_call(base_url=base_url(request), api_key=PLACEHOLDER, model=first_model(tenant)),
    }
    if not request.headers.get("HX-Request"):
        request.session[LAST_TENANT] = tenant.slug
        return render_page(request, "overview.html", context)
    return render_page(request, "overview_live.html", context)
