"""What an invoice or credit note says, whatever it is written as: page, Factur-X or UBL. Pure data.

Amounts are minor units of ``Paper.currency`` and as printed: those of a credit note are positive. A price is a decimal
text in that currency for ``per`` pieces. The BT and BG numbers are the terms of EN 16931.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

NO_RATE = "O"
"""The category of what is outside the scope of VAT: it has no rate at all (BR-O-5)."""


@dataclass(frozen=True, slots=True)
class Party:
    """Seller (BG-4) or buyer (BG-7). ``tax_id`` is a national number, ``vat_id`` starts with its country."""

    name: str
    address: tuple[str, ...] = ()
    country: str = ""
    vat_id: str = ""
    tax_id: str = ""
    register_id: str = ""
    email: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Tax:
    """A category of VAT with its rate in per cent as a decimal text, such as S and 19, or AE and 0."""

    category: str
    rate: str = "0"


@dataclass(frozen=True, slots=True)
class Item:
    """A line (BG-25): ``quantity`` pieces at ``price`` per ``per`` of them, rounded once to ``amount``."""

    number: int
    name: str
    detail: str
    quantity: int
    price: str
    per: int
    amount: int
    tax: Tax


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the whole document is less by (BG-20): ``amount`` is positive."""

    reason: str
    amount: int
    tax: Tax


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """The VAT of one category and rate (BG-23), rounded once for the group."""

    tax: Tax
    base: int
    amount: int


@dataclass(frozen=True, slots=True)
class Payment:
    """How it is paid (BG-16): a bank account, with what the payer writes as the reference."""

    iban: str
    bic: str
    holder: str
    reference: str


@dataclass(frozen=True, slots=True)
class Totals:
    """BT-106, 107, 109, 110, 112, 113 and 115."""

    lines: int
    allowances: int
    net: int
    tax: int
    gross: int
    paid: int

    @property
    def due(self) -> int:
        """What is left to pay."""
        return self.gross - self.paid


@dataclass(frozen=True, slots=True)
class Paper:
    """One document with everything it says."""

    credit_note: bool
    number: str
    issued_on: date
    due_on: date | None
    currency: str
    language: str
    seller: Party
    buyer: Party
    first_day: date
    last_day: date
    items: tuple[Item, ...]
    allowances: tuple[Allowance, ...]
    taxes: tuple[TaxGroup, ...]
    totals: Totals
    terms: str = ""
    notes: tuple[str, ...] = ()
    payment: Payment | None = None
    corrects: tuple[str, date] | None = None


class PaperProblem(Exception):
    """A document that lacks what an electronic invoice must say, in words for a finance person."""


def check(paper: Paper) -> None:
    """Raises PaperProblem for what EN 16931 asks of any invoice and only settings give (BR-6 to BR-11, BR-CO-26)."""
    for who, party in (("seller", paper.seller), ("buyer", paper.buyer)):
        if not party.country:
            raise PaperProblem(f"The country of the {who} is not known, and an electronic invoice must name it.")
    if not (paper.seller.vat_id or paper.seller.register_id or paper.seller.tax_id):
        raise PaperProblem("An electronic invoice needs the seller's VAT id, tax number or register number.")
