"""What the job asks of Stripe: automatic top-ups, refunds, and what has become of payments it heard nothing of.

Each is claimed by an update that one worker alone can win for a while; whoever dies in between leaves it to be asked
again, with the same idempotency key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import Q, QuerySet

from billing import payments, refunds
from billing.card_payments import outcomes, provider
from billing.card_payments.provider import Declined, Facts, ProviderProblem
from billing.models import PayingCustomer, Payment, Refund

Row = TypeVar("Row", Payment, Refund)
logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=1)
LOST = timedelta(minutes=10)
"""After how long without word a payment under way is asked about."""
KEPT = timedelta(hours=20)
"""How long a request is repeated under its key, which Stripe keeps for a day; then the charge is looked for instead."""
FORGOTTEN = timedelta(days=30)
BATCH = 20


def send_all(*, now: datetime) -> int:
    """Charge and refund what was asked for, and ask about what has been silent; returns how many were asked."""
    if not provider.is_set_up():
        return 0
    waiting = Payment.objects.filter(status=Payment.Status.REQUESTED, is_automatic=True)
    sent = _each(waiting, lambda row: charge(payment=row, now=now), LEASE, now)
    sent += _each(Refund.objects.filter(status=Refund.Status.REQUESTED), lambda row: send_back(row, now), LEASE, now)
    silent = Payment.objects.filter(status__in=payments.UNDER_WAY, method=Payment.Method.CARD)
    silent = silent.filter(Q(session_id__isnull=False) | Q(intent_id__isnull=False), created_at__gt=now - FORGOTTEN)
    sent += _each(silent, lambda row: outcomes.look(payment=row, now=now), LOST, now)
    _give_up(now)
    return sent


def charge(*, payment: Payment, now: datetime) -> None:
    """Charge the saved card for an automatic top-up. A card that is declined fails it. Raises ProviderProblem."""
    customer = PayingCustomer.objects.filter(tenant_id=payment.tenant_id).exclude(method_id="").first()
    if customer is None:
        _fail(payment, "No card is saved for automatic top-ups.", now)
        return
    try:
        facts = _charged(payment, customer, now)
    except Declined as problem:
        _fail(payment, f"The card was declined: {problem}", now)
    except ProviderProblem as problem:
        if problem.passing:
            raise
        _fail(payment, str(problem), now)
    else:
        outcomes.note(payment=payment, facts=facts, now=now)


def send_back(refund: Refund, now: datetime) -> None:
    """Ask Stripe for a refund; what it refuses is put back. Raises ProviderProblem."""
    try:
        told = provider.send_back(refund=refund)
    except ProviderProblem as problem:
        if problem.passing:
            raise
        refunds.fail(refund=refund, failure=str(problem), now=now)
        return
    refunds.hear(payment=refund.payment, told=told, now=now)


def _charged(payment: Payment, customer: PayingCustomer, now: datetime) -> Facts:
    if payment.created_at < now - KEPT:
        found = provider.find_charge(payment=payment, customer_id=customer.customer_id)
        return found or Facts(Payment.Status.CANCELLED, "It could not be sent in time.")
    return provider.charge(payment=payment, customer_id=customer.customer_id, method_id=customer.method_id)


def _fail(payment: Payment, words: str, now: datetime) -> None:
    payments.bring_to(payment=payment, status=Payment.Status.FAILED, failure=words[:200], now=now)


def _each(rows: QuerySet[Row], act: Callable[[Row], object], lease: timedelta, now: datetime) -> int:
    """Act on what nobody asked about for a while; a problem that passes ends the round."""
    due = rows.filter(Q(asked_at=None) | Q(asked_at__lt=now - lease)).select_related("tenant").order_by("id")
    done = 0
    for row in due[:BATCH]:
        claimed = rows.filter(Q(asked_at=None) | Q(asked_at__lt=now - lease), pk=row.pk)
        if not claimed.update(asked_at=now):
            continue
        done += 1
        try:
            act(row)
        except ProviderProblem as problem:
            logger.error("%s: %s", row, problem)
            if problem.passing:
                break
    return done


def _give_up(now: datetime) -> None:
    """A payment nobody opened a page for within a day is over; nothing can have been paid."""
    rows = Payment.objects.filter(
        status=Payment.Status.REQUESTED, method=Payment.Method.CARD, is_automatic=False, session_id=None,
        created_at__lt=now - timedelta(days=1),
    )  # fmt: skip
    for payment in rows.select_related("tenant")[:BATCH]:
        words = "No page to pay on was opened."
        payments.bring_to(payment=payment, status=Payment.Status.CANCELLED, failure=words, now=now)
