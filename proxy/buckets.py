"""The buckets of latency histograms: fixed, so that those of any process and time add up; and their quantiles. Pure."""

from __future__ import annotations

from collections.abc import Sequence

BOUNDS_S = tuple(round(0.01 * 2 ** (step / 2), 6) for step in range(33))
"""Upper bounds in seconds, 10 ms to eleven minutes, each √2 times the last; what takes longer has its own bucket."""


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The time in seconds that ``share`` of all stay below, to a fifth of it at worst; None where nothing was counted.

    Inside a bucket times are taken to be spread evenly; those beyond the last bound count as that bound.
    """
    whole = sum(counts)
    if not whole:
        return None
    rank = share * whole
    seen = 0
    for place, count in enumerate(counts):
        if count and seen + count >= rank:
            low = BOUNDS_S[place - 1] if place else 0.0
            high = BOUNDS_S[place] if place < len(BOUNDS_S) else low
            return low + (high - low) * max(0.0, rank - seen) / count
        seen += count
    return BOUNDS_S[-1]
