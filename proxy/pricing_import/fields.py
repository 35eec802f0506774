"""The field names of the public price file and its numbers: which token class a price is for, and exact integers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

DIGITS = 12
"""USD per token → micro-USD per 1M tokens, and USD each → picodollars each: both are twelve digits."""
MOST_WHOLE = 2**31 - 1

CLASSES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_image": "per_image",
    "input_cost_per_request": "per_request",
}
"""Fields whose number is a price of ours."""
SERVICE_TIERS = {"priority": "priority", "flex": "flex", "batches": "batch"}
"""Endings of fields that are a service tier, and what upstreams call it in their answers."""
FREE_OF_MONEY = frozenset({"source", "metadata", "comment", "rules", "rpm", "tpm"})

_PRICE_LIKE = re.compile(r"cost|price|pricing|multiplier|uplift|search_free")
_FIELD = re.compile(
    r"(?P<base>[a-z0-9_]+?)(?:_above_(?P<thousands>\d{1,5})k_tokens)?"
    r"(?:_(?P<tier>priority|flex|batches|ultrafast|balanced|decisions))?"
)


class ValueProblem(Exception):
    """A value that is no price or count, in plain words."""


class Condition(NamedTuple):
    """When a price holds: more prompt tokens than ``above_tokens`` (0 is any), in a service tier (empty is none)."""

    above_tokens: int = 0
    service_tier: str = ""


ALWAYS = Condition()


class Place(NamedTuple):
    """What a field prices, and when."""

    name: str
    condition: Condition


def is_price_like(field: str) -> bool:
    """Whether a field is about money: then it is understood, or named as not understood."""
    return field not in FREE_OF_MONEY and "_dbu_" not in field and bool(_PRICE_LIKE.search(field))


def place(field: str) -> Place | None:
    """Where a field's number goes; None for one that is not understood."""
    if field in CLASSES:
        return Place(CLASSES[field], ALWAYS)
    match = _FIELD.fullmatch(field)
    if match is None or match["base"] not in CLASSES:
        return None
    ending = match["tier"] or ""
    if ending and ending not in SERVICE_TIERS:
        return None
    above = int(match["thousands"] or 0) * 1000
    return Place(CLASSES[match["base"]], Condition(above, SERVICE_TIERS.get(ending, "")))


def exact(value: object) -> int:
    """USD per token → micro-USD per 1M tokens, or USD each → picodollars; digit by digit, never rounded.

    Raises ValueProblem for anything that is no number, for negative and absurd ones, and past 6 decimals per 1M.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueProblem(f"{_shown(value)} is not a number")
    number = Decimal(value) if isinstance(value, int) else value
    if not number.is_finite() or number < 0:
        raise ValueProblem(f"{_shown(value)} is not a price")
    if number > 1:
        raise ValueProblem(f"{_shown(value)} USD per token is more than any price")
    _, digits, exponent = number.as_tuple()
    written = int("".join(map(str, digits)))
    shift = int(exponent) + DIGITS
    if shift >= 0 or written == 0:
        return written * _ten_to(shift) if written else 0
    kept, lost = divmod(written, _ten_to(min(-shift, len(digits) + 1)))
    if lost:
        raise ValueProblem(f"{_shown(value)} has more than 6 decimals per 1M tokens")
    return kept


def whole(value: object) -> int | None:
    """A count of tokens such as 128000 or 128000.0; None for anything else."""
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and value.adjusted() < 10
        and value == value.to_integral_value()
    ):
        value = int(value)
    return value if type(value) is int and 0 < value <= MOST_WHOLE else None


def _ten_to(power: int) -> int:
    return int("1" + "0" * power)


def plain(text: object, most: int) -> str:
    """A text as it can be stored and shown: no control characters, no halves of pairs, and not too long."""
    return "".join(c if c.isprintable() else "�" for c in str(text)[:most])


def _shown(value: object) -> str:
    return f"“{plain(value, 40)}”"
