"""Limits: what is spent and held of each budget, and changing rates and budgets of a scope."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_safe

from billing.budgets import BudgetProblem
from portal import limits as verbs
from portal.access import Permission
from portal.forms import LimitsForm
from portal.limits import Scope
from portal.models import Quota, Tenant
from portal.quotas import QuotaProblem
from portal.readings import gauges
from portal.views.page import TenantRequest, form_status, render_page, tenant_page


@require_safe
@tenant_page(Permission.VIEW)
def limits(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Every limit of the organisation, its projects and keys, with what is spent and held."""
    quotas = Quota.objects.filter(tenant=tenant).select_related("project", "api_key").order_by("pk")
    context = {"gauges": gauges(tenant, now=now()), "quotas": quotas}
    return render_page(request, "limits.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_LIMITS)
def tenant_limits(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Change the limits of the whole organisation."""
    scope = Scope(tenant)
    form = LimitsForm(request.POST or None, initial=initial_of(scope))
    if change_limits(request, form, scope, Permission.MANAGE_LIMITS):
        return redirect("limits", tenant.slug)
    return render_page(request, "limits_change.html", {"form": form}, status=form_status(form.errors))


def initial_of(scope: Scope) -> dict[str, Any]:
    """What the form starts with."""
    return asdict(verbs.of(scope))


def change_limits(request: TenantRequest, form: LimitsForm, scope: Scope, permission: Permission) -> bool:
    """Take a posted form to the verb; False when there is none or it has errors."""
    if request.method != "POST":
        return False
    if permission not in request.permissions:
        raise PermissionDenied
    if not form.is_valid():
        return False
    try:
        changed = verbs.change(scope=scope, limits=form.limits(), actor=request.user, now=now())
    except (QuotaProblem, BudgetProblem) as problem:
        form.add_error(None, str(problem))
        return False
    messages.success(request, "Saved. The next call meets the new limits." if changed else "Nothing changed.")
    return True
