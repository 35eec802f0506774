"""How numbers are written on pages: money short or exact, counts with separators, durations. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from billing import money

SIGNIFICANT = 3
SMALL_DIGITS = 6


def exact(pico: int) -> str:
    """Picodollars to the last digit: 61 × 10⁶ → ``$0.000061``, 1,234.5 × 10¹² → ``$1,234.50``."""
    sign, text = _sign(pico)
    return f"{sign}${_grouped(text)}"


def aligned(amounts: Iterable[int]) -> list[str]:
    """Exact amounts for one column: each with the decimals that the longest of them needs, without a currency."""
    texts = [money.usd(int(amount)) for amount in amounts]
    most = max((len(text.partition(".")[2]) for text in texts), default=0)
    parted = (text.lstrip("-").partition(".") for text in texts)
    return [
        f"{'−' if text.startswith('-') else ''}{int(whole):,}.{fraction.ljust(most, '0')}"
        for text, (whole, _point, fraction) in zip(texts, parted, strict=True)
    ]


def short(pico: int) -> str:
    """Picodollars for a glance: cents from one dollar on; below, six decimals or three significant digits.

    Half up, away from zero. Something that is not zero never reads as zero.
    """
    magnitude = abs(int(pico))
    small = max(SMALL_DIGITS, 12 - len(str(magnitude)) + SIGNIFICANT)
    digits = 2 if magnitude >= money.PICO_PER_USD else small
    unit = 10 ** max(0, 12 - digits)
    rounded = (magnitude + unit // 2) // unit * unit
    sign = "−" if pico < 0 else ""
    return f"{sign}${_grouped(money.usd(rounded))}"


def minor(amount: int, currency: str) -> str:
    """Minor units with their currency: 1234 USD → ``$12.34``, 1234 JPY → ``JPY 1,234``."""
    sign = "−" if amount < 0 else ""
    text = _grouped(money.format_minor(abs(amount), currency))
    return f"{sign}${text}" if currency == "USD" else f"{sign}{currency} {text}"


def per_million(pico_per_token: int) -> str:
    """A unit price as it is sold: 150,000 picodollars per token → ``$0.15``  (per 1M tokens)."""
    return exact(int(pico_per_token) * 10**6)


def milliseconds(value: int) -> str:
    """``840 ms``, ``2.4 s``, ``3 min 5 s``."""
    if value < 1000:
        return f"{value} ms"
    if value < 60_000:
        return f"{value // 1000}.{value % 1000 // 100} s"
    return f"{value // 60_000} min {value % 60_000 // 1000} s"


def count(number: int) -> str:
    """A whole number with thousands separators."""
    return f"{int(number):,}"


def compact(number: int) -> str:
    """A count in few characters: 950, 1.5k, 20M. Exact where it can be, else cut after one decimal."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            whole, tenth = number // size, number % size * 10 // size
            return f"{whole}.{tenth}{letter}" if tenth else f"{whole}{letter}"
    return str(number)


def _sign(pico: int) -> tuple[str, str]:
    return ("−" if pico < 0 else ""), money.usd(abs(int(pico)))


def _grouped(text: str) -> str:
    """Thousands separators in the whole part of a decimal string."""
    whole, point, fraction = text.partition(".")
    return f"{int(whole):,}{point}{fraction}"
