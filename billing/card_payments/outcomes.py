"""What Stripe's facts mean here: payments that arrived or failed, what went back, cards that were saved.

Events only say that something happened; what has become of a payment is asked of Stripe. So their order and number
change nothing. With checkout, which makes customers and opens pages, the only writer of PayingCustomer and of a
payment's ids at Stripe.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from billing import invoices, payments, refunds
from billing.card_payments import provider
from billing.card_payments.provider import Facts, ProviderProblem
from billing.models import PayingCustomer, Payment
from billing.money import format_minor

logger = logging.getLogger(__name__)
Status = Payment.Status


class Mismatch(ProviderProblem):
    """Another amount or currency was paid than was asked for: a person must look."""


def look(*, payment: Payment, now: datetime, with_returns: bool = False) -> Payment:
    """Ask Stripe what has become of a payment, and note it. Raises ProviderProblem; nothing is lost by asking again."""
    facts = provider.facts_of(payment=payment, with_returns=with_returns)
    return payment if facts is None else note(payment=payment, facts=facts, now=now)


@transaction.atomic
def note(*, payment: Payment, facts: Facts, now: datetime) -> Payment:
    """Note facts, once. Raises Mismatch where something else was paid than was asked for."""
    invoices.lock(payment.tenant_id)
    payment = payments.reread(payment)
    if facts.intent_id and not payment.intent_id:
        payment.intent_id = facts.intent_id
        payment.save(update_fields=["intent_id"])
    if facts.status == Status.SUCCEEDED:
        _check_amount(payment, facts)
        if payment.saves_card and facts.method_id:
            save_card(payment=payment, facts=facts, now=now)
    payment = payments.bring_to(payment=payment, status=facts.status, failure=facts.failure, now=now)
    for told in facts.returns:
        refunds.hear(payment=payment, told=told, now=now)
    return payment


def save_card(*, payment: Payment, facts: Facts, now: datetime) -> None:
    """Keep the card for automatic top-ups, in the place of the one before."""
    PayingCustomer.objects.filter(tenant_id=payment.tenant_id, customer_id=facts.customer_id).exclude(
        method_id=facts.method_id
    ).update(method_id=facts.method_id, card=facts.card, changed_at=now)


def forget_card(*, tenant_id: int, now: datetime) -> bool:
    """Charge it no more; whether there was one."""
    rows = PayingCustomer.objects.filter(tenant_id=tenant_id).exclude(method_id="")
    return bool(rows.update(method_id="", card="", changed_at=now))


def payment_of(*, reference: str = "", session_id: str = "", intent_id: str = "") -> Payment | None:
    """The payment that something at Stripe is about, by our reference in it or by its ids; None if it is not ours."""
    wanted = Q(pk=None)
    if reference:
        wanted |= Q(reference__in=refunds.references(reference))
    if session_id:
        wanted |= Q(session_id=session_id)
    if intent_id:
        wanted |= Q(intent_id=intent_id)
    found = Payment.objects.select_related("tenant", "invoice").filter(wanted).first()
    if found is not None and session_id and not found.session_id:
        Payment.objects.filter(pk=found.pk, session_id=None).update(session_id=session_id)
        found.session_id = session_id
    return found


def _check_amount(payment: Payment, facts: Facts) -> None:
    if (facts.amount, facts.currency) != (payment.amount, payment.currency):
        asked = f"{format_minor(payment.amount, payment.currency)} {payment.currency}"
        raise Mismatch(f"{asked} were asked for, and {facts.amount} minor units of {facts.currency} paid.")
