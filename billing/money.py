"""Picodollars, minor units of currencies, and the one function that rounds."""

from __future__ import annotations

import re

PICO_PER_USD = 10**12
MINOR_DIGITS = {"USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "TRY": 2, "JPY": 0, "KWD": 3, "INR": 2, "CAD": 2, "AUD": 2}
"""ISO 4217 minor unit digits of the currencies Tollgate invoices in. An unknown currency is refused."""

_AMOUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,12}))?", re.ASCII)


class MoneyProblem(Exception):
    """A text that is no amount, or a currency nobody configured."""


def parse_usd(text: str, *, digits: int = 12) -> int:
    """``"5.00"`` → 5 × 10¹² picodollars. Plain decimals only, at most ``digits`` after the point, never negative."""
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if not match or len(match[2] or "") > digits:
        raise MoneyProblem(f"{str(text)[:40]!r} is not an amount such as 5.00 with at most {digits} decimals")
    return int(match[1]) * PICO_PER_USD + int((match[2] or "").ljust(12, "0"))


def parse_price(text: str) -> int:
    """USD per 1M tokens → micro-USD per 1M, the same number as picodollars per token: ``"0.15"`` → 150,000."""
    return parse_usd(text, digits=6) // 10**6


def usd(pico: int, *, least_digits: int = 2) -> str:
    """Picodollars as an exact decimal string: 5 × 10¹² → ``"5.00"``, 37,500 → ``"0.0000000375"``."""
    sign, pico = ("-", -int(pico)) if pico < 0 else ("", int(pico))
    fraction = f"{pico % PICO_PER_USD:012d}".rstrip("0").ljust(least_digits, "0")
    return f"{sign}{pico // PICO_PER_USD}" + (f".{fraction}" if fraction else "")


def per_cent(basis_points: int) -> str:
    """Basis points as per cent: 1900 → ``19``, 250 → ``2.5``."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)


def minor_digits(currency: str) -> int:
    """Digits after the point of a currency; raises MoneyProblem for one we do not know."""
    try:
        return MINOR_DIGITS[currency]
    except KeyError:
        raise MoneyProblem(f"{currency[:8]!r} is not a currency Tollgate invoices in") from None


def round_to_minor(pico: int, currency: str) -> int:
    """Picodollars → minor units, half up (half away from zero for negative amounts). Called once per invoice line."""
    unit: int = 10 ** (12 - minor_digits(currency))
    whole, rest = divmod(abs(pico), unit)
    rounded = whole + (2 * rest >= unit)
    return -rounded if pico < 0 else rounded


def minor_to_pico(minor: int, currency: str) -> int:
    """Minor units → picodollars, exact."""
    unit: int = 10 ** (12 - minor_digits(currency))
    return minor * unit


def parse_minor(text: str, currency: str) -> int:
    """``"-12.34"`` in USD → −1234 minor units; no more digits than the currency has."""
    digits = minor_digits(currency)
    sign, plain = (-1, text[1:]) if text.startswith("-") else (1, text)
    match = _AMOUNT.fullmatch(plain)
    if not match or len(match[2] or "") > digits:
        raise MoneyProblem(f"{text[:40]!r} is not an amount in {currency} with at most {digits} decimals")
    return sign * int(match[1] + (match[2] or "").ljust(digits, "0"))


def format_minor(minor: int, currency: str) -> str:
    """Minor units as a decimal string: 1234 USD → ``"12.34"``, 1234 JPY → ``"1234"``."""
    digits = minor_digits(currency)
    sign, minor = ("-", -minor) if minor < 0 else ("", minor)
    if not digits:
        return f"{sign}{minor}"
    return f"{sign}{minor // 10**digits}.{minor % 10**digits:0{digits}d}"
