"""Messages to tenants, written in the transaction of what they tell of. The only writer of OutboxMessage.

With a message come its deliveries, one for each endpoint that wants its kind: nothing is sent that was rolled back, and
nothing that was committed is forgotten (billing/webhooks sends them).
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from billing.models import MessageKind, OutboxMessage, WebhookDelivery, WebhookEndpoint

KEPT = timedelta(days=30)
FORGET_BATCH = 5_000
Data = dict[str, Any]
_FORGETTABLE = """
    SELECT m.id FROM billing_outboxmessage m
    WHERE m.created_at < %s AND (m.keep_until_at IS NULL OR m.keep_until_at < %s) AND NOT EXISTS (
        SELECT FROM billing_webhookdelivery d WHERE d.message_id = m.id AND d.status = 'waiting')
    ORDER BY m.created_at LIMIT %s
"""


class UnknownKind(Exception):
    """Nobody can ask to be told of that."""


def emit(
    *,
    tenant_id: int,
    kind: str,
    subject: str,
    data: Data,
    now: datetime,
    once_key: str | None = None,
    keep_until: datetime | None = None,
) -> bool:
    """Write a message in the caller's transaction: it is told if, and only if, that commits. Whether it was new.

    ``subject`` names what it is about (such as ``invoice:2026-0001``). Where a ``once_key`` is given, (tenant, kind,
    subject, once_key) is written once, whoever asks again, as long as it is kept: 30 days, and until ``keep_until``.
    Call as the operator. Amounts in ``data`` are decimal texts, times are ``moment()``.
    """
    message = _message(tenant_id, kind, data, now)
    message.subject, message.once_key, message.keep_until_at = subject[:120], once_key, keep_until
    wanting = WebhookEndpoint.objects.filter(tenant_id=tenant_id, is_active=True, kinds__contains=[kind])
    with transaction.atomic():
        # ON CONFLICT DO NOTHING leaves the caller's transaction usable where the message was written before.
        OutboxMessage.objects.bulk_create([message], ignore_conflicts=True)
        if once_key is not None and not OutboxMessage.objects.filter(pk=message.pk).exists():
            return False
        _deliver(message, list(wanting.values_list("pk", flat=True)), now)
    return True


def emit_test(*, endpoint: WebhookEndpoint, data: Data, now: datetime) -> OutboxMessage:
    """Write a message of kind ``test`` for one endpoint alone."""
    message = _message(endpoint.tenant_id, MessageKind.TEST, data, now)
    message.subject = f"endpoint:{endpoint.pk}"
    with transaction.atomic():
        message.save(force_insert=True)
        _deliver(message, [endpoint.pk], now)
    return message


def moment(at: datetime) -> str:
    """A time as messages write it: RFC 3339 in UTC, to the second."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def forget(*, now: datetime) -> int:
    """Delete messages that were kept long enough, with their deliveries and tries; returns how many."""
    forgotten = FORGET_BATCH
    total = 0
    while forgotten == FORGET_BATCH:
        forgotten = _forget_some(now)
        total += forgotten
    return total


def _message(tenant_id: int, kind: str, data: Data, now: datetime) -> OutboxMessage:
    if kind not in MessageKind.values:
        raise UnknownKind(f"There is no message of kind {kind!r}.")
    payload = {"type": kind, "timestamp": moment(now), "data": data}
    return OutboxMessage(
        id=f"msg_{uuid.uuid4().hex}",
        tenant_id=tenant_id,
        kind=kind,
        body=json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        created_at=now,
    )


def _deliver(message: OutboxMessage, endpoints: list[str], now: datetime) -> None:
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(tenant_id=message.tenant_id, message=message, endpoint_id=endpoint, due_at=now)
        for endpoint in endpoints
    )


@transaction.atomic
def _forget_some(now: datetime) -> int:
    """What still waits to be delivered is kept: the schedule of tries ends long before."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGETTABLE, [now - KEPT, now, FORGET_BATCH])
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "DELETE FROM billing_webhookattempt WHERE delivery_id IN "
            "(SELECT id FROM billing_webhookdelivery WHERE message_id = ANY(%s))",
            [ids],
        )
        cursor.execute("DELETE FROM billing_webhookdelivery WHERE message_id = ANY(%s)", [ids])
        cursor.execute("DELETE FROM billing_outboxmessage WHERE id = ANY(%s)", [ids])
    return len(ids)
