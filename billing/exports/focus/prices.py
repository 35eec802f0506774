"""The price that rated usage, and the public one beside it, for the unit prices of the FOCUS dataset. Only reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from billing import catalog
from billing.exports.focus.reading import Used
from billing.exports.focus.rows import Part
from billing.meters import COUNTERS, UNIT_PRICES
from billing.models import Price
from billing.pricing import PriceVersion, words


class PriceProblem(Exception):
    """Usage whose cost is not what its counts and its price make."""


class Prices:
    """The versions met so far, by id, each with the public prices of its model: a handful, kept in memory."""

    def __init__(self) -> None:
        self._versions: dict[int, PriceVersion] = {}
        self._public: dict[str, list[PriceVersion]] = {}
        self._public_ids: set[int] = set()

    def learn(self, used: Iterable[Used]) -> None:
        """Load what a day needs and is not known yet."""
        rows = list(used)
        self._versions |= catalog.versions_by_id({row.price_id for row in rows} - self._versions.keys())
        models = {row.model for row in rows} - self._public.keys()
        found = Price.objects.filter(book__tenant=None, model__in=models).order_by("effective_from", "id")
        self._public |= {model: [] for model in models}
        for price in found:
            self._public[price.model].append(catalog.version_of(price))
            self._public_ids.add(price.pk)

    def parts_of(self, used: Used, at: datetime) -> Iterator[Part]:
        """Each token class and surcharge that was used; what is left of the cost is per request.

        Raises PriceProblem if counts and cost disagree.
        """
        price = self._versions[used.price_id]
        public, left = self._public_of(used, price, at), used.cost
        for counter, quantity in zip(COUNTERS, used.counts, strict=True):
            meter = UNIT_PRICES[counter]
            unit = getattr(price, meter)
            if quantity and unit is not None:  # images that are paid by their tokens are no part of their own
                left -= quantity * unit
                yield Part(meter, quantity, unit, _listed(public, meter, unit), quantity * unit)
        if not left:
            return
        if not price.per_request or left % price.per_request:
            raise PriceProblem(f"{used.model}: its cost is {left} picodollars off its counts under price {price.id}")
        listed = _listed(public, "per_request", price.per_request)
        yield Part("per_request", left // price.per_request, price.per_request, listed, left)

    def details(self, price_id: int) -> str:
        """A version as FOCUS's SkuPriceDetails."""
        price = self._versions[price_id]
        found = {"x_PriceVersion": price_id, "x_EffectiveFrom": price.effective_from.isoformat()}
        return json.dumps(found | ({"x_Condition": words(price)} if price.variant else {}), ensure_ascii=False)

    def _public_of(self, used: Used, price: PriceVersion, at: datetime) -> PriceVersion:
        """The default book's price at a moment, under the same conditions if it has them; else the price itself."""
        if used.price_id in self._public_ids:
            return price
        at = max(at, price.effective_from)  # prices begin within an hour or a day
        there = [
            each for each in self._public[used.model]
            if each.effective_from <= at and (each.effective_to is None or at < each.effective_to)
        ]  # fmt: skip
        for variant in (price.variant, ""):
            for each in there:
                if each.variant == variant:
                    return each
        return price


def _listed(public: PriceVersion, meter: str, otherwise: int) -> int:
    found: int | None = getattr(public, meter)
    return otherwise if found is None else found
