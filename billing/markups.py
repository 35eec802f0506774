"""Prices made from others: cost plus a share, or a book's own prices and list prices plus or less one.

A share is in basis points and is worked out here, once: what is published are plain numbers, shown before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from billing import catalog, price_sheets
from billing.catalog import MOST_PRICE, VariantPrices
from billing.meters import PARENT_CLASS, SURCHARGES, TOKEN_CLASSES
from billing.models import CostPrice, PriceBook
from billing.price_sheets import Sheet

WHOLE = 10_000
MOST_SHARE = 100 * WHOLE
Routes = Mapping[str, Sequence[tuple[str, str]]]
"""Upstreams and their models that a model's calls go to, by model."""


@dataclass(frozen=True, slots=True)
class Made:
    """Sheets that were made, and in words what was left out or should be looked at, by model."""

    sheets: tuple[Sheet, ...]
    remarks: tuple[tuple[str, str], ...]


class MarkupProblem(Exception):
    """A share that is none, in plain words."""


def scaled(number: int, basis_points: int) -> int:
    """A price plus or less a share, half up to the whole picodollar."""
    if not -WHOLE <= basis_points <= MOST_SHARE:
        raise MarkupProblem("A share is from -100 % to 10,000 %.")
    return min((number * (WHOLE + basis_points) * 2 + WHOLE) // (2 * WHOLE), MOST_PRICE)


def over_cost(*, book: PriceBook, models: Sequence[str], routes: Routes, basis_points: int, now: datetime) -> Made:
    """Prices from what upstreams charge now; of several upstreams, each class from the dearest.

    Variants have no cost of their own: a model keeps those that it has.
    """
    costs = costs_in_force(routes, now)
    sheets, remarks = [], []
    for model in models:
        known = [found for route in routes.get(model, ()) if (found := costs.get(route))]
        if not known:
            remarks.append((model, "no cost is known for any of its upstreams: left out"))
            continue
        dearest = {name: max(getattr(cost, name) for cost in known) for name in (*TOKEN_CLASSES, *SURCHARGES)}
        last = price_sheets.last_version(book, model)
        kept = price_sheets.sheet_of(last, model).variants if last else ()
        if kept:
            remarks.append((model, f"keeps its variants as they are: {', '.join(one.variant for one in kept)}"))
        if len(known) < len(routes[model]):
            remarks.append((model, "the cost of some of its upstreams is not known"))
        prices = {name: scaled(number, basis_points) for name, number in dearest.items() if _is_price(name, number)}
        sheets.append(Sheet(model, _own(prices), kept, replaces=last.id if last else None))
    return Made(tuple(sheets), tuple(remarks))


def over_list(*, book: PriceBook, source: PriceBook, models: Sequence[str], basis_points: int, at: datetime) -> Made:
    """Prices in ``book`` from those in force in ``source`` at a moment, variants and surcharges, too."""
    sheets, remarks = [], []
    for model in models:
        base = catalog.price_list(source, model).published(at)
        if base is None:
            remarks.append((model, "has no price there: left out"))
            continue
        listed = price_sheets.sheet_of(base, model)
        last = price_sheets.last_version(book, model)
        sheets.append(
            Sheet(
                model,
                _own({name: scaled(number, basis_points) for name, number in listed.prices.items()}),
                tuple(_scaled_variant(one, basis_points) for one in listed.variants),
                replaces=last.id if last else None,
            )
        )
    return Made(tuple(sheets), tuple(remarks))


def costs_in_force(routes: Routes, at: datetime) -> dict[tuple[str, str], CostPrice]:
    """What each upstream charges for each of its models at a moment, of those in the routes."""
    wanted = {route for each in routes.values() for route in each}
    found = CostPrice.objects.filter(
        Q(effective_to__isnull=True) | Q(effective_to__gt=at),
        effective_from__lte=at,
        upstream__in={upstream for upstream, _model in wanted},
    )
    return {(cost.upstream, cost.upstream_model): cost for cost in found}


def _is_price(name: str, number: int) -> bool:
    """A surcharge that costs us nothing is not sold; a request may cost nothing."""
    return number > 0 or name in TOKEN_CLASSES or name == "per_request"


def _own(prices: Mapping[str, int]) -> dict[str, int]:
    """Without what a class takes from its parent anyway."""
    return {
        name: number
        for name, number in prices.items()
        if name not in PARENT_CLASS or number != prices[PARENT_CLASS[name]]
    }


def _scaled_variant(one: VariantPrices, basis_points: int) -> VariantPrices:
    return one._replace(prices=_own({name: scaled(number, basis_points) for name, number in one.prices.items()}))
