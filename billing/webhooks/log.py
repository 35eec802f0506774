"""Questions about a tenant's webhooks, for pages and API. Only reads, and only one tenant's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, OuterRef, QuerySet, Subquery

from billing.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries: of one endpoint, in one state. Empty is all."""

    endpoint: str = ""
    status: str = ""


def endpoints(tenant_id: int) -> QuerySet[WebhookEndpoint]:
    """Endpoints that were not removed, oldest first."""
    return WebhookEndpoint.objects.filter(tenant_id=tenant_id, removed_at=None).order_by("created_at", "pk")


def counts(tenant_id: int) -> Mapping[str, Mapping[str, int]]:
    """How many messages of each endpoint wait, were delivered, failed; of those that are kept."""
    rows = WebhookDelivery.objects.filter(tenant_id=tenant_id).values("endpoint", "status").order_by()
    found: dict[str, dict[str, int]] = {}
    for row in rows.annotate(messages=Count("pk")):
        found.setdefault(row["endpoint"], {})[row["status"]] = row["messages"]
    return found


def deliveries(tenant_id: int, chosen: Filter | None = None) -> QuerySet[WebhookDelivery]:
    """Messages to endpoints, newest first, each with the code and error of its last try."""
    chosen = chosen or Filter()
    last = WebhookAttempt.objects.filter(delivery=OuterRef("pk")).order_by("-number")
    rows = WebhookDelivery.objects.filter(tenant_id=tenant_id).select_related("message", "endpoint")
    if chosen.endpoint:
        rows = rows.filter(endpoint_id=chosen.endpoint)
    if chosen.status:
        rows = rows.filter(status=chosen.status)
    return rows.order_by("-pk").annotate(
        last_code=Subquery(last.values("status_code")[:1]),
        last_error=Subquery(last.values("error")[:1]),
        last_at=Subquery(last.values("at")[:1]),
    )


def page(tenant_id: int, chosen: Filter, *, before: int | None, limit: int) -> tuple[list[WebhookDelivery], int | None]:
    """A page of deliveries, and the ``before`` of the next, or None."""
    rows = deliveries(tenant_id, chosen)
    found = list((rows if before is None else rows.filter(pk__lt=before))[: limit + 1])
    return found[:limit], found[limit - 1].pk if len(found) > limit else None


def attempts(delivery: WebhookDelivery) -> list[WebhookAttempt]:
    """The tries of a delivery, the last first."""
    return list(WebhookAttempt.objects.filter(delivery=delivery).order_by("-number"))
