"""Half-open calendar windows in a tenant's time zone. Pure: the clock is passed in."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
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


def month_of(moment: datetime, zone: str, anchor: int = 1) -> Period:
    """The month that holds a moment, in a zone: of the calendar, Paris has 743 h in March and 745 h in October.

    With an ``anchor`` it begins on that day: see ``month``.
    """
    local = moment.astimezone(ZoneInfo(zone)).date()
    if local.day < _first_day(local.year, local.month, anchor):
        local = local.replace(day=1) - timedelta(days=1)
    return month(f"{local.year:04d}-{local.month:02d}", zone, anchor)


def month(label: str, zone: str, anchor: int = 1) -> Period:
    """The month that begins in ``YYYY-MM``, in a zone, on the anchor's day; on the last day where there is no such day.

    Each start derives from the anchor, never from the start before: the months of anchor 31 begin on 31 January,
    28 February and 31 March.
    """
    match = _MONTH.fullmatch(label)
    if not match or not 1971 <= int(match[1]) <= 9000:
        raise PeriodProblem(f"{label[:20]!r} is not a month such as 2026-11")
    year, number = int(match[1]), int(match[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    start = _midnight(year, number, _first_day(year, number, anchor), zone)
    return Period(start, _midnight(*following, _first_day(*following, anchor), zone), label)


def share(period: Period, start: datetime | None, end: datetime | None) -> Fraction:
    """How much of a period lies in ``[start, end)``, exactly: from 0 to 1. None is without a bound.

    By instants, so that a day of 23 or 25 hours has its true share. The whole of the shares of parts that tile is 1.
    """
    if period.end is None:
        raise PeriodProblem("A lifetime has no share.")
    first = max(period.start, start or period.start)
    last = min(period.end, end or period.end)
    if last <= first:
        return Fraction(0)
    return Fraction((last - first) // TICK, (period.end - period.start) // TICK)


def last_ended(now: datetime, zone: str, anchor: int = 1) -> Period:
    """The latest month that is over."""
    return month_of(month_of(now, zone, anchor).start - timedelta(days=1), zone, anchor)


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


def _first_day(year: int, number: int, anchor: int) -> int:
    """The day of a calendar month on which an anchored one begins."""
    return min(anchor, monthrange(year, number)[1])


def _midnight(year: int, number: int, day: int, zone: str) -> datetime:
    """The first instant of a local day, in UTC. Where midnight is skipped by a clock change, the first one after it."""
    local = datetime(year, number, day, tzinfo=ZoneInfo(zone))
    instant = local.astimezone(UTC)
    if instant.astimezone(ZoneInfo(zone)).date() < local.date():
        instant += timedelta(hours=1)
    return instant
