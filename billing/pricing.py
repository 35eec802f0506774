"""Frozen prices and the two sums made with them: ``rate`` what was used, ``ceiling`` what could be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from billing.meters import COMPLETION_CLASSES, PARENT_CLASS, PROMPT_CLASSES, TOKEN_CLASSES, Usage

MOST_COST = 2**63 - 1


class PricingProblem(Exception):
    """A use nobody priced, or a sum that does not fit a BIGINT."""


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """One price version: picodollars per token by class, and per counted surcharge. A surcharge of None is not sold."""

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

    dearest_input: int = field(init=False, compare=False)
    """The most a prompt token can cost."""
    dearest_output: int = field(init=False, compare=False)
    """The most a completion token can cost."""

    def __post_init__(self) -> None:
        """Work out the dearest prices once, where a version is loaded, not for every call."""
        object.__setattr__(self, "dearest_input", max(getattr(self, name) for name in PROMPT_CLASSES))
        object.__setattr__(self, "dearest_output", max(getattr(self, name) for name in COMPLETION_CLASSES))


@dataclass(frozen=True, slots=True)
class PriceList:
    """The price versions of one model for one tenant, by time, not overlapping."""

    versions: tuple[PriceVersion, ...]

    def at(self, moment: datetime) -> PriceVersion | None:
        """The version in force at ``moment`` in ``[from, to)``, or None: then the model must be refused."""
        for version in reversed(self.versions):
            if version.effective_from <= moment and (version.effective_to is None or moment < version.effective_to):
                return version
        return None


def rate(usage: Usage, price: PriceVersion) -> int:
    """Exact cost in picodollars: Σ tokens × price, plus counted surcharges."""
    cost = (
        usage.input * price.input
        + usage.cache_read * price.cache_read
        + usage.cache_write_5m * price.cache_write_5m
        + usage.cache_write_1h * price.cache_write_1h
        + usage.input_audio * price.input_audio
        + usage.input_image * price.input_image
        + usage.output * price.output
        + usage.reasoning * price.reasoning
        + usage.output_audio * price.output_audio
        + usage.output_image * price.output_image
        + price.per_request
    )
    if usage.web_searches or usage.images:
        cost += usage.web_searches * _sold(price.per_web_search) + usage.images * _sold(price.per_image)
    if cost > MOST_COST:
        raise PricingProblem("the cost of one request does not fit")
    return cost


def ceiling(*, input_bound: int, output_bound: int, price: PriceVersion) -> int:
    """The most a request can cost: bounds in tokens times the dearest price of each side, plus the request itself."""
    most = input_bound * price.dearest_input + output_bound * price.dearest_output + price.per_request
    if most > MOST_COST:
        raise PricingProblem("the ceiling of one request does not fit")
    return most


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
