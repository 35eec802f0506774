"""What payments pay: invoices, prepaid credit, advances on coming invoices. The only writer of Allocation.

Each allocation posts its own transfer and moves the limit of the wallet by what it is in USD: by an invoice's own rate,
so that the whole invoice gives all its room back, else by the rate of the payment. What of a payment pays no invoice is
credit. Callers hold the tenant's lock of invoices (``invoices.lock``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet, Sum

from billing import credit_ends, credit_slices, credits, dues, exchange, grants, invoice_states, ledger
from billing.exchange import PRICED_IN, Rate
from billing.grants import Terms
from billing.invoice_events import Said
from billing.ledger import Entry, Movement
from billing.models import Allocation, CreditGrant, Invoice, LedgerAccount, Payment, Refund, Transfer
from billing.money import format_minor, minor_digits, minor_to_pico

Kind, Target = LedgerAccount.Kind, Allocation.Target


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a payment about to be allocated: minor units (negative: taken back), what it pays, and of whom."""

    payment: Payment
    amount: int
    invoice: Invoice | None = None
    grant: CreditGrant | None = None
    refund: Refund | None = None

    @property
    def target(self) -> str:
        """What kind of thing it pays."""
        if self.invoice is not None:
            return Target.INVOICE
        return Target.WALLET if self.grant is not None else Target.ADVANCE


def free(payment: Payment) -> int:
    """Minor units of a payment that pay nothing: of one that arrived none, once ``allocate`` has run."""
    taken = Allocation.objects.filter(payment=payment).aggregate(total=Sum("amount"))["total"] or 0
    return payment.amount - int(taken)


def allocate(
    *, payment: Payment, amount: int, invoices: Sequence[Invoice], now: datetime, refund: Refund | None = None
) -> None:
    """Pay invoices in this order, each as far as it is unpaid; the rest of ``amount`` is credit.

    ``refund`` is one that failed and whose money is put back.
    """
    left = amount
    for invoice in invoices:
        part = min(left, dues.unpaid(invoice)) if payable(payment, invoice) else 0
        if part > 0:
            pay_invoice(payment=payment, invoice=invoice, amount=part, now=now, refund=refund)
            left -= part
    if left:
        credit(payment=payment, amount=left, now=now, refund=refund)


def payable(payment: Payment, invoice: Invoice) -> bool:
    """Whether a payment can pay an invoice at all."""
    same = (payment.tenant_id, payment.currency) == (invoice.tenant_id, invoice.currency)
    return same and invoice.kind == Invoice.Kind.INVOICE and invoice.status in dues.OWED


def pay_invoice(
    *, payment: Payment, invoice: Invoice, amount: int, now: datetime, refund: Refund | None = None
) -> None:
    """Pay a part of an invoice, which is paid once nothing is left."""
    _settle_receivable(Part(payment, amount, invoice, refund=refund), Transfer.Kind.PAYMENT, now)
    close_if_paid(invoice=invoice, said=f"Payment {payment.pk}", now=now)


def close_if_paid(*, invoice: Invoice, said: str, now: datetime) -> None:
    """An invoice of which nothing is left to pay is paid."""
    if invoice.status in dues.OWED and dues.unpaid(invoice) <= 0:
        invoice.status = invoice_states.mark_paid(invoice=invoice, now=now, said=Said(reason=said)).status


def credit(*, payment: Payment, amount: int, now: datetime, refund: Refund | None = None) -> None:
    """Keep a part as credit: in a prepaid wallet, else on coming invoices. Raises ExchangeProblem without a rate."""
    rate_of(payment, now)
    if not credits.is_prepaid(payment.tenant_id):
        _settle_receivable(Part(payment, amount, refund=refund), Transfer.Kind.PAYMENT, now)
        return
    credit_slices.lock(payment.tenant_id)
    worth = rate_of(payment, now).to_usd(amount)
    key = _key(payment)
    memo = payment.memo or f"Payment {payment.pk}"
    movement = Movement(Transfer.Kind.TOP_UP, key, now, _wallet_entries(payment, amount, worth), memo)
    transfer, _made = ledger.post(tenant=payment.tenant, movement=movement, now=now)
    terms = Terms(CreditGrant.Kind.PAID, worth, now, memo=memo)
    grant = grants.add(tenant_id=payment.tenant_id, key=key, terms=terms, transfer=transfer, now=now)
    ledger.raise_limit(payment.tenant_id, worth)
    _keep(Part(payment, amount, grant=grant, refund=refund), transfer, worth, now)


def take_receivable(part: Part, now: datetime) -> None:
    """Take a part off an invoice, which is open again if that leaves something to pay, or off what was paid ahead."""
    invoice = part.invoice
    _settle_receivable(part, Transfer.Kind.REFUND if part.refund else Transfer.Kind.REVERSAL, now)
    if invoice is not None and invoice.status == Invoice.Status.PAID and dues.unpaid(invoice) > 0:
        amount = f"{format_minor(-part.amount, part.payment.currency)} {part.payment.currency}"
        said = Said(reason=f"{amount} of payment {part.payment.pk} went back")
        invoice.status = invoice_states.reopen(invoice=invoice, said=said, now=now).status


