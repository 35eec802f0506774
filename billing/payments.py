"""Payments of tenants, from what is asked for to what arrived. The only writer of Payment.

A payment arrives once, however often and in whatever order that is said: what it pays is allocated in the transaction
that makes it ``succeeded``. No HTTP here: billing/card_payments talks to the card provider.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import transaction

from billing import allocations, dues, exchange, invoices, top_ups
from billing.exchange import ExchangeProblem
from billing.models import Invoice, PayingCustomer, Payment
from billing.money import MoneyProblem, format_minor, minor_digits
from billing.parties import Tenant
from billing.top_ups import TopUpProblem

Method, Status = Payment.Method, Payment.Status
LARGEST = 10**12
"""Minor units: ten billion in most currencies."""
UNDER_WAY = (Status.REQUESTED, Status.PENDING)


class PaymentProblem(Exception):
    """A payment that cannot be, in plain words."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be paid, in minor units, and how: an invoice, or without one a top-up (or an advance).

    ``reference`` makes a form that is sent twice count once; ``received_on`` is the bank's day.
    """

    amount: int
    currency: str
    method: str
    invoice: Invoice | None = None
    memo: str = ""
    actor: str = ""
    is_automatic: bool = False
    saves_card: bool = False
    received_on: date | None = None
    reference: uuid.UUID | None = None


@transaction.atomic
def ask(*, tenant: Tenant, ask: Ask, now: datetime) -> Payment:
    """Write down what is to be paid; somebody else moves the money. The same reference again changes nothing.

    Raises PaymentProblem for an amount that cannot be paid, of an invoice above what is left of it.
    """
    _check(tenant, ask)
    if ask.invoice is not None:
        invoices.lock(tenant.id)
        _check_left(ask, invoices.reread(ask.invoice))
    return _found(tenant, ask) or _write(tenant, ask, Status.REQUESTED, now)


@transaction.atomic
def record(*, tenant: Tenant, ask: Ask, chosen: Sequence[Invoice] | None, now: datetime) -> Payment:
    """Money that arrived by itself, such as a bank transfer: ``chosen`` invoices are paid in that order.

    None is every unpaid invoice in that currency, the oldest due first. What is left becomes credit; what was too
    little leaves an invoice partly paid. The same reference again changes nothing. Raises PaymentProblem.
    """
    _check(tenant, ask)
    invoices.lock(tenant.id)
    if found := _found(tenant, ask):
        return found
    wanted = list(dues.owed(tenant.id, ask.currency)) if chosen is None else [invoices.reread(each) for each in chosen]
    payment = _write(tenant, ask, Status.PENDING, now)
    for each in wanted:
        if not allocations.payable(payment, each):
            raise PaymentProblem(f"{each} is {each.status} and in {each.currency}: this payment cannot pay it.")
    return _arrived(payment, wanted, now)


@transaction.atomic
def bring_to(*, payment: Payment, status: str, failure: str = "", now: datetime) -> Payment:
    """Note what the provider says has become of a payment. Again, late or out of order it changes nothing.

    What arrived stays so; what failed or was given up can still arrive. A failed automatic top-up stops its rule.
    """
    invoices.lock(payment.tenant_id)
    payment = reread(payment)
    if status == payment.status or payment.status == Status.SUCCEEDED:
        return payment
    if status == Status.SUCCEEDED:
        return _arrived(payment, [payment.invoice] if payment.invoice else [], now)
    if payment.status not in UNDER_WAY or status == Status.REQUESTED:
        return payment
    payment.status, payment.failure = status, failure[:200]
    payment.ended_at = now if status in (Status.FAILED, Status.CANCELLED) else None
    payment.save(update_fields=["status", "failure", "ended_at"])
    if payment.ended_at and payment.is_automatic:
        top_ups.failed(tenant=payment.tenant, reason=failure or "The payment was not made.", now=now)
    return payment


def request_top_up(tenant: Tenant, amount: int, reason: str, now: datetime) -> Payment:
    """Ask for an automatic top-up of picodollars from the tenant's saved card; a job charges it after the commit.

    Raises TopUpProblem, in words for the tenant.
    """
    customer = PayingCustomer.objects.filter(tenant_id=tenant.id).exclude(method_id="").first()
    if customer is None:
        raise TopUpProblem("No card is saved for automatic top-ups.")
    if Payment.objects.filter(tenant_id=tenant.id, is_automatic=True, status__in=UNDER_WAY).exists():
        raise TopUpProblem("The automatic top-up before this one has not been paid yet.")
    try:
        minor = exchange.rate_for(currency=tenant.currency, day=now.date()).to_minor(amount)
        wanted = Ask(minor, tenant.currency, Method.CARD, memo=reason[:200], is_automatic=True)
        return ask(tenant=tenant, ask=wanted, now=now)
    except (PaymentProblem, ExchangeProblem) as problem:
        raise TopUpProblem(str(problem)) from None


def reread(payment: Payment) -> Payment:
    """The payment as it is now, locked."""
    rows = Payment.objects.select_for_update(of=("self",)).select_related("tenant", "invoice")
    return rows.get(pk=payment.pk)


def _arrived(payment: Payment, wanted: Sequence[Invoice], now: datetime) -> Payment:
    """The money is there: allocated at once, all of it."""
    payment.status, payment.failure, payment.ended_at = Status.SUCCEEDED, "", now
    payment.save(update_fields=["status", "failure", "ended_at"])
    try:
        allocations.allocate(payment=payment, amount=allocations.free(payment), invoices=wanted, now=now)
    except ExchangeProblem as problem:
        raise PaymentProblem(f"A part of it is credit in USD. {problem}") from None
    return payment


def _found(tenant: Tenant, ask: Ask) -> Payment | None:
    """The payment of a reference that was used before."""
    if ask.reference is None:
        return None
    found = Payment.objects.select_related("tenant", "invoice").filter(reference=ask.reference).first()
    same = found is None or (found.tenant_id, found.amount, found.currency) == (tenant.id, ask.amount, ask.currency)
    if not same:
        raise PaymentProblem("This form was sent before with another payment.")
    return found


def _write(tenant: Tenant, ask: Ask, status: str, now: datetime) -> Payment:
    """The row, with the rate of the day for what of it becomes credit."""
    rate = _rate(ask, now)
    made = Payment.objects.create(
        tenant_id=tenant.id, reference=ask.reference or uuid.uuid4(), method=ask.method, status=status,
        amount=ask.amount, currency=ask.currency, invoice=ask.invoice, memo=ask.memo[:200], actor=ask.actor[:200],
        is_automatic=ask.is_automatic, saves_card=ask.saves_card, received_on=ask.received_on, created_at=now,
        rate_numerator=rate.numerator if rate else None, rate_denominator=rate.denominator if rate else None,
        rate_on=rate.day if rate else None, rate_source=rate.source if rate else "",
    )  # fmt: skip
    return Payment.objects.select_related("tenant", "invoice").get(pk=made.pk)


def _rate(ask: Ask, now: datetime) -> exchange.Rate | None:
    """The rate of the day for credit. An invoice has its own, and for a transfer it may not be needed."""
    try:
        return exchange.rate_for(currency=ask.currency, day=ask.received_on or now.date())
    except ExchangeProblem as problem:
        if ask.invoice is None and ask.method == Method.CARD:
            raise PaymentProblem(str(problem)) from None
        return None


def _check(tenant: Tenant, ask: Ask) -> None:
    try:
        minor_digits(ask.currency)
    except MoneyProblem as problem:
        raise PaymentProblem(f"{problem}.") from None
    if not 0 < ask.amount <= LARGEST:
        raise PaymentProblem("A payment is more than nothing and at most ten billion.")
    if ask.invoice is not None and (ask.invoice.tenant_id, ask.invoice.currency) != (tenant.id, ask.currency):
        raise PaymentProblem("This invoice is another tenant's, or in another currency.")


def _check_left(ask: Ask, invoice: Invoice) -> None:
    left = dues.unpaid(invoice)
    if invoice.status not in dues.OWED or ask.amount > left:
        raise PaymentProblem(f"{format_minor(max(left, 0), ask.currency)} {ask.currency} are left to be paid of it.")
