"""Values of providers' files, read strictly: counts, amounts, days and names, or a problem that says where. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

MOST = 10**15
"""The largest count and amount of USD that is believed."""
LONGEST_NAME = 200
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_AMOUNT = re.compile(r"(-?)(\d{1,18})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,2}))?", re.ASCII)
_COUNT = re.compile(r"\d{1,16}(\.0{1,6})?", re.ASCII)


class ReportProblem(Exception):
    """A file that is no report we know, in plain words with row and column."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a file, and where it stands: ``row 3, column "model"``."""

    value: object
    row: str
    column: str

    def problem(self, wanted: str) -> ReportProblem:
        """What is wrong with it."""
        shown = "".join(character for character in str(self.value)[:60] if character.isprintable())
        return ReportProblem(f'{self.row}, column "{self.column}": "{shown}" is not {wanted}.')

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return self.value is None or self.value == ""

    def count(self) -> int:
        """A whole number; nothing is 0."""
        if self.is_empty:
            return 0
        if isinstance(self.value, bool) or not _COUNT.fullmatch(str(self.value)):
            raise self.problem("a count")
        found = int(str(self.value).partition(".")[0])
        if found > MOST:
            raise self.problem("a count that can be")
        return found

    def picodollars(self, *, units_per_usd: int = 1) -> int:
        """An amount in USD, or in cents with 100 units per USD; parts of a picodollar are rounded half up."""
        text = "" if isinstance(self.value, bool) else str(self.value).strip()
        match = _AMOUNT.fullmatch(text)
        if not match:
            raise self.problem("an amount")
        sign, whole, fraction, exponent = match.groups(default="")
        digits = int(whole + fraction)
        power = 12 + int(exponent or 0) - len(fraction)
        above, below = digits * 10 ** max(0, power), units_per_usd * 10 ** max(0, -power)
        found: int = (2 * above + below) // (2 * below)
        if found > MOST * 10**12:
            raise self.problem("an amount that can be")
        return -found if sign else found

    def name(self) -> str:
        """A name of a model."""
        text = self.value if isinstance(self.value, str) else ""
        if not 0 < len(text) <= LONGEST_NAME or not text.isprintable():
            raise self.problem("the name of a model")
        return text

    def moment(self) -> datetime:
        """Seconds since 1970, RFC 3339, or a day."""
        try:
            if isinstance(self.value, int) or (isinstance(self.value, str) and self.value.isdecimal()):
                found = datetime.fromtimestamp(int(self.value), UTC)
            elif isinstance(self.value, str) and _DAY.fullmatch(self.value):
                found = datetime.fromisoformat(self.value).replace(tzinfo=UTC)
            else:
                found = datetime.fromisoformat(str(self.value))
        except (ValueError, OverflowError, OSError):
            raise self.problem("a time") from None
        if found.tzinfo is None or not 2015 <= found.year < 2100:
            raise self.problem("a time in UTC")
        return found.astimezone(UTC)


def day_of(start: Cell, end: Cell | None) -> date:
    """The UTC day of a bucket of time; refused if it reaches into another one."""
    begins = start.moment()
    if end is not None:
        length = end.moment() - begins
        rest = 86_400 - (begins.hour * 3600 + begins.minute * 60 + begins.second)
        if not 0 < length.total_seconds() <= rest:
            raise end.problem("an end within the same UTC day: export with buckets of a day or less")
    return begins.date()
