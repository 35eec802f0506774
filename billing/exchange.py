"""Exchange rates, and amounts through them: prices are in USD, an invoice in its tenant's currency.

The only writer of ExchangeRate. A rate is a fraction of whole numbers, so that every conversion is exact until it is
rounded, once, half up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from billing.models import ExchangeRate, Invoice
from billing.money import MoneyProblem, minor_digits, minor_to_pico, round_to_minor

PRICED_IN = "USD"
OLDEST = timedelta(days=35)
"""How old a rate may be on the day it is used: monthly rates are taken, forgotten ones are not."""


class ExchangeProblem(Exception):
    """A currency nobody configured, or no rate for it, in words for a finance person."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``numerator / denominator`` units of a currency are one USD, since a day, says a source."""

    currency: str
    numerator: int = 1
    denominator: int = 1
    day: date | None = None
    source: str = ""

    def convert(self, pico: int) -> int:
        """Picodollars → 10⁻¹² units of the currency, rounded half up."""
        return _half_up(pico * self.numerator, self.denominator)

    def to_minor(self, pico: int) -> int:
        """Exact picodollars → minor units of the currency, rounded once, half up. Called once per invoice line."""
        if self.numerator == self.denominator:
            return round_to_minor(pico, self.currency)
        unit = 10 ** (12 - minor_digits(self.currency))
        return _half_up(pico * self.numerator, self.denominator * unit)

    def to_usd(self, minor: int) -> int:
        """Minor units of the currency → picodollars, rounded half up."""
        return _half_up(minor_to_pico(minor, self.currency) * self.denominator, self.numerator)


def rate_for(*, currency: str, day: date) -> Rate:
    """The latest rate of a currency on a day, no older than OLDEST. Raises ExchangeProblem; never guesses."""
    try:
        minor_digits(currency)
    except MoneyProblem as problem:
        raise ExchangeProblem(f"{problem}.") from None
    if currency == PRICED_IN:
        return Rate(currency)
    found = ExchangeRate.objects.filter(currency=currency, day__lte=day, day__gt=day - OLDEST).order_by("-day").first()
    if found is None:
        raise ExchangeProblem(
            f"Prices are in {PRICED_IN}; an invoice in {currency} needs a rate of at most {OLDEST.days} days before "
            f"{day}, and there is none."
        )
    return Rate(currency, found.numerator, found.denominator, found.day, found.source)


def rate_of(invoice: Invoice) -> Rate:
    """The rate an invoice was made with."""
    return Rate(
        invoice.currency, invoice.rate_numerator, invoice.rate_denominator, invoice.rate_on, invoice.rate_source
    )


def check(rate: Rate) -> date:
    """The day of a rate; raises ExchangeProblem for what is no rate, or of a currency nobody configured."""
    if rate.day is None or rate.currency == PRICED_IN or rate.numerator <= 0 or rate.denominator <= 0:
        raise ExchangeProblem(f"This is no rate of a currency other than {PRICED_IN} on a day.")
    try:
        minor_digits(rate.currency)
    except MoneyProblem as problem:
        raise ExchangeProblem(f"{problem}.") from None
    return rate.day


def keep(rate: Rate, *, now: datetime) -> ExchangeRate | None:
    """Store a rate of a day, once: None if that day's is there already. A different one raises ExchangeProblem."""
    row, made = ExchangeRate.objects.get_or_create(
        currency=rate.currency, day=check(rate),
        defaults={
            "numerator": rate.numerator, "denominator": rate.denominator, "source": rate.source[:60], "created_at": now,
        },
    )  # fmt: skip
    if not made and row.numerator * rate.denominator != rate.numerator * row.denominator:
        raise ExchangeProblem(f"There is another rate of {rate.currency} for {rate.day}: rates are never changed.")
    return row if made else None


def _half_up(numerator: int, denominator: int) -> int:
    """A fraction to the next whole number, halves away from zero."""
    whole, rest = divmod(abs(numerator), denominator)
    rounded = whole + (2 * rest >= denominator)
    return -rounded if numerator < 0 else rounded
