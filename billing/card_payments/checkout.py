"""Paying on Stripe's page: opening it for a payment that was asked for, and coming back from it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction

from billing import parties, payments
from billing.card_payments import outcomes, provider
from billing.card_payments.provider import Page, ProviderProblem
from billing.models import PayingCustomer, Payment
from billing.parties import Tenant

ASK_AGAIN = timedelta(seconds=3)
"""How often a person who waits makes us ask Stripe, at most."""


def customer_of(*, tenant: Tenant, key: str, now: datetime) -> PayingCustomer:
    """The tenant's customer at Stripe, made on first use."""
    found = PayingCustomer.objects.filter(tenant_id=tenant.id).first()
    if found is not None:
        return found
    addresses = parties.addresses_for_bills(tenant)
    made = provider.make_customer(
        name=tenant.name, email=addresses[0] if addresses else "", tenant=tenant.slug, key=key
    )
    values = {"customer_id": made, "changed_at": now}
    row, _new = PayingCustomer.objects.get_or_create(tenant_id=tenant.id, defaults=values)
    return row


def open_page(*, payment: Payment, page: Page, now: datetime) -> str:
    """The address of the page on which a payment is paid: always the same one. Raises ProviderProblem.

    Nothing if it can no longer be paid.
    """
    if payment.status not in payments.UNDER_WAY or payment.is_automatic:
        return ""
    if payment.session_id:
        return provider.page_url(payment.session_id)
    customer = customer_of(tenant=payment.tenant, key=str(payment.reference), now=now)
    session_id, url = provider.open_page(payment=payment, customer_id=customer.customer_id, page=page)
    _opened(payment, session_id, now)
    return url


def look(*, payment: Payment, now: datetime) -> Payment:
    """What has become of a payment, for somebody who waits: Stripe is asked now and then. Never raises for Stripe."""
    if payment.status not in payments.UNDER_WAY or not payment.session_id:
        return payment
    due = Payment.objects.filter(pk=payment.pk).exclude(asked_at__gt=now - ASK_AGAIN)
    if not due.update(asked_at=now):
        return payment
    try:
        return outcomes.look(payment=payment, now=now)
    except ProviderProblem:
        return payment  # the job asks again


def cancel(*, payment: Payment, now: datetime) -> Payment:
    """The payer does not want to pay any more: the page is closed first. Raises ProviderProblem."""
    if payment.session_id and payment.status in payments.UNDER_WAY:
        with suppress(ProviderProblem):  # it was paid or has expired: what Stripe says counts
            provider.close_page(payment.session_id)
        return outcomes.look(payment=payment, now=now)
    return payments.bring_to(payment=payment, status=Payment.Status.CANCELLED, failure="It was given up.", now=now)


@transaction.atomic
def _opened(payment: Payment, session_id: str, now: datetime) -> None:
    found = payments.reread(payment)
    if found.session_id is None:
        found.session_id, found.asked_at = session_id, now
        found.save(update_fields=["session_id", "asked_at"])
    payments.bring_to(payment=found, status=Payment.Status.PENDING, now=now)
    payment.session_id = session_id
