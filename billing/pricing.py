"""Frozen prices and the two sums made with them: ``rate`` what was used, ``ceiling`` what could be used.

A price version may have variants: other prices above a number of prompt tokens, in a service tier, or in some hours of
the day. Hours are resolved once, at admission; the rest when the usage is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from billing.meters import COMPLETION_CLASSES, MOST_TOKENS, PARENT_CLASS, PROMPT_CLASSES, TOKEN_CLASSES, Usage

MOST_COST = 2**63 - 1
STANDARD_TIERS = frozenset({"", "auto", "default", "standard", "standard_only"})
"""Names of service tiers that mean the price without one."""
MINUTES = 1440

Window = tuple[int, int]
"""UTC minutes of the day ``[start, end)``; one that starts after its end goes on past midnight."""


class PricingProblem(Exception):
    """A use nobody priced, or a sum that does not fit a BIGINT."""


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """One price version: picodollars per token by class, and per counted surcharge. A surcharge of None is not sold.

    ``variants`` are the other prices of the same model and time, none of which has variants of its own.
    """

    id: int
    effective_from: datetime
    effective_to: datetime | None
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    input_audio: int
    input_image: int
    output: int
    reasoning: int
    output_audio: int
    output_image: int
    per_request: int = 0
    per_web_search: int | None = None
    per_image: int | None = None
    variant: str = ""
    """The name of a variant, empty for the base price."""
    above_tokens: int = 0
    """A variant for requests with more prompt tokens than this; it prices the whole request."""
    service_tier: str = ""
    """A variant for requests served in this tier."""
    hours: tuple[Window, ...] = ()
    """A variant for requests admitted in these windows; none is always."""
    variants: tuple[PriceVersion, ...] = ()

    dearest_input: int = field(init=False, compare=False)
    """The most a prompt token can cost, in any variant."""
    dearest_output: int = field(init=False, compare=False)
    """The most a completion token can cost, in any variant."""

    def __post_init__(self) -> None:
        """Order the variants and work out the dearest prices once, where a version is loaded, not for every call."""
        variants = tuple(sorted(self.variants, key=_precedence))
        dearest = [_dearest(self), *(_dearest(variant) for variant in variants)]
        object.__setattr__(self, "variants", variants)
        object.__setattr__(self, "dearest_input", max(side[0] for side in dearest))
        object.__setattr__(self, "dearest_output", max(side[1] for side in dearest))

    def at_moment(self, now: datetime) -> PriceVersion:
        """The version with its hours resolved: what is admitted now is priced by it, whenever it ends.

        A variant that holds in these hours stands for the one it shares its other conditions with, even the base.
        """
        if not self.variants or not any(variant.hours for variant in self.variants):
            return self
        held = {(self.service_tier, self.above_tokens): self}
        for variant in self.variants:  # those of some hours come after the one of all hours
            if not variant.hours or _within(variant.hours, now):
                held[variant.service_tier, variant.above_tokens] = variant
        base, *variants = held.values()
        return replace(base, hours=(), variants=tuple(replace(variant, hours=()) for variant in variants))

    def chosen(self, usage: Usage, service_tier: str = "") -> PriceVersion:
        """The variant whose conditions hold for what was used, or the base price.

        The tier decides first, then the highest number of prompt tokens exceeded. Variants whose hours are not
        resolved do not count: see ``at_moment``.
        """
        if not self.variants:
            return self
        prompt, found = usage.prompt_tokens, self
        for variant in self.variants:
            tier_holds = not variant.service_tier or variant.service_tier == service_tier
            if tier_holds and not variant.hours and (not variant.above_tokens or prompt > variant.above_tokens):
                found = variant
        return found

    def sells(self, service_tier: str) -> bool:
        """Whether a requested service tier has a price; the standard one always has."""
        return service_tier in STANDARD_TIERS or any(
            variant.service_tier == service_tier and not variant.above_tokens for variant in self.variants
        )


@dataclass(frozen=True, slots=True)
class PriceList:
    """The price versions of one model for one tenant, by time, not overlapping."""

    versions: tuple[PriceVersion, ...]

    @classmethod
    def of(cls, rows: Iterable[PriceVersion]) -> PriceList:
        """From stored rows in any order: a variant belongs to the base price that begins with it."""
        variants: dict[datetime, list[PriceVersion]] = {}
        bases = []
        for row in rows:
            if row.variant:
                variants.setdefault(row.effective_from, []).append(row)
            else:
                bases.append(row)
        bases.sort(key=lambda base: base.effective_from)
        return cls(
            tuple(
                replace(base, variants=tuple(variants[base.effective_from]))
                if base.effective_from in variants
                else base
                for base in bases
            )
        )

    def at(self, moment: datetime) -> PriceVersion | None:
        """The version in force at ``moment`` in ``[from, to)``, its hours resolved; None: the model must be refused."""
        version = self.published(moment)
        return version.at_moment(moment) if version is not None and version.variants else version

    def published(self, moment: datetime) -> PriceVersion | None:
        """The version in force at ``moment`` with all its variants, whatever the hour."""
        for version in reversed(self.versions):
            if version.effective_from <= moment and (version.effective_to is None or moment < version.effective_to):
                return version
        return None


def rate(usage: Usage, price: PriceVersion) -> int:
    """Exact cost in picodollars: Σ tokens × price, plus counted surcharges. ``price`` is the chosen variant."""
    read, cached, written_5m, written_1h, heard, seen, said, thought, spoken, drawn, searches, images = usage
    cost = (
        read * price.input
        + cached * price.cache_read
        + written_5m * price.cache_write_5m
        + written_1h * price.cache_write_1h
        + heard * price.input_audio
        + seen * price.input_image
        + said * price.output
        + thought * price.reasoning
        + spoken * price.output_audio
        + drawn * price.output_image
        + price.per_request
    )
    if searches:
        cost += searches * _sold(price.per_web_search)
    if images and (price.per_image is not None or not usage.completion_tokens):  # else sold by their tokens
        cost += images * _sold(price.per_image)
    if cost > MOST_COST:
        raise PricingProblem("the cost of one request does not fit")
    return cost


def ceiling(
    *, input_bound: int, output_bound: int, price: PriceVersion, service_tier: str = "", images: int = 0
) -> int:
    """The most a request can cost: bounds in tokens times the dearest price of each side, plus the request itself.

    The dearest of the variants that the bounds can reach, of the requested tier and of none, as an upstream may answer
    without it. ``images`` made are counted where they are sold by the piece.
    """
    if not price.variants:
        most = input_bound * price.dearest_input + output_bound * price.dearest_output + _fixed(price, images)
    else:
        most = 0
        for variant in _reachable(price, input_bound, service_tier):
            dearest_input, dearest_output = _dearest(variant)
            most = max(most, input_bound * dearest_input + output_bound * dearest_output + _fixed(variant, images))
    if most > MOST_COST:
        raise PricingProblem("the ceiling of one request does not fit")
    return most


def affordable_output(
    *, most: int, input_bound: int, price: PriceVersion, service_tier: str = "", images: int = 0
) -> int:
    """The highest output bound whose ``ceiling`` is at most ``most`` picodollars; negative if there is none."""
    bounds = [MOST_TOKENS]
    for variant in _reachable(price, input_bound, service_tier):
        dearest_input, dearest_output = _dearest(variant)
        left = most - input_bound * dearest_input - _fixed(variant, images)
        if left < 0:
            return -1
        if dearest_output:
            bounds.append(left // dearest_output)
    return min(bounds)


def frozen(price: PriceVersion, beside: Iterable[PriceVersion]) -> PriceVersion:
    """A stored price with those of the variants beside it that a call admitted by it can still come to.

    They are of the same tier and hours, or of all hours, and above more prompt tokens.
    """
    longer = (
        replace(variant, hours=())
        for variant in sorted(beside, key=_precedence)
        if variant.service_tier == price.service_tier
        and variant.above_tokens > price.above_tokens
        and variant.hours in ((), price.hours)
    )
    return replace(price, variants=tuple(longer))


def words(price: PriceVersion) -> str:
    """The conditions of a variant for people: ``priority, above 200,000 prompt tokens``; empty for the base price."""
    said = [price.service_tier] if price.service_tier else []
    if price.above_tokens:
        said.append(f"above {price.above_tokens:,} prompt tokens")
    if price.hours:
        spans = (f"{_clock(start)}–{_clock(end)}" for start, end in price.hours)
        said.append(f"{', '.join(spans)} UTC")
    return ", ".join(said) or price.variant


def with_inherited(prices: dict[str, int]) -> tuple[dict[str, int], list[str]]:
    """Every token class priced, and the names of those that took their parent's number.

    ``input`` and ``output`` must be there: nothing falls back to zero.
    """
    full = dict(prices)
    inherited = []
    for name in TOKEN_CLASSES:
        if name not in full:
            if name not in PARENT_CLASS:
                raise PricingProblem(f"{name} needs a price")
            full[name] = full[PARENT_CLASS[name]]
            inherited.append(name)
    return full, inherited


def _sold(price: int | None) -> int:
    if price is None:
        raise PricingProblem("the upstream counted a surcharge that has no price")
    return price


def _precedence(variant: PriceVersion) -> tuple[bool, int, bool]:
    """The later in this order, the more particular."""
    return bool(variant.service_tier), variant.above_tokens, bool(variant.hours)


def _dearest(price: PriceVersion) -> tuple[int, int]:
    """The most a prompt token and a completion token cost in this variant alone."""
    return (
        max(getattr(price, name) for name in PROMPT_CLASSES),
        max(getattr(price, name) for name in COMPLETION_CLASSES),
    )


def _reachable(price: PriceVersion, input_bound: int, service_tier: str) -> list[PriceVersion]:
    """The base price and variants a request within the bound can come to: upstreams may answer without the tier."""
    return [price] + [
        variant
        for variant in price.variants
        if variant.service_tier in ("", service_tier)
        and (not variant.above_tokens or input_bound > variant.above_tokens)
    ]


def _fixed(price: PriceVersion, images: int) -> int:
    """What the request itself and the images made cost, whatever the tokens."""
    return price.per_request + images * (price.per_image or 0)


def _within(hours: tuple[Window, ...], now: datetime) -> bool:
    moment = now.astimezone(UTC)
    minute = moment.hour * 60 + moment.minute
    return any(start <= minute < end if start < end else minute >= start or minute < end for start, end in hours)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
