"""What members do with their organisation's webhooks, each act with its audit row.

Rows are found as the tenant and changed as the operator: a tenant's role may write none of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from billing.models import OutboxMessage, WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints, queue
from billing.webhooks.endpoints import EndpointProblem, Made, Wish
from portal import audit
from portal.models import Tenant, User
from portal.tenancy import as_operator


def add(*, tenant: Tenant, wish: Wish, actor: User, now: datetime) -> Made:
    """A new endpoint, with its secret, which is shown once. Raises EndpointProblem."""
    with as_operator():
        made = endpoints.add(tenant_id=tenant.pk, wish=wish, now=now)
        _record(tenant, made.endpoint, "webhook.add", actor, now, _said(made.endpoint))
    return made


def change(*, tenant: Tenant, endpoint: WebhookEndpoint, wish: Wish, actor: User, now: datetime) -> WebhookEndpoint:
    """Another URL, name or other kinds. Raises EndpointProblem."""
    with as_operator():
        changed = endpoints.change(endpoint=endpoint, wish=wish)
        _record(tenant, changed, "webhook.change", actor, now, _said(changed))
    return changed


def switch(*, tenant: Tenant, endpoint: WebhookEndpoint, on: bool, actor: User, now: datetime) -> bool:
    """Send messages there, or no more; False if it was so before. Raises EndpointProblem."""
    with as_operator():
        changed = endpoints.enable(endpoint=endpoint) if on else endpoints.disable(endpoint=endpoint, now=now)
        if changed:
            _record(tenant, endpoint, "webhook.enable" if on else "webhook.disable", actor, now, {})
    return changed


def rotate(*, tenant: Tenant, endpoint: WebhookEndpoint, overlap: timedelta, actor: User, now: datetime) -> Made:
    """A new secret, shown once; the old one signs along for the time of ``overlap``. Raises EndpointProblem."""
    with as_operator():
        made = endpoints.rotate(endpoint=endpoint, overlap=overlap, now=now)
        hours = int(overlap / timedelta(hours=1))
        _record(tenant, endpoint, "webhook.rotate_secret", actor, now, {"old_goes_on_hours": hours})
    return made


def remove(*, tenant: Tenant, endpoint: WebhookEndpoint, actor: User, now: datetime) -> None:
    """Take it away. Raises EndpointProblem."""
    with as_operator():
        endpoints.remove(endpoint=endpoint, now=now)
        _record(tenant, endpoint, "webhook.remove", actor, now, _said(endpoint))


def send_test(*, tenant: Tenant, endpoint: WebhookEndpoint, actor: User, now: datetime) -> OutboxMessage:
    """Send a test message. Raises EndpointProblem."""
    with as_operator():
        message = endpoints.send_test(endpoint=endpoint, now=now)
        _record(tenant, endpoint, "webhook.test", actor, now, {"message": message.pk})
    return message


def resend(*, tenant: Tenant, delivery: WebhookDelivery, actor: User, now: datetime) -> None:
    """Send one message again. Raises EndpointProblem."""
    with as_operator():
        if not queue.resend(delivery=delivery, now=now):
            raise EndpointProblem("It is being sent right now.")
        _record(tenant, delivery.endpoint, "webhook.resend", actor, now, {"message": delivery.message_id})


def resend_failed(*, tenant: Tenant, endpoint: WebhookEndpoint, since: datetime, actor: User, now: datetime) -> int:
    """Send again everything that failed since then; returns how many. Raises EndpointProblem."""
    with as_operator():
        count = queue.resend_failed(endpoint=endpoint, since=since, now=now)
        if count:
            detail: dict[str, object] = {"messages": count, "since": since.isoformat()}
            _record(tenant, endpoint, "webhook.resend_failed", actor, now, detail)
    return count


def _said(endpoint: WebhookEndpoint) -> dict[str, object]:
    return {"url": endpoint.url.partition("?")[0], "kinds": list(endpoint.kinds)}


def _record(
    tenant: Tenant, endpoint: WebhookEndpoint, action: str, actor: User, now: datetime, detail: dict[str, object]
) -> None:
    audit.record(tenant=tenant, actor=actor, action=action, subject=endpoint.pk, now=now, detail=detail)
