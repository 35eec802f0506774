"""When a variant of a price holds: its conditions, their names and how people write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from billing.meters import MOST_TOKENS
from billing.pricing import MINUTES, STANDARD_TIERS, Window

NAME = re.compile(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")
TIER = re.compile(r"\A[a-z][a-z0-9_-]{0,31}\Z")
SPAN = re.compile(r"\A\s*([0-2]\d):([0-5]\d)\s*[-–]\s*([0-2]\d):([0-5]\d)\s*\Z", re.ASCII)
MOST_WINDOWS = 8


class ConditionProblem(Exception):
    """Conditions that are none, or of which two would hold at once."""


class Conditions(NamedTuple):
    """When a variant holds: more prompt tokens than this, in this service tier, admitted in these hours."""

    variant: str
    above_tokens: int = 0
    service_tier: str = ""
    hours: tuple[Window, ...] = ()


def name_of(above_tokens: int, service_tier: str, hours: tuple[Window, ...]) -> str:
    """What a variant is called if nobody names it: ``flex.above-272000``, ``off-peak``."""
    parts = [service_tier] if service_tier else []
    if above_tokens:
        parts.append(f"above-{above_tokens}")
    if hours:
        parts.append("off-peak")
    return ".".join(parts)


def parse_hours(text: str) -> tuple[Window, ...]:
    """``16:30-00:30, 12:00-13:00`` (UTC) as minutes of the day; raises ConditionProblem in plain words."""
    windows = []
    for span in text.split(","):
        found = SPAN.match(span)
        if found is None:
            raise ConditionProblem(f"{span.strip()!r} is no span of hours such as 16:30-00:30")
        first, first_minute, last, last_minute = map(int, found.groups())
        windows.append((first * 60 + first_minute, last * 60 + last_minute))
    _check_hours(tuple(windows))
    return tuple(windows)


def said_hours(hours: tuple[Window, ...]) -> str:
    """Hours as ``parse_hours`` reads them."""
    return ", ".join("-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in window) for window in hours)


def check(conditions: Sequence[Conditions]) -> None:
    """Raise ConditionProblem unless each has conditions and a name, and for any request one of them is the first."""
    for one in conditions:
        _check_one(one)
    for first, second in combinations(conditions, 2):
        if first.variant == second.variant:
            raise ConditionProblem(f"{first.variant} is there twice")
        if first[1:3] == second[1:3] and _meet(first.hours, second.hours):
            raise ConditionProblem(f"{first.variant} and {second.variant} would hold at once")
    whole_tiers = {one.service_tier for one in conditions if not one.above_tokens and not one.hours}
    for one in conditions:
        if one.service_tier and one.service_tier not in whole_tiers:
            raise ConditionProblem(f"{one.variant}: the tier {one.service_tier} needs a price for every request, too")


def _check_one(one: Conditions) -> None:
    if not (one.above_tokens or one.service_tier or one.hours):
        raise ConditionProblem(f"{one.variant or 'a variant'} has no condition")
    if not NAME.search(one.variant):
        raise ConditionProblem(f"{one.variant[:64]!r} is no name of a variant: a–z, 0–9 and . _ -, at most 64")
    if type(one.above_tokens) is not int or not 0 <= one.above_tokens <= MOST_TOKENS:
        raise ConditionProblem(f"{one.variant}: {one.above_tokens!r} is no number of prompt tokens")
    if one.service_tier and (one.service_tier in STANDARD_TIERS or not TIER.search(one.service_tier)):
        raise ConditionProblem(f"{one.variant}: {one.service_tier[:32]!r} is no service tier with a price of its own")
    _check_hours(one.hours)


def _check_hours(hours: tuple[Window, ...]) -> None:
    if len(hours) > MOST_WINDOWS:
        raise ConditionProblem(f"at most {MOST_WINDOWS} spans of hours")
    for start, end in hours:
        if not 0 <= start < MINUTES or not 0 <= end <= MINUTES or start == end:
            raise ConditionProblem(f"{said_hours(((start, end),))} is no span of hours")
    for first, second in combinations(hours, 2):
        if _meet((first,), (second,)):
            raise ConditionProblem(f"{said_hours((first, second))} overlap")


def _meet(first: tuple[Window, ...], second: tuple[Window, ...]) -> bool:
    """Whether two variants hold in the same minute; one of some hours just goes before one of all hours."""
    if bool(first) != bool(second):
        return False
    return not first or bool(_minutes(first) & _minutes(second))


def _minutes(hours: tuple[Window, ...]) -> set[int]:
    found: set[int] = set()
    for start, end in hours:
        found.update(range(start, end) if start < end else (*range(start, MINUTES), *range(end)))
    return found
