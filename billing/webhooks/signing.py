"""Signing secrets and signatures, as the Standard Webhooks specification has them; secrets are sealed at rest."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime

from django.conf import settings
from standardwebhooks import Webhook

from billing import sealing
from billing.models import WebhookEndpoint

SECRET_BYTES = 32
_PREFIX = "whsec_"
_PURPOSE = b"tollgate webhook secrets"


def new_secret() -> str:
    """A secret that is shared with one endpoint."""
    return _PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


def seal(*, tenant_id: int, endpoint_id: str, secret: str) -> bytes:
    """The secret as it is stored: an envelope that opens for this endpoint of this tenant alone."""
    place = _place(tenant_id, endpoint_id)
    return sealing.seal(master_key=settings.MASTER_KEY, purpose=_PURPOSE, place=place, secret=secret)


def secrets_of(endpoint: WebhookEndpoint, *, now: datetime) -> tuple[str, ...]:
    """The secrets to sign with: the present one, then the one before it while both are good. Raises SealProblem."""
    envelopes = [bytes(endpoint.sealed_secret)]
    if endpoint.sealed_previous and endpoint.previous_until_at and endpoint.previous_until_at > now:
        envelopes.append(bytes(endpoint.sealed_previous))
    place = _place(endpoint.tenant_id, endpoint.pk)
    return tuple(
        sealing.open(master_key=settings.MASTER_KEY, purpose=_PURPOSE, place=place, sealed=each) for each in envelopes
    )


def headers(*, message_id: str, body: str, secrets: tuple[str, ...], now: datetime) -> dict[str, str]:
    """The three headers over exactly this body. ``now`` is the time of the try; the id is the same on each."""
    at = now.astimezone(UTC).replace(microsecond=0)
    signatures = [Webhook(secret).sign(msg_id=message_id, timestamp=at, data=body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _place(tenant_id: int, endpoint_id: str) -> bytes:
    return f"tenant:{tenant_id}:webhook:{endpoint_id}".encode()
