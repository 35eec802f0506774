"""Messages of Stripe: proven, stored once, answered at once; a job does what they mean.

What is not about one of our payments, or of a kind nobody knows yet, is kept and counts as done. The only writer of
ProviderEvent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q

from billing.card_payments import outcomes, provider
from billing.card_payments.outcomes import Mismatch
from billing.card_payments.provider import ProviderProblem
from billing.models import Payment, ProviderEvent
from billing.payments import PaymentProblem

logger = logging.getLogger(__name__)
LARGEST = 256 * 1024
TOLERANCE_S = 300
LEASE = timedelta(seconds=30)
FORGOTTEN = timedelta(days=3)
BATCH = 100

PAYING = {
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
    "checkout.session.expired", "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled",
}  # fmt: skip
RETURNING = {
    "charge.refunded", "charge.refund.updated", "refund.created", "refund.updated", "refund.failed",
    "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
}  # fmt: skip


class EventProblem(Exception):
    """A message that is not taken, in plain words."""


def receive(*, raw: bytes, signature: str, now: datetime) -> bool:
    """Store a message of Stripe, if it is one; whether it is new. Raises EventProblem.

    The signature is over the raw body with its time, which may be five minutes old at most.
    """
    if len(raw) > LARGEST:
        raise EventProblem(f"A message has at most {LARGEST} bytes.")
    try:
        event = provider.read_event(raw=raw, signature=signature, tolerance_s=TOLERANCE_S)
        text = raw.decode()
    except (ValueError, UnicodeDecodeError) as problem:
        raise EventProblem(str(problem)) from None
    ident, kind = str(event.get("id") or ""), str(event.get("type") or "")
    if not ident.startswith("evt_") or len(ident) > 255 or not 0 < len(kind) <= 100:
        raise EventProblem("This is no event of Stripe.")
    if settings.STRIPE is not None and bool(event.get("livemode")) != settings.STRIPE.is_live:
        mode, other = ("live", "test") if event.get("livemode") else ("test", "live")
        raise EventProblem(f"This event is of {mode} mode, and the secret key here of {other} mode: they are mixed up.")
    values = {"kind": kind, "raw": text, "received_at": now}
    _row, made = ProviderEvent.objects.get_or_create(id=ident, defaults=values)
    return made


def process_all(*, now: datetime) -> int:
    """Do what waiting messages mean; returns how many were looked at. Any number of workers may do it at once."""
    if not provider.is_set_up():
        return 0
    free = Q(tried_at=None) | Q(tried_at__lt=now - LEASE)
    waiting = ProviderEvent.objects.filter(free, processed_at=None).order_by("received_at", "id")
    done = 0
    for event in waiting[:BATCH]:
        if not ProviderEvent.objects.filter(free, pk=event.pk, processed_at=None).update(tried_at=now):
            continue
        done += 1
        if not process(event=event, now=now):
            break
    return done


def process(*, event: ProviderEvent, now: datetime) -> bool:
    """Do what one message means; whether Stripe could be asked. Doing it again changes nothing."""
    payment = None
    try:
        payment = _payment_of(event)
        if payment is not None:
            outcomes.look(payment=payment, now=now, with_returns=event.kind in RETURNING)
    except (ProviderProblem, PaymentProblem) as problem:
        passing = isinstance(problem, ProviderProblem) and problem.passing
        over = isinstance(problem, Mismatch) or event.received_at < now - FORGOTTEN
        _store(event, payment, str(problem), now if over else None)
        logger.error("event %s: %s", event.pk, problem)
        return not passing
    _store(event, payment, "", now)
    return True


def _payment_of(event: ProviderEvent) -> Payment | None:
    """The payment a message is about; a dispute may know the charge only, which knows us."""
    if event.kind not in PAYING | RETURNING:
        return None
    thing = _thing(event)
    reference = str(thing.get("client_reference_id") or (thing.get("metadata") or {}).get("tollgate_payment") or "")
    ident = str(thing.get("id") or "")
    session_id = ident if thing.get("object") == "checkout.session" else ""
    intent_id = ident if thing.get("object") == "payment_intent" else str(thing.get("payment_intent") or "")
    found = outcomes.payment_of(reference=reference, session_id=session_id, intent_id=intent_id)
    if found is None and intent_id and not reference:
        found = outcomes.payment_of(reference=provider.reference_of_intent(intent_id))
    if found is not None and intent_id and not found.intent_id and not found.session_id:
        found.intent_id = intent_id  # enough to ask about it; noted with what Stripe answers
    return found


def _thing(event: ProviderEvent) -> Mapping[str, Any]:
    """What the message is about."""
    thing = json.loads(event.raw, parse_float=str).get("data", {}).get("object", {})
    return thing if isinstance(thing, Mapping) else {}


def _store(event: ProviderEvent, payment: Payment | None, problem: str, processed_at: datetime | None) -> None:
    ProviderEvent.objects.filter(pk=event.pk, processed_at=None).update(
        payment=payment, problem=problem[:200], processed_at=processed_at
    )
