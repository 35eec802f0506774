"""API keys: the list, making one, its page, rotating and revoking it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_safe

from portal import api_keys, offers, snippets
from portal.access import Permission, api_key_for
from portal.api_keys import IssuedKey, KeyProblem
from portal.forms import KeyForm, LimitsForm, RevokeForm, RotateForm
from portal.limits import Scope
from portal.models import ApiKey, Project, Tenant
from portal.quotas import QuotaProblem
from portal.readings import gauges, spent_this_month
from portal.views.limits import change_limits, initial_of
from portal.views.page import TenantRequest, form_status, render_page, tenant_page

PLACEHOLDER = "YOUR_API_KEY"


@require_safe
@tenant_page(Permission.SEE_KEYS)
def keys(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Keys in use first; those revoked or expired behind them."""
    rows = ApiKey.objects.filter(tenant=tenant).select_related("project", "created_by").order_by("-created_at", "-pk")
    moment = now()
    usable = set(rows.filter(api_keys.usable(moment)).values_list("pk", flat=True))
    spent = spent_this_month(tenant, "api_key", now=moment)
    listed = [{"key": key, "usable": key.pk in usable, "spent": spent.get(key.pk, 0)} for key in rows]
    context = {
        "active": [row for row in listed if row["usable"]],
        "ended": [row for row in listed if not row["usable"]],
        "now": moment,
    }
    return render_page(request, "keys.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_KEYS)
def new_key(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Make a key with limits. The answer to the form shows it once."""
    moment = now()
    projects = Project.objects.filter(tenant=tenant, is_active=True).order_by("pk")
    models = offers.models_on_sale(tenant.pk, now=moment)
    chosen = {"project": request.GET["project"]} if "project" in request.GET else {}
    form = KeyForm(request.POST or None, projects=projects, models=models, initial=chosen)
    if request.method == "POST" and form.is_valid():
        try:
            issued = api_keys.issue(
                project=form.cleaned_data["project"],
                name=form.cleaned_data["name"],
                limits=form.limits(),
                actor=request.user,
                now=moment,
            )
        except (KeyProblem, QuotaProblem) as problem:
            form.add_error(None, str(problem))
        else:
            return _shown_once(request, issued)
    return render_page(request, "key_new.html", {"form": form}, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.SEE_KEYS)
def key(request: TenantRequest, tenant: Tenant, public_id: str) -> HttpResponse:
    """One key: what it may do, what it used, how to call with it; its limits can be changed here."""
    shown = api_key_for(tenant, public_id)
    scope = Scope(tenant, api_key=shown)
    form = LimitsForm(request.POST or None, initial=initial_of(scope))
    if change_limits(request, form, scope, Permission.MANAGE_KEYS):
        return redirect("key", tenant.slug, shown.public_id)
    moment = now()
    context = {
        "key": shown,
        "usable": ApiKey.objects.filter(api_keys.usable(moment), pk=shown.pk).exists(),
        "expired": shown.expires_at is not None and shown.expires_at <= moment,
        "form": form,
        "gauges": gauges(tenant, now=moment, scope=scope.kind, scope_id=scope.id),
        "spent": spent_this_month(tenant, "api_key", now=moment).get(shown.pk, 0),
        "replaced": shown.replaces,
        "snippets": snippets.first_call(
            base_url=base_url(request), api_key=PLACEHOLDER, model=first_model(tenant, shown)
        ),
    }
    return render_page(request, "key.html", context, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_KEYS)
def rotate_key(request: TenantRequest, tenant: Tenant, public_id: str) -> HttpResponse:
    """A new key with the same limits; the old one goes on for a chosen time."""
    old = api_key_for(tenant, public_id)
    form = RotateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            issued = api_keys.rotate(key=old, actor=request.user, overlap=form.hours(), now=now())
        except KeyProblem as problem:
            form.add_error(None, str(problem))
        else:
            return _shown_once(request, issued, old=old)
    return render_page(request, "key_rotate.html", {"key": old, "form": form}, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_KEYS)
def revoke_key(request: TenantRequest, tenant: Tenant, public_id: str) -> HttpResponse:
    """Refuse a key from now on, after asking."""
    old = api_key_for(tenant, public_id)
    form = RevokeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        api_keys.revoke(key=old, actor=request.user, now=now(), cut_streams=form.cut())
        messages.success(request, f"“{old.name or old}” is revoked. Calls with it are refused.")
        return redirect("keys", tenant.slug)
    return render_page(request, "key_revoke.html", {"key": old, "form": form}, status=form_status(form.errors))


def base_url(request: HttpRequest) -> str:
    """The address SDKs are pointed at, as this browser reaches it."""
    return request.build_absolute_uri("/v1")


def first_model(tenant: Tenant, shown: ApiKey | None = None) -> str:
    """A model to show in an example: the first the key may call."""
    if shown is not None and shown.allowed_models:
        return str(shown.allowed_models[0])
    on_sale = offers.models_on_sale(tenant.pk, now=now())
    return next(iter(on_sale), "MODEL")


def _shown_once(request: TenantRequest, issued: IssuedKey, old: ApiKey | None = None) -> HttpResponse:
    """The only page that ever holds the key's text. Loading it again shows the list."""
    examples = snippets.first_call(
        base_url=base_url(request), api_key=issued.text, model=first_model(request.tenant, issued.key)
    )
    context = {
        "key": issued.key,
        "text": issued.text,
        "old": old,
        "base_url": base_url(request),
        "snippets": examples,
        "list_url": reverse("keys", args=[request.tenant.slug]),
    }
    return render_page(request, "key_shown.html", context)
