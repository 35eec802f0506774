"""How many bytes tokens have, and how far estimates were off: sums and newest samples of one model's calls. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.factors import LEAST, PER

NEWEST = 500
"""Samples that quantiles are taken of."""
WEIGHT = 10_000
"""Calls after which old ones count half, so that a factor follows what a model is used for now."""
LEAST_SAMPLES, LEAST_FOR_HOLDS = 20, 200
MOST_RATIO = 40 * PER
"""Bytes per 1,000 tokens that no text has: there was a picture or a recording in the request."""
ODD = 5
"""Times the median, or its part, beyond which a sample is left out of the factor."""


@dataclass(slots=True)
class Side:
    """Requests or answers of one model: sums that fade, and the newest ratios (bytes per 1,000) and errors (‰)."""

    weight: int = 0
    size: int = 0
    tokens: int = 0
    ratios: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)

    def add(self, size: int, tokens: int, estimate: int) -> bool:
        """One call's bytes, true tokens and what was estimated; returns whether the factor learned from it."""
        if tokens <= 0 or size <= 0:
            return False
        self.errors.append(abs(estimate - tokens) * PER // tokens)
        ratio = size * PER // tokens
        if not LEAST <= ratio <= MOST_RATIO or self._is_odd(ratio):
            return False
        self.ratios.append(ratio)
        self.weight += 1
        self.size += size
        self.tokens += tokens
        if self.weight >= WEIGHT:
            self.weight, self.size, self.tokens = self.weight // 2, self.size // 2, self.tokens // 2
        return True

    def _is_odd(self, ratio: int) -> bool:
        """Far from what the newest calls were like: a picture was in it, or somebody else's text."""
        if len(self.ratios) < LEAST_SAMPLES:
            return False
        median = quantile(self.ratios[-LEAST_SAMPLES:], 50)
        return ratio > median * ODD or ratio * ODD < median

    def factor(self) -> int:
        """Bytes per 1,000 tokens over all; 0 while there are too few calls."""
        return self.size * PER // self.tokens if self.weight >= LEAST_SAMPLES and self.tokens else 0

    def low_factor(self) -> int:
        """Four fifths of what one request in a hundred is below; 0 while there are too few."""
        if len(self.ratios) < LEAST_FOR_HOLDS:
            return 0
        return max(LEAST, quantile(self.ratios, 1) * 4 // 5)

    def sums(self) -> list[int]:
        """To be stored; the two lists have columns of their own."""
        return [self.weight, self.size, self.tokens]

    @classmethod
    def restored(cls, sums: Sequence[int] | None, ratios: Iterable[int], errors: Iterable[int]) -> Side:
        """As it was stored."""
        weight, size, tokens = sums or (0, 0, 0)
        return cls(weight, size, tokens, list(ratios), list(errors))


@dataclass(slots=True)
class Usual:
    """The mean number of tokens of one model's answers, all that is billed of them; old ones fade."""

    weight: int = 0
    tokens: int = 0

    def add(self, tokens: int) -> None:
        """One answer."""
        self.weight += 1
        self.tokens += tokens
        if self.weight >= WEIGHT:
            self.weight, self.tokens = self.weight // 2, self.tokens // 2

    def mean(self) -> int:
        """Rounded up; 0 while there are too few."""
        return -(-self.tokens // self.weight) if self.weight >= LEAST_SAMPLES else 0


def quantile(values: Sequence[int], percent: int) -> int:
    """The value that so many in a hundred are below or at; of at least one."""
    return sorted(values)[(len(values) - 1) * percent // 100]


def mean(values: Sequence[int]) -> int:
    """Of at least one, rounded down."""
    return sum(values) // len(values)


def moved(known: int, found: int) -> bool:
    """Whether a factor is worth telling the gateways: by more than 2 %, or for the first time."""
    return found != known and (not known or not found or abs(found - known) * 50 > known)


def by_day(known: dict[str, Any], found: Iterable[tuple[str, int, int]], first_day: str) -> dict[str, list[int]]:
    """Calls and picodollars of estimated calls by ISO day, those found added, days before ``first_day`` forgotten."""
    days = {day: list(pair) for day, pair in known.items() if day >= first_day}
    for day, calls, cost in found:
        if day >= first_day:
            before = days.get(day, [0, 0])
            days[day] = [before[0] + calls, before[1] + cost]
    return days
