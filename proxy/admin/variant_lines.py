"""Variants of a price as lines that people type: ``flex above 272000: input 0.60, output 3.00``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from billing import price_conditions
from billing.catalog import FROM_BASE, VariantPrices
from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.models import Price
from billing.money import PICO_PER_USD, MoneyProblem, parse_price, parse_usd, usd
from billing.price_conditions import ConditionProblem

EXAMPLE = "above 200000: input 2.50, output 15.00\nflex: input 0.60, output 3.00\n16:30-00:30: input 0.07, output 0.55"
CONDITIONS = re.compile(
    r"\A(?:(?!above\b)(?P<tier>[a-z][a-z0-9_-]{0,31}))?\s*(?:above\s+(?P<above>\d[\d,]{0,12}))?\s*"
    r"(?P<hours>\d\d:\d\d\s*[-–].*)?\Z",
    re.ASCII,
)


class LineProblem(Exception):
    """A line that is no variant, in words for the person who typed it."""


def parse(text: str) -> list[VariantPrices]:
    """One variant a line; empty lines are skipped. Raises LineProblem naming the line."""
    variants = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                variants.append(_variant(line.strip()))
            except (LineProblem, ConditionProblem, MoneyProblem) as problem:
                raise LineProblem(f"Line {number}: {problem}") from None
    return variants


def said(variants: Iterable[Price], base: Price) -> str:
    """Stored variants as lines that ``parse`` reads: what neither the base price nor a parent class gives them."""
    return "\n".join(_said(row, base) for row in variants)


def _variant(line: str) -> VariantPrices:
    conditions, colon, prices = line.partition(": ")
    found = CONDITIONS.match(conditions.strip())
    if not colon or found is None:
        raise LineProblem("conditions, a colon and prices are needed, such as above 200000: input 2.50, output 15.00")
    tier, above = found["tier"] or "", int((found["above"] or "0").replace(",", ""))
    hours = price_conditions.parse_hours(found["hours"]) if found["hours"] else ()
    name = price_conditions.name_of(above, tier, hours)
    return VariantPrices(name, above, tier, hours, dict(map(_price, prices.split(","))))


def _price(text: str) -> tuple[str, int]:
    name, _space, amount = text.strip().partition(" ")
    if name in TOKEN_CLASSES:
        return name, parse_price(amount.strip())
    if name in SURCHARGES:
        return name, parse_usd(amount.strip())
    raise LineProblem(f"{name[:32] or 'this'} is none of {', '.join((*TOKEN_CLASSES, *SURCHARGES))}")


def _said(row: Price, base: Price) -> str:
    conditions = [row.service_tier] if row.service_tier else []
    if row.above_tokens:
        conditions.append(f"above {row.above_tokens}")
    if row.hours:
        conditions.append(price_conditions.said_hours(tuple((start, end) for start, end in row.hours)))
    prices = []
    for name in (*TOKEN_CLASSES, *SURCHARGES):
        number = getattr(row, name)
        same = name in FROM_BASE and number == getattr(base, name)
        if number is not None and name not in row.inherited and not same:
            prices.append(f"{name} {usd(number * (PICO_PER_USD // 10**6) if name in TOKEN_CLASSES else number)}")
    return f"{' '.join(conditions)}: {', '.join(prices) or f'input {usd(row.input * 10**6)}'}"
