"""What last month's bills would have been at new prices, before they are published, and what speaks against them.

Only reads, as operator. Each tenant's last month is the one its zone and anchor say. What its contract makes of the
month (tiers, free tokens, a minimum) is in both numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db import OperationalError, transaction
from django.db.models import Q

from billing import contract_effect, markups, parties, price_sheets, rerating_stack
from billing.catalog import Numbers
from billing.markups import Routes
from billing.meters import PARENT_CLASS, TOKEN_CLASSES
from billing.models import CostPrice, Price, PriceBook
from billing.parties import Tenant
from billing.periods import last_ended
from billing.price_conditions import Conditions
from billing.price_sheets import NEVER, Sheet, shown
from billing.repricing import Window
from billing.rerating_stack import Layer, Scope, Sums

FAR = datetime(9999, 1, 1, tzinfo=UTC)
STEEP = 20
"""A rise of more than this many percent is pointed out."""


class PreviewProblem(Exception):
    """A preview that cannot be counted, in plain words."""


@dataclass(frozen=True, slots=True)
class Bill:
    """A tenant's calls of the models in question in its last month: picodollars as they were charged, and anew.

    Where ``has_contract``, with what the contract makes of the whole month.
    """

    tenant_id: int
    slug: str
    label: str
    requests: int
    before: int
    after: int
    has_contract: bool = False

    @property
    def difference(self) -> int:
        """Positive where it would have been dearer."""
        return self.after - self.before

    @property
    def basis_points(self) -> int | None:
        """The difference's share of what was charged, cut towards zero; None if nothing was."""
        if not self.before:
            return None
        return abs(self.difference) * 10_000 // self.before * (1 if self.difference >= 0 else -1)


@dataclass(frozen=True, slots=True)
class Preview:
    """The bills, the largest change first, and their sum. ``unsold`` counts surcharges used that are sold no more."""

    bills: tuple[Bill, ...]
    total: Bill
    unsold: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of a price before and after; None is no price."""

    model: str
    when: str
    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Objection:
    """Something to look at before publishing."""

    model: str
    text: str


def last_month(*, book: PriceBook, sheets: Sequence[Sheet], starts_at: datetime, now: datetime) -> Preview:
    """Last month's bills of everyone who would pay these prices from ``starts_at`` on, exact.

    Raises PreviewProblem if there are more calls than can be counted while somebody waits.
    """
    models = [sheet.model for sheet in sheets]
    new = Layer(0, None, None, NEVER, FAR, frozenset(models), {sheet.model: sheet.version() for sheet in sheets})
    asked = _Asked(
        scope=Scope(models, None, rerating_stack.layers_of(models=models)),
        new=new,
        others=_with_own_price(book, models, starts_at),
        now=now,
    )
    tenants = {tenant.id: tenant for tenant in _payers(book)}
    parts = [part for tenant in tenants.values() for part in _parts(tenant, asked)]
    asked = replace(asked, contracts=contract_effect.with_terms(parts))
    try:
        with transaction.atomic():
            found = _sums(parts, asked)
            bills = [_bill(tenants[tenant_id], label, sums, asked) for (tenant_id, label), sums in found.items()]
    except OperationalError:
        raise PreviewProblem("Last month has too many calls of these models to count here: choose fewer.") from None
    bills.sort(key=lambda bill: (-abs(bill.difference), bill.slug))
    totals = (sum(getattr(bill, name) for bill in bills) for name in ("requests", "before", "after"))
    unsold = sum(sums.unsold for models_of in found.values() for sums in models_of.values())
    return Preview(tuple(bills), Bill(0, "", "", *totals), unsold)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What last month is asked for.

    ``others`` are tenants and models that the prices are not for, ``contracts`` the tenants with terms.
    """

    scope: Scope
    new: Layer
    others: set[tuple[int, str]]
    now: datetime
    contracts: frozenset[int] = frozenset()


def _sums(parts: Sequence[Window], asked: _Asked) -> dict[tuple[int, str], dict[str, Sums]]:
    """Sums by tenant's month, and in it by model."""
    found: dict[tuple[int, str], dict[str, Sums]] = {}
    for (tenant_id, label, model), one in rerating_stack.sums(parts, asked.scope, asked.new).items():
        if (tenant_id, model) not in asked.others:
            found.setdefault((tenant_id, label), {})[model] = one
    return found


