"""Which re-rating holds for a call, and what a tenant's months come to by them. Only reads, as operator.

A call is charged what its own price made of it, until a re-rating covers it; of several, the one decided last holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from billing import repricing
from billing.models import Price, Rerating
from billing.parties import Tenant
from billing.periods import Period, month_of
from billing.price_sheets import Sheet
from billing.pricing import PriceVersion
from billing.repricing import Window

States = Rerating.State


@dataclass(frozen=True, slots=True)
class Layer:
    """A re-rating as it prices calls; a model without a version gets back the price it was admitted at.

    Without ``tenant_id`` it is everyone's, without ``book_id`` of calls that any book's price rated.
    """

    id: int
    tenant_id: int | None
    book_id: int | None
    start: datetime
    end: datetime
    models: frozenset[str]
    versions: dict[str, PriceVersion]

    @classmethod
    def of(cls, row: Rerating) -> Layer:
        """From its row."""
        versions = {sheet.model: sheet.version() for sheet in map(Sheet.from_json, row.rows)}
        models = frozenset(row.model_names)
        return cls(row.pk, row.tenant_id, row.book_id, row.starts_at, row.ends_at, models, versions)

    def touches(self, window: Window) -> bool:
        """Whether it covers a part of a month, which lies inside or outside of it."""
        mine = self.tenant_id in (None, window.tenant_id)
        return mine and self.start <= window.start and window.end <= self.end

    def covers(self, window: Window, model: str, book_id: int) -> bool:
        """Whether calls of a part of a month are priced anew by it."""
        return self.book_id in (None, book_id) and model in self.models and self.touches(window)


@dataclass(slots=True)
class Sums:
    """Of one model in one tenant's month: calls and picodollars; ``admitted`` by the prices they were admitted at."""

    requests: int = 0
    admitted: int = 0
    before: int = 0
    after: int = 0
    unsold: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked for: calls of some models that a book's prices rated, or any book's.

    ``layers`` are in the order in which they hold: the last goes before all.
    """

    models: Sequence[str]
    book_id: int | None = None
    layers: Sequence[Layer] = ()


def layers_of(*, models: Iterable[str], book_id: int | None = None) -> list[Layer]:
    """The decided re-ratings of some models, the last decided last; without a book, of every book."""
    found = Rerating.objects.filter(state__in=(States.RUNNING, States.DONE), model_names__overlap=list(models))
    if book_id is not None:
        found = found.filter(book_id=book_id)
    return [Layer.of(row) for row in found.order_by("decided_at", "id")]


def months(tenant: Tenant, start: datetime, end: datetime) -> Iterator[Period]:
    """The tenant's months, in its zone and from its anchor, that a range touches."""
    while start < end:
        period = month_of(start, tenant.timezone, tenant.billing_anchor_day)
        yield period
        start = period.end or end


def windows(tenant: Tenant, period: Period, layers: Sequence[Layer]) -> list[Window]:
    """The parts of a month that re-ratings cover, each of which one covers whole or not at all."""
    end = period.end or period.start
    cuts = {period.start, end}
    for layer in layers:
        cuts.update(moment for moment in (layer.start, layer.end) if period.start < moment < end)
    moments = sorted(cuts)
    parts = [Window(tenant.id, period.label, one, other) for one, other in pairwise(moments)]
    return [part for part in parts if any(layer.touches(part) for layer in layers)]


def sums(parts: Sequence[Window], scope: Scope, new: Layer | None = None) -> dict[tuple[int, str, str], Sums]:
    """Calls in parts of months by tenant, month and model: ``before`` by the layers there are, ``after`` with ``new``.

    With ``new``, only calls that it covers count.
    """
    stack = [*scope.layers, *([new] if new else [])]
    versions = [version for layer in stack for version in layer.versions.values()]
    groups = repricing.groups(parts, scope.models, versions)
    prices = {
        price.pk: price
        for price in Price.objects.filter(pk__in={group.price_id for group in groups}).only("book_id", "service_tier")
    }
    found: dict[tuple[int, str, str], Sums] = {}
    for group in groups:
        price, window = prices[group.price_id], group.window
        if scope.book_id not in (None, price.book_id) or (new and not new.covers(window, group.model, price.book_id)):
            continue
        one = found.setdefault((window.tenant_id, window.label, group.model), Sums())
        one.requests += group.requests
        one.admitted += group.cost
        costs = []
        for layers in (scope.layers, stack):
            held = next((layer for layer in reversed(layers) if layer.covers(window, group.model, price.book_id)), None)
            version = held.versions.get(group.model) if held else None
            repriced = repricing.reprice(group, version, price.service_tier) if version else None
            costs.append(repriced.cost if repriced else group.cost)
            one.unsold += repriced.unsold if repriced and layers is stack else 0
        one.before += costs[0]
        one.after += costs[1]
    return found
