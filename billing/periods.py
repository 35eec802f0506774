"""Half-open calendar windows in a tenant's time zone. Pure: the clock is passed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)


class PeriodProblem(Exception):
    """A text that is no month."""


class Period(NamedTuple):
    """``[start, end)`` in UTC; ``end`` is None for a lifetime. ``label`` is the month such as ``2026-11``."""

    start: datetime
    end: datetime | None
    label: str = ""

    def holds(self, moment: datetime) -> bool:
        """Whether a moment falls into the period."""
        return self.start <= moment and (self.end is None or moment < self.end)


def month_of(moment: datetime, zone: str) -> Period:
    """The calendar month that holds a moment, in a zone: Paris has 743 h in March and 745 h in October."""
    local = moment.astimezone(ZoneInfo(zone))
    return month(f"{local.year:04d}-{local.month:02d}", zone)


def month(label: str, zone: str) -> Period:
    """The month ``YYYY-MM`` in a zone."""
    match = _MONTH.fullmatch(label)
    if not match or not 1971 <= int(match[1]) <= 9000:
        raise PeriodProblem(f"{label[:20]!r} is not a month such as 2026-11")
    year, number = int(match[1]), int(match[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return Period(_midnight(year, number, 1, zone), _midnight(*following, 1, zone), label)


def day_of(moment: datetime, zone: str) -> Period:
    """The calendar day that holds a moment, in a zone: 23 to 25 hours, and 24 in most."""
    local = moment.astimezone(ZoneInfo(zone)).date()
    following = local + timedelta(days=1)
    start = _midnight(local.year, local.month, local.day, zone)
    end = _midnight(following.year, following.month, following.day, zone)
    return Period(start, end, "")


def window_of(window: str, moment: datetime, zone: str) -> Period:
    """The window of a budget (``day``, ``month`` or ``lifetime``) that holds a moment."""
    if window == "lifetime":
        return Period(FIRST_DAY, None)
    return day_of(moment, zone) if window == "day" else month_of(moment, zone)


def bucket_of(moment: datetime) -> datetime:
    """The start of the 15-minute bucket that holds a moment; zones differ from UTC by whole quarters of an hour."""
    moment = moment.astimezone(UTC)
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def _midnight(year: int, number: int, day: int, zone: str) -> datetime:
    """The first instant of a local day, in UTC. Where midnight is skipped by a clock change, the first one after it."""
    local = datetime(year, number, day, tzinfo=ZoneInfo(zone))
    instant = local.astimezone(UTC)
    if instant.astimezone(ZoneInfo(zone)).date() < local.date():
        instant += timedelta(hours=1)
    return instant
