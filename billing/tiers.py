"""Tiers, free tokens and minimums of a month as whole numbers. Pure: amounts are picodollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

GRADUATED, VOLUME = "graduated", "volume"
BASIS_POINTS = 10_000


class TierProblem(Exception):
    """Tiers that are none, in words."""


@dataclass(frozen=True, slots=True)
class Tiers:
    """Prices by what a month comes to: tier i begins above ``thresholds[i]`` and ends with ``thresholds[i + 1]``.

    Graduated: each part at its own tier's price. Volume: everything at the price of the tier that is reached.
    """

    mode: str
    thresholds: tuple[int, ...]
    prices: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what could not be computed."""
        if self.mode not in (GRADUATED, VOLUME):
            raise TierProblem("Tiers are graduated or volume.")
        if not self.thresholds or self.thresholds[0] != 0 or len(self.thresholds) != len(self.prices):
            raise TierProblem("Tiers begin with 0, and each has one price.")
        if any(later <= earlier for earlier, later in zip(self.thresholds, self.thresholds[1:], strict=False)):
            raise TierProblem("Thresholds of tiers must rise.")
        if min(self.prices) < 0:
            raise TierProblem("A tier's price is not negative.")

    def cost(self, quantity: int) -> int:
        """What ``quantity`` units cost; a tier's last unit is the one its successor's threshold names."""
        if self.mode == VOLUME:
            return quantity * self.prices[self.reached(quantity)]
        return sum(part * price for part, price in self.parts(quantity))

    def reached(self, quantity: int) -> int:
        """Which tier a quantity ends in."""
        return max((place for place, above in enumerate(self.thresholds) if quantity > above), default=0)

    def parts(self, quantity: int) -> list[tuple[int, int]]:
        """How many units at which price, in order of the tiers."""
        if self.mode == VOLUME:
            return [(quantity, self.prices[self.reached(quantity)])] if quantity else []
        ends: Sequence[int] = (*self.thresholds[1:], max(quantity, self.thresholds[-1]))
        bounds = zip(self.thresholds, ends, self.prices, strict=True)
        return [(min(quantity, end) - above, price) for above, end, price in bounds if quantity > above]


def discounted(tiers: Tiers, amount: int) -> int:
    """What is left of ``amount`` at list price when a tier's price is its basis points off; rounded half up, once."""
    return amount - whole(Fraction(tiers.cost(amount), BASIS_POINTS))


def part_of(amount: int, share: Fraction) -> int:
    """A share of an amount, rounded half up to a whole picodollar: proration of minimums and free allowances."""
    return whole(amount * share)


def shortfall(*, minimum: int, spent: int) -> int:
    """What is missing to a minimum; never negative."""
    return max(0, minimum - spent)


def whole(value: Fraction) -> int:
    """Rounded half up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
