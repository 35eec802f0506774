"""The sentences on an invoice that both its page and its electronic forms say, in its language."""

from __future__ import annotations

from collections.abc import Iterator

from billing.documents.conventions import convention
from billing.documents.reading import Reading, decimal
from billing.documents.words import words

USD = "USD"
TOLD = ("AE", "E", "G", "K", "O")
"""Categories of VAT that must say why there is none."""


def notes_of(read: Reading) -> Iterator[str]:
    """Why it gives back, why no VAT is charged, and the exchange rate."""
    says = words(read.invoice.language)
    if read.credit_note and read.invoice.reason:
        yield read.invoice.reason
    seller = read.snapshot["seller"]
    for category in dict.fromkeys(line.tax_category for line in read.lines):
        if category in TOLD and (category != "O" or seller.get("country")):
            yield says[category]
    if read.invoice.currency != USD:
        yield _rate(read)


def evidence_of(read: Reading) -> Iterator[str]:
    """The size and the hash of an invoice's evidence pack."""
    says = words(read.invoice.language)
    evidence = read.snapshot.get("evidence")
    if evidence and not read.credit_note:  # its snapshot is that of the invoice it corrects
        rows = convention(read.invoice.language).number(str(evidence["rows"]))
        yield says["evidence"].format(rows=rows, hash=evidence["sha256"])


def terms_of(read: Reading) -> str:
    """When it is to be paid, or that it is."""
    says = words(read.invoice.language)
    if read.prepaid:
        return says["prepaid"]
    if read.invoice.due_on is None:
        return says["terms_none"]
    return says["terms"].format(day=convention(read.invoice.language).date(read.invoice.due_on))


def _rate(read: Reading) -> str:
    invoice = read.invoice
    local = convention(invoice.language)
    scaled = (2 * invoice.rate_numerator * 10**12 + invoice.rate_denominator) // (2 * invoice.rate_denominator)
    said = words(invoice.language)["rate"].format(
        rate=local.number(decimal(scaled)),
        currency=invoice.currency,
        source=invoice.rate_source,
        day=local.date(invoice.rate_on or read.issued_on),
    )
    return said.replace("(, ", "(")
