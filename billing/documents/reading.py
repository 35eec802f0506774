"""An invoice as it is read for a document: its row, lines, taxes and what its snapshot says.

A finalised invoice is read from its snapshot, so that it says the same for ever. Snapshots older than a key lack it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from billing import invoices
from billing.documents.paper import Payment
from billing.models import Invoice, InvoiceLine, InvoiceTax
from billing.money import minor_digits

PER_MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything a document is made from; nothing else is asked of the database."""

    invoice: Invoice
    snapshot: dict[str, Any]
    lines: tuple[InvoiceLine, ...]
    taxes: tuple[InvoiceTax, ...]
    corrects: Invoice | None

    @property
    def draft(self) -> bool:
        """Whether it may still change."""
        return self.invoice.status == Invoice.Status.DRAFT

    @property
    def credit_note(self) -> bool:
        """Whether it gives back."""
        return self.invoice.kind == Invoice.Kind.CREDIT_NOTE

    @property
    def prepaid(self) -> bool:
        """Whether it was paid from a balance before it was made."""
        return bool(self.snapshot["mode"] == "prepaid") and not self.credit_note

    @property
    def zone(self) -> ZoneInfo:
        """The zone its days are of."""
        return ZoneInfo(self.snapshot["timezone"])

    @property
    def issued_on(self) -> date:
        """The day of issue; of a draft, the day it was made."""
        return day_in(self.invoice.finalised_at or self.invoice.created_at, self.zone)

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day of the period, both within it."""
        last = self.invoice.period_end_at.astimezone(UTC) - timedelta(microseconds=1)
        return day_in(self.invoice.period_start_at, self.zone), day_in(last, self.zone)

    @property
    def payment(self) -> Payment | None:
        """Where to pay what is left to pay, if the seller named a bank account."""
        seller = self.snapshot["seller"]
        if self.draft or self.credit_note or self.prepaid or not seller.get("iban") or self.invoice.total <= 0:
            return None
        return Payment(seller["iban"], seller.get("bic", ""), seller["name"], self.invoice.number or "")


def of(invoice: Invoice) -> Reading:
    """Read an invoice, with everything its documents need."""
    draft = invoice.status == Invoice.Status.DRAFT
    return Reading(
        invoice=invoice,
        snapshot=invoices.snapshot_of(invoice) if draft else invoice.snapshot,
        lines=tuple(InvoiceLine.objects.filter(invoice=invoice).order_by("position")),
        taxes=tuple(InvoiceTax.objects.filter(invoice=invoice).order_by("category", "rate")),
        corrects=Invoice.objects.get(pk=invoice.corrects_id) if invoice.corrects_id else None,
    )


def day_in(moment: datetime, zone: ZoneInfo) -> date:
    """The calendar day of a moment."""
    return moment.astimezone(zone).date()


def in_currency(invoice: Invoice, pico: int) -> int:
    """Picodollars → 10⁻¹² units of the invoice's currency, half up. For prices shown, never for what is owed."""
    numerator, denominator = invoice.rate_numerator, invoice.rate_denominator
    return (2 * pico * numerator + denominator) // (2 * denominator)


def decimal(scaled: int, *, digits: int = 12) -> str:
    """A whole number of 10⁻ᵈⁱᵍⁱᵗˢ as a plain decimal with no zeros at its end."""
    whole, rest = divmod(scaled, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def follows(invoice: Invoice, line: InvoiceLine) -> bool:
    """Whether quantity × unit price by the rate, rounded once, is the amount: not so for a part that is credited."""
    unit = 10 ** (12 - minor_digits(invoice.currency))
    scaled, per = abs(line.quantity * line.unit_price) * invoice.rate_numerator, unit * invoice.rate_denominator
    return (2 * scaled + per) // (2 * per) == abs(line.amount) and (line.quantity < 0) == (line.amount < 0)
