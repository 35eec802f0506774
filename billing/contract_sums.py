"""What a contract makes of a month's usage: tiers, then free tokens, then a free amount, then a minimum.

Pure. Amounts are picodollars, tokens whole; fractions carry averages from step to step, and each step rounds once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from billing import tiers
from billing.tiers import Tiers

TOKENS, USD = "tokens", "usd"


@dataclass(frozen=True, slots=True)
class TierTerms:
    """Tiers over the models a pattern matches, in one token class or (empty) all.

    In ``tokens`` a tier's price is picodollars per token, instead of the list price; it is that of usage at the base
    price, so that long requests, other service tiers and other hours keep their own. In ``usd`` a tier's price is basis
    points off whatever the list price is.
    """

    pattern: str
    token_class: str
    unit: str
    tiers: Tiers


@dataclass(frozen=True, slots=True)
class FreeTerms:
    """Tokens a month that cost nothing, of the models a pattern matches, in one token class or (empty) all."""

    pattern: str
    token_class: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Contract:
    """What is agreed for a whole month. The first tiers that match some usage are those that price it."""

    minimum: int = 0
    free_amount: int = 0
    tiers: tuple[TierTerms, ...] = ()
    free_tokens: tuple[FreeTerms, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Usage of one model and token class at list price; surcharges have no class and no tokens.

    ``standard`` is usage at the base price, not at one of its variants.
    """

    model: str
    token_class: str
    tokens: int
    cost: int
    standard: bool = True


@dataclass(frozen=True, slots=True)
class TierPart:
    """What tiers came to: ``quantity`` tokens, or picodollars at list price; ``listed`` is their list price."""

    place: int
    rule: TierTerms
    quantity: int
    listed: int
    exact: int

    @property
    def reached(self) -> int:
        """The tier the quantity ends in, from 1."""
        return self.rule.tiers.reached(self.quantity) + 1

    @property
    def to_next(self) -> int | None:
        """How much more ends this tier; None in the last."""
        after = self.rule.tiers.thresholds[self.reached :]
        return after[0] - self.quantity if after else None


@dataclass(frozen=True, slots=True)
class FreePart:
    """How many of the free tokens were used, and what they are worth: ``exact`` is not positive."""

    place: int
    rule: FreeTerms
    granted: int
    used: int
    exact: int


@dataclass(frozen=True, slots=True)
class AmountPart:
    """What was used of the free amount: ``exact`` is not positive."""

    granted: int
    exact: int


@dataclass(frozen=True, slots=True)
class MinimumPart:
    """What is missing to the minimum; charged, as ``exact``, once the month is over."""

    agreed: int
    spent: int
    missing: int
    exact: int


Part = TierPart | FreePart | AmountPart | MinimumPart


@dataclass(frozen=True, slots=True)
class Outcome:
    """A month under a contract: ``listed`` is its usage at list price, ``besides`` what was re-rated of it."""

    listed: int
    besides: int
    tiers: tuple[TierPart, ...]
    free_tokens: tuple[FreePart, ...]
    free_amount: AmountPart | None
    minimum: MinimumPart | None

    @property
    def parts(self) -> list[tuple[str, Part]]:
        """Every part with its name, in the order in which they are due."""
        found: list[tuple[str, Part]] = [(f"tier-{part.place}", part) for part in self.tiers]
        found += [(f"free-tokens-{part.place}", part) for part in self.free_tokens]
        amounts = (("free-amount", self.free_amount), ("minimum", self.minimum))
        return found + [(name, part) for name, part in amounts if part is not None]

    @property
    def spent(self) -> int:
        """What the month costs without its minimum."""
        return self.listed + self.besides + self.changed - (self.minimum.exact if self.minimum else 0)

    @property
    def changed(self) -> int:
        """What the contract adds to the list price, or (negative) takes off."""
        return sum(part.exact for _name, part in self.parts)

    @property
    def total(self) -> int:
        """What the month costs."""
        return self.listed + self.besides + self.changed


@dataclass(slots=True)
class _Left:
    """What is left to pay of some usage while the steps go on."""

    counted: Counted
    tokens: Fraction
    cost: Fraction
    is_tiered: bool = False


