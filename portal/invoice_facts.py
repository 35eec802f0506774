"""What the page of an invoice shows besides its lines: tax in words, what is left, and what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from billing import credit_notes, invoice_states, taxes
from billing.models import Invoice, InvoiceEvent
from billing.money import per_cent

EVENT_WORDS = {
    "released": "Released after it was put aside",
    "paid": "Paid",
    "void": "Void",
    "uncollectible": "Given up",
    "disputed": "Disputed",
    "settled": "Dispute settled",
    "reminded": "Reminder sent",
    "reopened": "To be paid again",
}


@dataclass(frozen=True, slots=True)
class TaxLine:
    """The tax of one category and rate, with what the law wants said about it."""

    label: str
    words: str
    base: int
    amount: int


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened to an invoice."""

    words: str
    event: InvoiceEvent


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything besides the lines."""

    taxes: list[TaxLine]
    notes: list[Invoice]
    left: int
    events: list[Happened]
    disputed: bool
    rate: str


def of(invoice: Invoice) -> Facts:
    """The facts of an invoice, as its tenant may see them."""
    rows = invoice.taxes.order_by("category", "rate")
    events = InvoiceEvent.objects.filter(invoice=invoice).order_by("id")
    return Facts(
        taxes=[
            TaxLine(_label(row.category, row.rate), taxes.words_of(row.category, "en"), row.base, row.amount)
            for row in rows
        ],
        notes=credit_notes.numbered(invoice),
        left=credit_notes.left_total(invoice),
        events=[Happened(_words(event), event) for event in events],
        disputed=invoice_states.is_disputed(invoice),
        rate=_rate(invoice),
    )


def _words(event: InvoiceEvent) -> str:
    words = EVENT_WORDS[event.kind]
    return f"{words}, {event.step} days after it was due" if event.kind == InvoiceEvent.Kind.REMINDED else words


def _label(category: str, rate: int) -> str:
    if category != "S":
        return "No VAT"
    return f"VAT {per_cent(rate)} %"


def _rate(invoice: Invoice) -> str:
    """The rate with six decimals, or nothing for an invoice in USD."""
    if invoice.rate_on is None:
        return ""
    scaled = round(Fraction(invoice.rate_numerator * 10**6, invoice.rate_denominator))
    return (
        f"1 USD = {scaled // 10**6}.{scaled % 10**6:06d} {invoice.currency} ({invoice.rate_source}, {invoice.rate_on})"
    )
