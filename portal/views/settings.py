"""An organisation's own data: name, time zone, whom invoices are made out to."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods

from portal.access import Permission
from portal.forms import TenantSettingsForm
from portal.models import Tenant
from portal.tenancy import TenancyProblem
from portal.views.page import TenantRequest, form_status, render_page, tenant_page


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_TENANT)
def settings(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Change name, time zone and whom invoices are made out to."""
    names = ("name", "timezone", "address", "country", "vat_id", "language", "billing_email")
    start = {name: getattr(tenant, name) for name in names}
    form = TenantSettingsForm(request.POST or None, initial=start)
    if request.method == "POST" and form.is_valid():
        try:
            form.save(tenant=tenant, actor=request.user, now=now())
        except TenancyProblem as problem:
            form.add_error(None, str(problem))
        else:
            messages.success(request, "Saved.")
            return redirect("settings", tenant.slug)
    return render_page(request, "settings.html", {"form": form}, status=form_status(form.errors))