def outcome(
    contract: Contract,
    used: Iterable[Counted],
    *,
    share: Fraction,
    is_over: bool,
    rerated: Mapping[str, int] | None = None,
) -> Outcome:
    """Apply a contract to the usage of a month, or of the ``share`` of one during which it is in force.

    Minimum and free allowances are prorated by the share, thresholds are not. ``rerated`` is what re-rating added to
    the list price of a model: tiers and allowances begin from there.
    """
    left = [_Left(one, Fraction(one.tokens), Fraction(one.cost)) for one in used]
    listed, besides = sum(one.counted.cost for one in left), sum((rerated or {}).values())
    for model, amount in (rerated or {}).items():
        _rerate(left, model, amount)
    tiered = tuple(_tiered(place, rule, left) for place, rule in enumerate(contract.tiers, 1))
    freed = tuple(_freed(place, rule, left, share) for place, rule in enumerate(contract.free_tokens, 1))
    spent = listed + besides + sum(part.exact for part in tiered) + sum(part.exact for part in freed)
    free_amount = minimum = None
    if contract.free_amount:
        granted = tiers.part_of(contract.free_amount, share)
        free_amount = AmountPart(granted, -min(granted, max(0, spent)))
        spent += free_amount.exact
    if contract.minimum:
        agreed = tiers.part_of(contract.minimum, share)
        missing = tiers.shortfall(minimum=agreed, spent=spent)
        minimum = MinimumPart(agreed, spent, missing, missing if is_over else 0)
    return Outcome(listed, besides, tiered, freed, free_amount, minimum)


def drops(rule: TierTerms) -> list[tuple[int, int]]:
    """Where one unit more costs less in all, and how much less: volume prices that fall do that where a tier begins."""
    found = [(above, _priced(rule, above) - _priced(rule, above + 1)) for above in rule.tiers.thresholds[1:]]
    return [(above, saved) for above, saved in found if saved > 0]


def _priced(rule: TierTerms, quantity: int) -> int:
    return tiers.discounted(rule.tiers, quantity) if rule.unit == USD else rule.tiers.cost(quantity)


def _rerate(left: list[_Left], model: str, amount: int) -> None:
    """Spread what re-rating added to a model over its usage, by list price."""
    found = [one for one in left if one.counted.model == model and one.cost]
    if not found:
        left.append(_Left(Counted(model, "", 0, 0), Fraction(0), Fraction(amount)))
    total = sum(one.cost for one in found)
    for one in found:
        one.cost += Fraction(amount * one.cost, total)


def _tiered(place: int, rule: TierTerms, left: Sequence[_Left]) -> TierPart:
    """Price what the rule is the first to match, and spread the new cost over it."""
    found = [one for one in left if not one.is_tiered and _prices(rule, one.counted)]
    listed = tiers.whole(Fraction(sum(one.cost for one in found)))
    quantity = listed if rule.unit == USD else sum(one.counted.tokens for one in found)
    cost = _priced(rule, quantity)
    weights = [one.cost if rule.unit == USD else one.tokens for one in found]
    total = sum(weights)
    for one, weight in zip(found, weights, strict=True):
        one.is_tiered = True
        one.cost = Fraction(weight * cost, total) if total else Fraction(0)
    return TierPart(place, rule, quantity, listed, cost - listed)


def _prices(rule: TierTerms, counted: Counted) -> bool:
    if rule.unit == TOKENS and not (counted.tokens and counted.standard):
        return False
    return _matches(rule.pattern, rule.token_class, counted)


def _freed(place: int, rule: FreeTerms, left: Sequence[_Left], share: Fraction) -> FreePart:
    """Take free tokens off what is left, evenly: each is worth the average of what they cost after the tiers."""
    found = [one for one in left if one.tokens and _matches(rule.pattern, rule.token_class, one.counted)]
    granted, tokens = tiers.part_of(rule.tokens, share), sum(one.tokens for one in found)
    used = min(Fraction(granted), Fraction(tokens))
    if not used:
        return FreePart(place, rule, granted, 0, 0)
    worth = Fraction(sum(one.cost for one in found) * used, tokens)
    for one in found:
        one.tokens -= Fraction(one.tokens * used, tokens)
        one.cost -= Fraction(one.cost * used, tokens)
    return FreePart(place, rule, granted, tiers.whole(used), -tiers.whole(worth))


def _matches(pattern: str, token_class: str, counted: Counted) -> bool:
    return fnmatchcase(counted.model, pattern) and token_class in ("", counted.token_class)
