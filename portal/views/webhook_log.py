"""The log of messages to endpoints: the list, one with its tries, and sending it again."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from billing.webhooks import log
from billing.webhooks.endpoints import EndpointProblem
from billing.webhooks.log import Filter
from portal import webhooks as verbs
from portal.access import Permission, delivery_for
from portal.models import Tenant
from portal.views.page import TenantRequest, position, render_page, tenant_page
from portal.webhook_forms import LogForm

PAGE = 50


@require_safe
@tenant_page(Permission.MANAGE_WEBHOOKS)
def webhook_messages(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Messages newest first; those that failed, or those of one endpoint, if asked for."""
    choices = [(row.pk, str(row)) for row in log.endpoints(tenant.pk)]
    form = LogForm(request.GET, choices=choices)
    chosen = Filter(**form.cleaned_data) if form.is_valid() else Filter()
    rows, following = log.page(tenant.pk, chosen, before=position(request, "before"), limit=PAGE)
    context = {"deliveries": rows, "following": following, "form": form, "chosen": chosen}
    partial = request.headers.get("HX-Target") == "results"
    return render_page(request, "webhook_messages_results.html" if partial else "webhook_messages.html", context)


@require_safe
@tenant_page(Permission.MANAGE_WEBHOOKS)
def webhook_message(request: TenantRequest, tenant: Tenant, delivery_id: int) -> HttpResponse:
    """One message: what was sent, and each try to send it."""
    delivery = delivery_for(tenant, delivery_id)
    body = json.dumps(json.loads(delivery.message.body), ensure_ascii=False, indent=2)
    under_way = delivery.leased_until_at is not None and delivery.leased_until_at > now()
    context = {"delivery": delivery, "body": body, "attempts": log.attempts(delivery), "under_way": under_way}
    return render_page(request, "webhook_message.html", context)


@require_POST
@tenant_page(Permission.MANAGE_WEBHOOKS)
def resend_message(request: TenantRequest, tenant: Tenant, delivery_id: int) -> HttpResponse:
    """Send a message again, under its id."""
    delivery = delivery_for(tenant, delivery_id)
    try:
        verbs.resend(tenant=tenant, delivery=delivery, actor=request.user, now=now())
    except EndpointProblem as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, "It will be sent again in a few seconds.")
    return redirect("webhook_message", tenant.slug, delivery.pk)
