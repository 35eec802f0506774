"""Which VAT an invoice bears: the category and rate for a tenant on a day, and the sums per category and rate.

The seller is settings.SELLER. Categories are those of UNCL 5305 that EN 16931 uses: S, Z, E, AE, G, O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from django.conf import settings

from billing import vat_ids
from billing.documents import words
from billing.models import TaxRate, VatCheck
from billing.parties import Tenant
from billing.vat_ids import EU

WHOLE = 10_000
"""Basis points of one."""


class TaxProblem(Exception):
    """What is missing to decide on the tax, in words for a finance person."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """A category of VAT and its rate in basis points; ``country`` is whose tax it is, empty where none is due."""

    category: str
    rate: int = 0
    country: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The tax of one category and rate: minor units, the amount rounded once, half up (EN 16931 BR-CO-17)."""

    category: str
    rate: int
    base: int
    amount: int


class Taxed(Protocol):
    """A line with its net amount in minor units."""

    amount: int
    tax_category: str
    tax_rate: int


def treatment_of(*, tenant: Tenant, day: date) -> Treatment:
    """The VAT on services by electronic means to a tenant, supplied on a day. Raises TaxProblem; never guesses.

    A seller with no country or no VAT id charges none (O). In the seller's country: its standard rate. From the EU to a
    business with a VAT id in another member state: reverse charge (Directive 2006/112/EC, Articles 44 and 196); without
    one: the rate of the customer's country (Article 58). From the EU to elsewhere: not taxed there (G). From elsewhere
    abroad: outside the scope (O). A tenant's own category (exempt, zero-rated) comes before all of it.
    """
    seller = settings.SELLER["country"]
    if not seller or not settings.SELLER["vat_id"]:
        return Treatment("O")
    if tenant.tax_category:
        return Treatment(tenant.tax_category)
    buyer = tenant.country
    if not buyer:
        raise TaxProblem(f"The country of {tenant.name} is not known, and its tax depends on it.")
    if buyer == seller:
        return _standard(buyer, day)
    if seller not in EU:
        return Treatment("O")
    if buyer not in EU:
        return Treatment("G")
    if not tenant.vat_id:
        return _standard(buyer, day)
    _must_be_valid(tenant)
    return Treatment("AE")


def words_of(category: str, language: str) -> str:
    """What an invoice says about a category without tax, in its language; nothing for S."""
    return "" if category == "S" else words.words(language)[category]


def groups_of(lines: Iterable[Taxed]) -> list[Group]:
    """The tax of lines by category and rate."""
    bases: dict[tuple[str, int], int] = defaultdict(int)
    for line in lines:
        bases[line.tax_category, line.tax_rate] += line.amount
    return [Group(category, rate, base, tax_on(base, rate)) for (category, rate), base in sorted(bases.items())]


def tax_on(base: int, rate: int) -> int:
    """The tax in minor units on a base, rounded once, half up (halves away from zero)."""
    amount = (2 * abs(base) * rate + WHOLE) // (2 * WHOLE)
    return -amount if base < 0 else amount


def _standard(country: str, day: date) -> Treatment:
    found = TaxRate.objects.filter(country=country, category="S", effective_from__lte=day)
    row = found.order_by("-effective_from").first()
    if row is None:
        raise TaxProblem(f"There is no standard rate of VAT for {country} on {day}.")
    return Treatment("S", row.rate, country)


def _must_be_valid(tenant: Tenant) -> None:
    """No reverse charge without a VAT id of the tenant's country, confirmed online where that is asked for."""
    try:
        ident = vat_ids.checked(tenant.country, tenant.vat_id)
    except vat_ids.VatIdProblem as problem:
        raise TaxProblem(str(problem)) from None
    if not settings.VIES:
        return
    said = VatCheck.objects.filter(tenant_id=tenant.id, vat_id=ident).exclude(outcome=VatCheck.Outcome.UNKNOWN)
    latest = said.order_by("-id").first()
    if latest is None:
        raise TaxProblem(f"VIES has not confirmed the VAT id {ident} yet.")
    if latest.outcome != VatCheck.Outcome.VALID:
        raise TaxProblem(f"VIES says that the VAT id {ident} is not valid.")