def _bill(tenant: Tenant, label: str, sums: dict[str, Sums], asked: _Asked) -> Bill:
    before, after = (sum(getattr(one, name) for one in sums.values()) for name in ("before", "after"))
    requests = sum(one.requests for one in sums.values())
    if tenant.id not in asked.contracts:
        return Bill(tenant.id, tenant.slug, label, requests, before, after)
    parts = _parts(tenant, asked)

    def change(span: contract_effect.Span) -> dict[str, int]:
        clipped = [
            replace(part, start=max(part.start, span[0]), end=min(part.end, span[1]))
            for part in parts
            if part.start < span[1] and span[0] < part.end
        ]
        of_span = _sums(clipped, asked).get((tenant.id, label), {})
        return {model: one.after - one.before for model, one in of_span.items()}

    effect = contract_effect.of_month(tenant=tenant, label=label, now=asked.now, change=change)
    return Bill(tenant.id, tenant.slug, label, requests, before + effect.before, after + effect.after, True)


def differences(book: PriceBook, sheets: Sequence[Sheet]) -> list[Difference]:
    """Every number that changes against the last price of its model in the book, by model and conditions."""
    return [one for sheet in sheets for one in _differences(book, sheet)]


def objections(*, book: PriceBook, sheets: Sequence[Sheet], routes: Routes, starts_at: datetime) -> list[Objection]:
    """What speaks against prices: below cost at an upstream, a class that falls to nothing, a steep rise."""
    costs = markups.costs_in_force(routes, starts_at)
    found = []
    for sheet in sheets:
        base = sheet.numbers()[Conditions("")]
        for route in routes.get(sheet.model, ()):
            cost = costs.get(route)
            below = [name for name in TOKEN_CLASSES if cost and _is_below(name, base, cost)]
            if below and cost:
                said = ", ".join(
                    f"{name} {shown(name, base[name])} < {shown(name, getattr(cost, name))}" for name in below
                )
                found.append(Objection(sheet.model, f"below what {route[0]} charges for {route[1]}: {said}"))
        found += [Objection(sheet.model, text) for text in _steps(_differences(book, sheet))]
    return found


def _is_below(name: str, base: Numbers, cost: CostPrice) -> bool:
    """Whether a class is sold below its cost; one that follows its parent in both is told by its parent."""
    parent = PARENT_CLASS.get(name)
    if parent and base[name] == base[parent] and getattr(cost, name) == getattr(cost, parent):
        return False
    return bool((base[name] or 0) < getattr(cost, name))


def _follows(name: str, old: Numbers, new: Numbers) -> bool:
    """Whether a number says nothing of its own: it is its parent's before and after, or a request that is free."""
    if name == "per_request":
        return not old.get(name) and not new.get(name)
    parent = PARENT_CLASS.get(name, name)
    return parent != name and old.get(name) == old.get(parent) and new.get(name) == new.get(parent)


def _steps(changes: Iterator[Difference]) -> Iterator[str]:
    for one in changes:
        name = f"{one.when}: {one.name}" if one.when else one.name
        if one.before and one.after == 0:
            yield f"{name} falls from {shown(one.name, one.before)} to 0"
        elif one.before and one.after is None:
            yield f"{name} is no longer sold"
        elif one.before and one.after and one.after * 100 > one.before * (100 + STEEP):
            rise = (one.after - one.before) * 100 // one.before
            yield f"{name} rises by {rise:,} %, from {shown(one.name, one.before)} to {shown(one.name, one.after)}"


def _differences(book: PriceBook, sheet: Sheet) -> Iterator[Difference]:
    last = price_sheets.last_version(book, sheet.model)
    before = price_sheets.sheet_of(last, sheet.model).numbers() if last else {}
    after = sheet.numbers()
    none: Numbers = {}
    for when in dict.fromkeys((*after, *before)):
        old, new = before.get(when, none), after.get(when, none)
        for name in dict.fromkeys((*new, *old)):
            if old.get(name) != new.get(name) and not _follows(name, old, new):
                yield Difference(sheet.model, when.variant, name, old.get(name), new.get(name))


def _payers(book: PriceBook) -> list[Tenant]:
    """Whose prices a book has: one tenant's, or everyone's."""
    if book.tenant_id is not None:
        return parties.tenants_by_id([book.tenant_id])
    return list(parties.every_tenant())


def _parts(tenant: Tenant, asked: _Asked) -> list[Window]:
    period = last_ended(asked.now, tenant.timezone, tenant.billing_anchor_day)
    return rerating_stack.windows(tenant, period, (*asked.scope.layers, asked.new))


def _with_own_price(book: PriceBook, models: Sequence[str], at: datetime) -> set[tuple[int, str]]:
    """Tenants and models that the default book's prices are not for, as there is an own price in force then."""
    if book.tenant_id is not None:
        return set()
    found = Price.objects.filter(
        Q(effective_to__isnull=True) | Q(effective_to__gt=at),
        model__in=models, variant="", effective_from__lte=at, book__tenant__isnull=False,
    )  # fmt: skip
    return set(found.values_list("book__tenant_id", "model"))
