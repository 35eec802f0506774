"""A tenant's endpoints: add, change, switch off and on, rotate the secret, remove. Writes WebhookEndpoint.

Call as the operator. A secret leaves as text once, in the answer to making it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from billing import notices, outbox, parties
from billing.models import MessageKind, OutboxMessage, WebhookDelivery, WebhookEndpoint
from billing.public_internet import AddressProblem, Unresolvable
from billing.webhooks import addresses, signing

MOST = 20
LONGEST_OVERLAP = timedelta(days=7)
LONGEST_NAME = 100
CHOICES = tuple(kind for kind in MessageKind.values if kind != MessageKind.TEST)
"""What an endpoint can ask for; a test is sent to whom it is asked for."""
BY_HAND = "Switched off by hand."


class EndpointProblem(Exception):
    """An endpoint that cannot be, in plain words."""


@dataclass(frozen=True, slots=True)
class Made:
    """An endpoint and its new secret, which is shown once."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wish:
    """Where to send which kinds of messages."""

    url: str
    kinds: tuple[str, ...]
    name: str = ""


@transaction.atomic
def add(*, tenant_id: int, wish: Wish, now: datetime) -> Made:
    """A new endpoint; it is told of what happens from now on. Raises EndpointProblem."""
    kinds = _checked(wish)
    mine = WebhookEndpoint.objects.filter(tenant_id=tenant_id, removed_at=None)
    if len(mine.select_for_update(no_key=True).values_list("pk", flat=True)) >= MOST:
        raise EndpointProblem(f"At most {MOST} endpoints.")
    ident, secret = f"ep_{uuid.uuid4().hex[:24]}", signing.new_secret()
    endpoint = WebhookEndpoint.objects.create(
        id=ident,
        tenant_id=tenant_id,
        url=wish.url,
        name=wish.name.strip(),
        kinds=kinds,
        sealed_secret=signing.seal(tenant_id=tenant_id, endpoint_id=ident, secret=secret),
        created_at=now,
    )
    return Made(endpoint, secret)


@transaction.atomic
def change(*, endpoint: WebhookEndpoint, wish: Wish) -> WebhookEndpoint:
    """Another URL, name or other kinds. What waits goes to the new URL. Raises EndpointProblem."""
    kinds = _checked(wish)
    row = locked(endpoint)
    row.url, row.name, row.kinds = wish.url, wish.name.strip(), kinds
    row.save(update_fields=["url", "name", "kinds"])
    return row


@transaction.atomic
def enable(*, endpoint: WebhookEndpoint) -> bool:
    """Send messages again, from now on; what was missed can be sent again by hand. False if it was on."""
    row = locked(endpoint)
    if row.is_active:
        return False
    row.is_active, row.disabled_reason, row.failing_since_at, row.is_slow = True, "", None, False
    row.save(update_fields=["is_active", "disabled_reason", "failing_since_at", "is_slow"])
    return True


@transaction.atomic
def disable(*, endpoint: WebhookEndpoint, now: datetime, reason: str = BY_HAND, tell: bool = False) -> bool:
    """Send no more; what waits has failed, and can be sent again by hand. ``tell`` the owners. False if it was off."""
    row = locked(endpoint)
    if not row.is_active:
        return False
    row.is_active, row.disabled_reason = False, reason[:200]
    row.save(update_fields=["is_active", "disabled_reason"])
    _give_up(row, "The endpoint was disabled.", now)
    if tell:
        tenant = parties.tenants_by_id([row.tenant_id])[0]
        to = parties.addresses_of_owners(row.tenant_id)
        notices.tell(tenant=tenant, notice=notices.endpoint_disabled(row.url, reason), to=to)
    return True


@transaction.atomic
def remove(*, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Take it away with its secrets; the log of what it was sent stays as long as the messages."""
    row = locked(endpoint)
    row.is_active, row.removed_at = False, now
    row.sealed_secret, row.sealed_previous, row.previous_until_at = b"", None, None
    row.save(update_fields=["is_active", "removed_at", "sealed_secret", "sealed_previous", "previous_until_at"])
    _give_up(row, "The endpoint was removed.", now)


@transaction.atomic
def rotate(*, endpoint: WebhookEndpoint, overlap: timedelta, now: datetime) -> Made:
    """A new secret; for the time of ``overlap`` each message is signed with both. Raises EndpointProblem."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise EndpointProblem(f"The old secret can go on for 0 to {LONGEST_OVERLAP.days} days.")
    row = locked(endpoint)
    secret = signing.new_secret()
    row.sealed_previous, row.previous_until_at = (row.sealed_secret, now + overlap) if overlap else (None, None)
    row.sealed_secret = signing.seal(tenant_id=row.tenant_id, endpoint_id=row.pk, secret=secret)
    row.save(update_fields=["sealed_secret", "sealed_previous", "previous_until_at"])
    return Made(row, secret)


def send_test(*, endpoint: WebhookEndpoint, now: datetime) -> OutboxMessage:
    """Write a test message for this endpoint alone. Raises EndpointProblem if it is off."""
    if not endpoint.is_active:
        raise EndpointProblem("Enable the endpoint first.")
    data = {"endpoint": endpoint.pk, "text": "This is a test: it was asked for on the webhooks page or by the API."}
    return outbox.emit_test(endpoint=endpoint, data=data, now=now)


def forget(*, now: datetime) -> int:
    """Delete removed endpoints that no kept message names any more, and secrets whose time is over."""
    WebhookEndpoint.objects.filter(previous_until_at__lte=now).update(sealed_previous=None, previous_until_at=None)
    used = WebhookDelivery.objects.values("endpoint")
    return WebhookEndpoint.objects.filter(removed_at__isnull=False).exclude(pk__in=used).delete()[0]


def locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """The row as it is now, locked; endpoints are locked before their deliveries. Raises EndpointProblem if removed."""
    row = WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=endpoint.pk, removed_at=None).first()
    if row is None:
        raise EndpointProblem("This endpoint was removed.")
    return row


def _give_up(endpoint: WebhookEndpoint, reason: str, now: datetime) -> None:
    waiting = WebhookDelivery.objects.filter(endpoint=endpoint, status=WebhookDelivery.Status.WAITING)
    waiting.update(
        status=WebhookDelivery.Status.FAILED, reason=reason, finished_at=now, lease=None, leased_until_at=None
    )


def _checked(wish: Wish) -> list[str]:
    """The kinds in their order; raises EndpointProblem. A name that has no address now may have one later."""
    if len(wish.name) > LONGEST_NAME or not wish.name.isprintable():
        raise EndpointProblem(f"A name has at most {LONGEST_NAME} printable characters.")
    try:
        addresses.allowed(wish.url, allow_private=settings.ALLOW_PRIVATE_WEBHOOKS)
    except Unresolvable:
        pass
    except AddressProblem as problem:
        raise EndpointProblem(str(problem)) from None
    return _kinds(wish.kinds)


def _kinds(wanted: Collection[str]) -> list[str]:
    if not wanted or not set(wanted) <= set(CHOICES):
        raise EndpointProblem(f"Choose one or more of {', '.join(CHOICES)}.")
    return [kind for kind in CHOICES if kind in wanted]
