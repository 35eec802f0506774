"""The months the demonstration lives through: three that are over, and the one that runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.periods import Period, month_of

ZONE = "Europe/Berlin"
CLOSED_AFTER = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Calendar:
    """``ended`` are the months that are over, the oldest first; ``now`` is in the ``running`` one."""

    ended: tuple[Period, ...]
    running: Period
    now: datetime

    @property
    def began(self) -> datetime:
        """When the first of the months began."""
        return self.ended[0].start


def calendar(now: datetime, months: int = 3) -> Calendar:
    """The calendar as of a moment."""
    running = month_of(now, ZONE)
    ended: list[Period] = []
    for _ in range(months):
        ended.insert(0, month_of((ended[0] if ended else running).start - timedelta(seconds=1), ZONE))
    return Calendar(tuple(ended), running, now)