def take_credit(part: Part, grant: CreditGrant, now: datetime, *, force: bool) -> int:
    """Take a part out of a prepaid wallet, from its own grant; returns the minor units taken (positive).

    Without ``force`` only what is neither used nor held; with it all, and the wallet may be overdrawn.
    """
    credit_slices.lock(part.payment.tenant_id)
    wanted = -part.amount
    unused = _unused_minor(part, grant, now)
    if unused:
        _end_credit(Part(part.payment, -unused, grant=grant, refund=part.refund), grant, now)
    if force and wanted > unused:
        _overdraw(Part(part.payment, unused - wanted, grant=grant, refund=part.refund), now)
    return wanted if force else unused


def rate_of(payment: Payment, now: datetime) -> Rate:
    """The rate by which a payment is credit; taken of the day it is first needed, and kept."""
    if payment.rate_numerator is None or payment.rate_denominator is None:
        rate = exchange.rate_for(currency=payment.currency, day=now.date())
        payment.rate_numerator, payment.rate_denominator = rate.numerator, rate.denominator
        payment.rate_on, payment.rate_source = rate.day, rate.source
        payment.save(update_fields=["rate_numerator", "rate_denominator", "rate_on", "rate_source"])
    return Rate(
        payment.currency, int(payment.rate_numerator), int(payment.rate_denominator), payment.rate_on,
        payment.rate_source,
    )  # fmt: skip


def _settle_receivable(part: Part, kind: str, now: datetime) -> None:
    """Between ``payments`` and ``receivable`` in the payment's currency, and the room on the credit line with it."""
    payment, worth = part.payment, _worth(part, now)
    pico = minor_to_pico(part.amount, payment.currency)
    entries = (Entry(Kind.PAYMENTS, pico, payment.currency), Entry(Kind.RECEIVABLE, -pico, payment.currency))
    movement = Movement(kind, _key(payment), now, entries, payment.memo)
    transfer, _made = ledger.post(tenant=payment.tenant, movement=movement, now=now)
    ledger.raise_limit(payment.tenant_id, worth)
    _keep(part, transfer, worth, now)


def _end_credit(part: Part, grant: CreditGrant, now: datetime) -> None:
    """Unused credit leaves the wallet as it came, by a slice of its own grant."""
    worth = _worth(part, now)
    entries = _wallet_entries(part.payment, part.amount, worth)
    kind = Transfer.Kind.REFUND
    movement = Movement(kind, _key(part.payment), now, entries, part.payment.memo)
    tenant = part.payment.tenant
    transfer = credits.end(tenant=tenant, grant=grant, amount=-worth, movement=movement, now=now)
    _keep(part, transfer, worth, now)


def _overdraw(part: Part, now: datetime) -> None:
    """What was used already is taken back all the same: it is due of other credit, or of what comes next."""
    worth = _worth(part, now)
    entries = _wallet_entries(part.payment, part.amount, worth)
    movement = Movement(Transfer.Kind.REVERSAL, _key(part.payment), now, entries, part.payment.memo)
    transfer, _made = ledger.post(tenant=part.payment.tenant, movement=movement, now=now)
    ledger.raise_limit(part.payment.tenant_id, worth)
    _keep(part, transfer, worth, now)


def _wallet_entries(payment: Payment, amount: int, worth: int) -> tuple[Entry, ...]:
    """``payments`` in the payment's currency against the wallet in USD, through ``exchange`` where they differ."""
    pico = minor_to_pico(amount, payment.currency)
    if payment.currency == PRICED_IN:
        return Entry(Kind.PAYMENTS, pico), Entry(Kind.WALLET, -worth)
    return (
        Entry(Kind.PAYMENTS, pico, payment.currency), Entry(Kind.EXCHANGE, -pico, payment.currency),
        Entry(Kind.EXCHANGE, worth), Entry(Kind.WALLET, -worth),
    )  # fmt: skip


def _worth(part: Part, now: datetime) -> int:
    """Picodollars of a part: by differences, so that all parts of one target come to what their sum does."""
    before = int(_like(part).aggregate(total=Sum("amount"))["total"] or 0)
    rate = exchange.rate_of(part.invoice) if part.invoice is not None else rate_of(part.payment, now)
    return rate.to_usd(before + part.amount) - rate.to_usd(before)


def _like(part: Part) -> QuerySet[Allocation]:
    """The allocations to the same target."""
    if part.invoice is not None:
        return Allocation.objects.filter(invoice=part.invoice)
    return Allocation.objects.filter(payment=part.payment, target=part.target, grant=part.grant)


def _unused_minor(part: Part, grant: CreditGrant, now: datetime) -> int:
    """Whole minor units of a part that are in the wallet, neither used nor held. Locks the wallet's allowance."""
    most, room = -part.amount, credit_ends.refundable(grant)
    if -_worth(part, now) <= room:
        return most
    rate = rate_of(part.payment, now)
    unit = 10 ** (12 - minor_digits(part.payment.currency))
    found: int = min(most, room * rate.numerator // (rate.denominator * unit))
    while found and -_worth(Part(part.payment, -found, grant=grant), now) > room:
        found -= 1
    return found


def _key(payment: Payment) -> str:
    """The next key of a payment's movements; its allocations are made one after the other."""
    return f"payment:{payment.pk}:{Allocation.objects.filter(payment=payment).count() + 1}"


def _keep(part: Part, transfer: Transfer, worth: int, now: datetime) -> None:
    Allocation.objects.create(
        payment=part.payment, tenant_id=part.payment.tenant_id, target=part.target, invoice=part.invoice,
        grant=part.grant, refund=part.refund, transfer=transfer, amount=part.amount, usd=worth, made_at=now,
    )  # fmt: skip
