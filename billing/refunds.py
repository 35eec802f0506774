"""Money that goes back: refunds an operator asks for, what banks take back in a dispute. The only writer of Refund.

What goes back is taken from what the payment paid: first from its credit, then from invoices, the last paid first. It
is taken at once, so that nobody spends it meanwhile, and put back if the refund fails or the dispute is won.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Max, Sum

from billing import allocations, invoices, payments
from billing.allocations import Part
from billing.models import Allocation, CreditGrant, Invoice, Payment, Refund
from billing.money import format_minor

Kind, Status, Target = Refund.Kind, Refund.Status, Allocation.Target


class RefundProblem(Exception):
    """A refund that cannot be, in plain words."""


@dataclass(frozen=True, slots=True)
class Back:
    """What goes back of a payment: minor units, why, who wants it. ``by_hand``: the operator moves the money."""

    amount: int
    reason: str
    actor: str = ""
    by_hand: bool = False
    reference: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the provider says of a refund or a dispute: its id, kind, minor units, and what has become of it."""

    provider_id: str
    kind: str
    amount: int
    status: str
    reason: str = ""
    reference: str = ""


@transaction.atomic
def ask(*, payment: Payment, back: Back, now: datetime) -> Refund:
    """Take back what is to be refunded: by hand it is done, else a job asks the card provider after the commit.

    Only credit that is neither used nor held is refunded, and money on invoices. Raises RefundProblem.
    """
    invoices.lock(payment.tenant_id)
    payment = payments.reread(payment)
    found = Refund.objects.filter(reference=back.reference).first() if back.reference else None
    if found is not None:
        return found
    _check(payment, back)
    made = Refund.objects.create(
        payment=payment, tenant_id=payment.tenant_id, reference=back.reference or uuid.uuid4(), amount=back.amount,
        status=Status.SUCCEEDED if back.by_hand else Status.REQUESTED, reason=back.reason[:200],
        actor=back.actor[:200], created_at=now, ended_at=now if back.by_hand else None,
    )  # fmt: skip
    taken = _take(made, now, force=False)
    if taken < back.amount:
        raise RefundProblem(
            f"Of this payment {format_minor(taken, payment.currency)} {payment.currency} can be refunded: the rest is "
            "credit that is used or held."
        )
    return made


@transaction.atomic
def hear(*, payment: Payment, told: Told, now: datetime) -> Refund | None:
    """Note what the provider says of a refund or dispute; again, late or out of order it changes nothing.

    One nobody here asked for is taken back all the same, also from credit that is used: the money is gone. None where
    nothing of the payment is left to take.
    """
    invoices.lock(payment.tenant_id)
    payment = payments.reread(payment)
    mine = Refund.objects.select_for_update().filter(payment=payment)
    found = mine.filter(provider_id=told.provider_id).first()
    if found is None and told.reference:
        found = mine.filter(reference__in=references(told.reference), provider_id=None).first()
    if found is None:
        return _strange(payment, told, now)
    _go_on(found, told, now)
    return found


@transaction.atomic
def fail(*, refund: Refund, failure: str, now: datetime) -> None:
    """The provider refuses: what was taken is put back."""
    invoices.lock(refund.tenant_id)
    found = Refund.objects.select_for_update().get(pk=refund.pk)
    if found.status in (Status.REQUESTED, Status.PENDING):
        _go_on(found, Told("", found.kind, found.amount, Status.FAILED, failure), now)


def refundable(payment: Payment) -> int:
    """Minor units of a payment that have not gone back; of its credit some may be used."""
    return int(Allocation.objects.filter(payment=payment).aggregate(total=Sum("amount"))["total"] or 0)


def _strange(payment: Payment, told: Told, now: datetime) -> Refund | None:
    amount = min(told.amount, refundable(payment))
    if told.status == Status.FAILED or payment.status != Payment.Status.SUCCEEDED or amount <= 0:
        return None
    made = Refund.objects.create(
        payment=payment, tenant_id=payment.tenant_id, kind=told.kind, status=told.status, amount=amount,
        provider_id=told.provider_id, reason=told.reason[:200], created_at=now,
        ended_at=now if told.status == Status.SUCCEEDED else None,
    )  # fmt: skip
    _take(made, now, force=True)
    return made


def _go_on(refund: Refund, told: Told, now: datetime) -> None:
    """From one state to the next: a failed refund, or a dispute that was won, puts the money back where it can."""
    before, refund.status = refund.status, told.status
    refund.provider_id = refund.provider_id or told.provider_id or None
    if before == Status.FAILED:
        refund.status = before  # what was put back stays; a new refund of it has an id of its own
    if refund.status == Status.FAILED and before != Status.FAILED:
        refund.failure = told.reason[:200]
        _put_back(refund, now)
    refund.ended_at = refund.ended_at or (now if refund.status in (Status.SUCCEEDED, Status.FAILED) else None)
    refund.save(update_fields=["status", "provider_id", "failure", "ended_at"])


def _take(refund: Refund, now: datetime, *, force: bool) -> int:
    """Take the refund's amount off what its payment paid; returns how much was there."""
    left = refund.amount
    for part, grant in _parts(refund):
        amount = min(left, part.amount)
        if amount <= 0:
            continue
        taken = Part(part.payment, -amount, part.invoice, grant, refund)
        if grant is not None:
            left -= allocations.take_credit(taken, grant, now, force=force)
        else:
            allocations.take_receivable(taken, now)
            left -= amount
    return refund.amount - left


def _parts(refund: Refund) -> Iterator[tuple[Part, CreditGrant | None]]:
    """What a payment pays now, in the order in which it is taken back."""
    payment = payments.reread(refund.payment)
    rows = Allocation.objects.filter(payment=payment).values("target", "invoice", "grant")
    sums = list(rows.annotate(total=Sum("amount"), last=Max("id")).filter(total__gt=0))
    for row in sorted(sums, key=lambda row: (row["target"] == Target.INVOICE, -row["last"])):
        invoice = Invoice.objects.select_related("tenant").get(pk=row["invoice"]) if row["invoice"] else None
        grant = CreditGrant.objects.get(pk=row["grant"]) if row["grant"] else None
        yield Part(payment, int(row["total"]), invoice, grant), grant


def _put_back(refund: Refund, now: datetime) -> None:
    """What a refund took pays the same invoices again, as far as they are unpaid; the rest is credit again."""
    payment = payments.reread(refund.payment)
    taken = Allocation.objects.filter(refund=refund, invoice__isnull=False).order_by("id")
    wanted = Invoice.objects.select_related("tenant").in_bulk(taken.values_list("invoice", flat=True))
    allocations.allocate(
        payment=payment, amount=refund.amount, invoices=[wanted[key] for key in sorted(wanted)], now=now, refund=refund
    )


def _check(payment: Payment, back: Back) -> None:
    if not 3 <= len(" ".join(back.reason.split())) <= 200:
        raise RefundProblem("Say why in 3 to 200 characters.")
    if payment.status != Payment.Status.SUCCEEDED:
        raise RefundProblem(f"This payment is {payment.status}: nothing of it can go back.")
    left = refundable(payment)
    if not 0 < back.amount <= left:
        amount = format_minor(left, payment.currency)
        raise RefundProblem(f"{amount} {payment.currency} of this payment have not gone back.")
    if not back.by_hand and payment.intent_id is None:
        raise RefundProblem("Only a card payment is refunded by the provider: pay it back and record it by hand.")


def references(text: str) -> list[uuid.UUID]:
    """The reference in a provider's metadata, or nothing where somebody wrote something else there."""
    try:
        return [uuid.UUID(text)]
    except ValueError:
        return []
