"""Webhook endpoints: the list, adding one, its page with what is done to it, and removing it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import WebhookEndpoint
from billing.webhooks import log
from billing.webhooks.endpoints import EndpointProblem, Made
from billing.webhooks.log import Filter
from portal import webhooks as verbs
from portal.access import Permission, webhook_for
from portal.models import Tenant
from portal.views.page import TenantRequest, form_status, render_page, tenant_page
from portal.webhook_forms import EndpointForm, ResendForm, RotateSecretForm

LATEST = 10


@require_safe
@tenant_page(Permission.MANAGE_WEBHOOKS)
def webhooks(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """All endpoints with how they do, and the latest messages."""
    counts = log.counts(tenant.pk)
    context = {
        "endpoints": [(row, counts.get(row.pk, {})) for row in log.endpoints(tenant.pk)],
        "deliveries": log.deliveries(tenant.pk)[:LATEST],
    }
    return render_page(request, "webhooks.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_WEBHOOKS)
def new_webhook(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Add an endpoint. The answer to the form shows its secret once."""
    form = EndpointForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = verbs.add(tenant=tenant, wish=form.wish(), actor=request.user, now=now())
        except EndpointProblem as problem:
            form.add_error("url", str(problem))
        else:
            return _shown_once(request, made, "new")
    return render_page(request, "webhook_new.html", {"form": form}, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_WEBHOOKS)
def webhook(request: TenantRequest, tenant: Tenant, endpoint_id: str) -> HttpResponse:
    """One endpoint: how it does, its latest messages, and a form to change it."""
    endpoint = webhook_for(tenant, endpoint_id)
    initial = {"url": endpoint.url, "name": endpoint.name, "kinds": endpoint.kinds}
    form = EndpointForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            verbs.change(tenant=tenant, endpoint=endpoint, wish=form.wish(), actor=request.user, now=now())
        except EndpointProblem as problem:
            form.add_error("url", str(problem))
        else:
            messages.success(request, "Saved. Messages that still wait go to this URL, too.")
            return redirect("webhook", tenant.slug, endpoint.pk)
    context: dict[str, Any] = {
        "endpoint": endpoint,
        "counts": log.counts(tenant.pk).get(endpoint.pk, {}),
        "both_sign": endpoint.previous_until_at is not None and endpoint.previous_until_at > now(),
        "deliveries": log.deliveries(tenant.pk, Filter(endpoint=endpoint.pk))[:LATEST],
        "form": form,
        "resend_form": ResendForm(),
    }
    return render_page(request, "webhook.html", context, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_WEBHOOKS)
def rotate_webhook(request: TenantRequest, tenant: Tenant, endpoint_id: str) -> HttpResponse:
    """A new secret, shown once; the old one goes on for a chosen time."""
    endpoint = webhook_for(tenant, endpoint_id)
    form = RotateSecretForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = verbs.rotate(tenant=tenant, endpoint=endpoint, overlap=form.hours(), actor=request.user, now=now())
        except EndpointProblem as problem:
            form.add_error(None, str(problem))
        else:
            return _shown_once(request, made, "rotated")
    return render_page(
        request, "webhook_rotate.html", {"endpoint": endpoint, "form": form}, status=form_status(form.errors)
    )


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_WEBHOOKS)
def remove_webhook(request: TenantRequest, tenant: Tenant, endpoint_id: str) -> HttpResponse:
    """Take an endpoint away, after asking."""
    endpoint = webhook_for(tenant, endpoint_id)
    if request.method == "POST":
        verbs.remove(tenant=tenant, endpoint=endpoint, actor=request.user, now=now())
        messages.success(request, f"“{endpoint}” is removed. Nothing is sent there any more.")
        return redirect("webhooks", tenant.slug)
    return render_page(request, "webhook_remove.html", {"endpoint": endpoint})


@require_POST
@tenant_page(Permission.MANAGE_WEBHOOKS)
def switch_webhook(request: TenantRequest, tenant: Tenant, endpoint_id: str) -> HttpResponse:
    """Switch an endpoint off, or on again."""
    endpoint = webhook_for(tenant, endpoint_id)
    on = request.POST.get("on") == "1"
    verbs.switch(tenant=tenant, endpoint=endpoint, on=on, actor=request.user, now=now())
    if on:
        messages.success(request, "Enabled. What it missed can be sent again below.")
    else:
        messages.success(request, "Disabled. Nothing is sent there until you enable it.")
    return redirect("webhook", tenant.slug, endpoint.pk)


@require_POST
@tenant_page(Permission.MANAGE_WEBHOOKS)
def test_webhook(request: TenantRequest, tenant: Tenant, endpoint_id: str) -> HttpResponse:
    """Send a test message, and show the list in which it appears."""
    endpoint = webhook_for(tenant, endpoint_id)
    try:
        verbs.send_test(tenant=tenant, endpoint=endpoint, actor=request.user, now=now())
    except EndpointProblem as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, "A test is on its way. Load this page again in a few seconds to see what came of it.")
    return redirect("webhook", tenant.slug, endpoint.pk)


@require_POST
@tenant_page(Permission.MANAGE_WEBHOOKS)
def resend_failed(request: TenantRequest, tenant: Tenant, endpoint_id: str) -> HttpResponse:
    """Send again everything that failed within a chosen time."""
    endpoint = webhook_for(tenant, endpoint_id)
    form = ResendForm(request.POST)
    if form.is_valid():
        _resend_since(request, tenant, endpoint, form)
    return redirect("webhook", tenant.slug, endpoint.pk)


def _resend_since(request: TenantRequest, tenant: Tenant, endpoint: WebhookEndpoint, form: ResendForm) -> None:
    moment = now()
    try:
        count = verbs.resend_failed(
            tenant=tenant, endpoint=endpoint, since=moment - form.hours(), actor=request.user, now=moment
        )
    except EndpointProblem as problem:
        messages.error(request, str(problem))
    else:
        said = (
            f"{count} message{'' if count == 1 else 's'} will be sent again." if count else "None failed in that time."
        )
        messages.success(request, said)


def _shown_once(request: TenantRequest, made: Made, why: str) -> HttpResponse:
    """The only page that ever holds the secret. Loading it again shows the endpoint."""
    url = reverse("webhook", args=[request.tenant.slug, made.endpoint.pk])
    context = {"endpoint": made.endpoint, "secret": made.secret, "why": why, "url": url}
    return render_page(request, "webhook_shown.html", context)
