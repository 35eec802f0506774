"""Prices by range and by hour of the public price file: ``tiered_pricing`` and ``off_peak_pricing``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from proxy.pricing_import.fields import ALWAYS, CLASSES, Condition, ValueProblem, exact, plain, whole

Hours = tuple[tuple[int, int], ...]
"""Windows of UTC minutes of the day, half-open; one that starts after its end goes on past midnight."""
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
MOST_RANGES = 20


def ranges(value: Any) -> Iterator[tuple[Condition, dict[str, int]]]:
    """Each range as the condition it begins with, the first being always. A request is priced whole by its range.

    Raises ValueProblem for ranges that leave gaps, or that count something other than tokens.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MOST_RANGES:
        raise ValueProblem("its ranges are no list")
    expected: int | None = 0
    for part in value:
        start, end = _range(part)
        if start != expected:
            raise ValueProblem("its ranges do not follow each other from 0 on")
        expected = end
        yield Condition(start) if start else ALWAYS, prices(part, aside="range")


def off_peak(value: Any) -> tuple[Hours, dict[str, int]]:
    """The hours and the prices in them. Raises ValueProblem for what hours of the day alone cannot say."""
    if not isinstance(value, dict):
        raise ValueProblem("it is no table")
    windows = value.get("windows", [value])
    if not isinstance(windows, list) or not all(isinstance(window, dict) for window in windows):
        raise ValueProblem("its windows are no list")
    if not all(_every_day(window.get("weekdays")) for window in windows):
        raise ValueProblem("its windows differ by day of the week")
    found = [span for window in windows for span in _spans(window.get("hours_utc"))]
    numbers = {name: price for name, price in value.items() if name.endswith("_cost") or "_cost_" in name}
    return tuple(found), prices(numbers)


def prices(fields: dict[str, Any], *, aside: str = "") -> dict[str, int]:
    """Token classes with their prices. Raises ValueProblem if one of them is not understood."""
    found = {}
    for field, value in fields.items():
        if field == aside:
            continue
        if field not in CLASSES:
            raise ValueProblem(f"its {plain(field, 60)} is not understood")
        found[CLASSES[field]] = exact(value)
    return found


def _every_day(weekdays: Any) -> bool:
    return weekdays is None or (isinstance(weekdays, list) and sorted(map(str, weekdays)) == list("1234567"))


def _range(part: Any) -> tuple[int, int | None]:
    bounds = part.get("range") if isinstance(part, dict) else None
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise ValueProblem("its ranges do not count prompt tokens")
    start, end = 0 if bounds[0] == 0 else whole(bounds[0]), whole(bounds[1])
    open_end = bounds[1] is None
    if start is None or (end is None and not open_end) or (end is not None and end <= start):
        raise ValueProblem("its ranges do not count prompt tokens")
    return start, end


def _spans(hours: Any) -> Iterator[tuple[int, int]]:
    texts = [hours] if isinstance(hours, str) else hours
    if not isinstance(texts, list) or not texts:
        raise ValueProblem("its hours are not such as 16:30-00:30")
    for text in texts:
        match = _SPAN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueProblem("its hours are not such as 16:30-00:30")
        start, end = (int(match[hour]) * 60 + int(match[hour + 1]) for hour in (1, 3))
        if start == end:
            raise ValueProblem("its hours are the whole day")
        yield start, min(end, 1440) % 1440
