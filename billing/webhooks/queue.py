"""Who is still to be told: claims of deliveries, what came of each, and sending again by hand.

Writes WebhookDelivery, WebhookAttempt, and what delivery sees of an endpoint. A claim is a lease: whoever dies with
one leaves it to run out, and the message goes again, under the same id. Locks: the endpoint before its deliveries.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from billing.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints, schedule
from billing.webhooks.endpoints import EndpointProblem
from billing.webhooks.sending import Answer

MOST_PER_ENDPOINT = 2
LEASE = timedelta(seconds=60)
"""Longer than any try takes, the look-up of a name included."""
SLOW_MS = 2_000
ONE_CLAIMER = 0x7765_6268
"""Advisory lock: one claims at a time, so that the bound of an endpoint holds for any number of workers."""
Status = WebhookDelivery.Status

_CANDIDATES = """
    SELECT d.id, e.is_slow
    FROM billing_webhookendpoint e CROSS JOIN LATERAL (
        SELECT id, due_at FROM billing_webhookdelivery
        WHERE endpoint_id = e.id AND status = 'waiting' AND due_at <= %(now)s
            AND (leased_until_at IS NULL OR leased_until_at <= %(now)s)
        ORDER BY due_at, id
        LIMIT greatest(0, %(most)s - (SELECT count(*) FROM billing_webhookdelivery
            WHERE endpoint_id = e.id AND lease IS NOT NULL AND leased_until_at > %(now)s))
    ) d
    WHERE e.is_active ORDER BY d.due_at, d.id LIMIT 1000
"""
_SLOW_UNDER_WAY = """
    SELECT count(*) FROM billing_webhookdelivery d JOIN billing_webhookendpoint e ON e.id = d.endpoint_id
    WHERE d.lease IS NOT NULL AND d.leased_until_at > %(now)s AND e.is_slow
"""
_LEASE = """
    UPDATE billing_webhookdelivery SET lease = %(lease)s, leased_until_at = %(until)s, tries = tries + 1
    WHERE id IN (SELECT id FROM billing_webhookdelivery WHERE id = ANY(%(ids)s) AND status = 'waiting'
        AND (leased_until_at IS NULL OR leased_until_at <= %(now)s) ORDER BY id FOR UPDATE SKIP LOCKED)
    RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One try that is ours to make: ``delivery`` as it was leased, with its message and endpoint."""

    delivery: WebhookDelivery
    lease: uuid.UUID


@transaction.atomic
def claim(*, now: datetime, most: int, most_slow: int) -> list[Claim]:
    """Lease what is due, oldest first: at most so many, so many of them to slow endpoints, and two to any endpoint."""
    lease = uuid.uuid4()
    values: dict[str, Any] = {"now": now, "most": MOST_PER_ENDPOINT, "lease": lease, "until": now + LEASE}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_CLAIMER])
        cursor.execute(_SLOW_UNDER_WAY, values)
        room = max(0, most_slow - int(cursor.fetchone()[0]))
        cursor.execute(_CANDIDATES, values)
        chosen = _chosen(cursor.fetchall(), most, room)
        cursor.execute(_LEASE, {**values, "ids": chosen})
        ids = [row[0] for row in cursor.fetchall()]
    rows = WebhookDelivery.objects.filter(pk__in=ids).select_related("message", "endpoint").order_by("due_at", "pk")
    return [Claim(row, lease) for row in rows]


@transaction.atomic
def record(*, claim: Claim, answer: Answer, now: datetime) -> None:
    """Note a try and what follows from it.

    That a message was taken counts whenever it is known; what failed counts only while the lease is ours.
    """
    delivery = claim.delivery
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=delivery.endpoint_id)
    attempt = WebhookAttempt(
        tenant_id=delivery.tenant_id, delivery_id=delivery.pk, number=delivery.tries, at=now,
        status_code=answer.status_code, duration_ms=answer.duration_ms, error=answer.error[:300],
        response=answer.response,
    )  # fmt: skip
    WebhookAttempt.objects.bulk_create([attempt], ignore_conflicts=True)
    mine = WebhookDelivery.objects.filter(pk=delivery.pk)
    if answer.taken:
        mine.exclude(status=Status.DELIVERED).update(
            status=Status.DELIVERED, finished_at=now, reason="", lease=None, leased_until_at=None
        )
        _note_health(endpoint, None, answer.duration_ms >= SLOW_MS)
        return
    if mine.filter(lease=claim.lease).exists():
        _failed(endpoint, delivery, answer, now)


@transaction.atomic
def resend(*, delivery: WebhookDelivery, now: datetime) -> bool:
    """Send a message again, at once and under its id, with a new round of tries. False if it is being sent right now.

    Raises EndpointProblem if its endpoint is off.
    """
    _must_be_on(endpoints.locked(delivery.endpoint))
    rows = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(lease__isnull=False, leased_until_at__gt=now)
    return bool(_again(rows, now))


@transaction.atomic
def resend_failed(*, endpoint: WebhookEndpoint, since: datetime, now: datetime) -> int:
    """Send again everything that failed for good at an endpoint since then; returns how many."""
    _must_be_on(endpoints.locked(endpoint))
    rows = WebhookDelivery.objects.filter(endpoint=endpoint, status=Status.FAILED, finished_at__gte=since)
    return _again(rows, now)


def _again(rows: QuerySet[WebhookDelivery], now: datetime) -> int:
    return rows.update(
        status=Status.WAITING, due_at=now, step=0, finished_at=None, reason="", lease=None, leased_until_at=None
    )


def _must_be_on(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_active:
        raise EndpointProblem("Enable the endpoint first.")


def _chosen(candidates: list[tuple[int, bool]], most: int, room: int) -> list[int]:
    """Ids to lease, oldest first, with at most ``room`` of slow endpoints."""
    chosen: list[int] = []
    for ident, is_slow in candidates:
        if len(chosen) == most:
            break
        if is_slow and not room:
            continue
        room -= is_slow
        chosen.append(ident)
    return chosen


def _failed(endpoint: WebhookEndpoint, delivery: WebhookDelivery, answer: Answer, now: datetime) -> None:
    since = endpoint.failing_since_at or now
    _note_health(endpoint, since, True)
    _wait_or_give_up(delivery, answer, now)
    if answer.gone:
        endpoints.disable(endpoint=endpoint, now=now, reason="It answered 410 Gone.", tell=True)
    elif now - since >= schedule.GIVEN_UP_AFTER:
        days = schedule.GIVEN_UP_AFTER.days
        endpoints.disable(endpoint=endpoint, now=now, reason=f"It has failed for {days} days.", tell=True)


def _wait_or_give_up(delivery: WebhookDelivery, answer: Answer, now: datetime) -> None:
    delay = schedule.delay_after(delivery.step, jitter=secrets.randbelow(101), asked_s=answer.retry_after)
    row = WebhookDelivery.objects.filter(pk=delivery.pk)
    if delay is None:
        reason = f"Given up after {delivery.step + 1} tries."
        row.update(status=Status.FAILED, finished_at=now, reason=reason, lease=None, leased_until_at=None)
    else:
        row.update(due_at=now + delay, step=delivery.step + 1, lease=None, leased_until_at=None)


def _note_health(endpoint: WebhookEndpoint, failing_since: datetime | None, is_slow: bool) -> None:
    if (endpoint.failing_since_at, endpoint.is_slow) != (failing_since, is_slow):
        rows = WebhookEndpoint.objects.filter(pk=endpoint.pk)
        rows.update(failing_since_at=failing_since, is_slow=is_slow)
