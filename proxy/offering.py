"""What is on sale, as public pages show it: prices now and announced, limits, abilities, other names. Read-only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from billing import catalog
from billing.meters import PARENT_CLASS, SURCHARGES, TOKEN_CLASSES
from billing.models import Price
from billing.pricing import PriceList, PriceVersion
from proxy.models import Model

EXAMPLE_INPUT, EXAMPLE_OUTPUT = 1_000, 500
"""Tokens of the call that a model's page gives the cost of."""
ANNOUNCED = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Offered:
    """A model on sale. ``price`` is the version in force with its variants; ``later`` one that begins soon."""

    name: str
    aliases: tuple[str, ...]
    context_window: int
    max_output_tokens: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    deeds: tuple[str, ...]
    price: PriceVersion
    later: PriceVersion | None

    @property
    def example(self) -> int:
        """Picodollars of a call with EXAMPLE_INPUT tokens in and EXAMPLE_OUTPUT out."""
        return self.price.input * EXAMPLE_INPUT + self.price.output * EXAMPLE_OUTPUT

    def classes(self) -> list[tuple[str, int]]:
        """Token classes with a price that differs from their parent's, and those that have no parent."""
        return classes_of(self.price)

    def surcharges(self) -> list[tuple[str, int]]:
        """What is charged besides tokens: name and picodollars each."""
        return [(name, number) for name in SURCHARGES if (number := getattr(self.price, name))]

    def variants(self) -> list[tuple[PriceVersion, list[tuple[str, int]]]]:
        """Other prices and their token classes."""
        return [(one, classes_of(one)) for one in self.price.variants]


def classes_of(price: PriceVersion) -> list[tuple[str, int]]:
    """Picodollars a token of each class that is not simply its parent's price."""
    numbers = {name: getattr(price, name) for name in TOKEN_CLASSES}
    return [
        (name, number)
        for name, number in numbers.items()
        if name not in PARENT_CLASS or number != numbers[PARENT_CLASS[name]]
    ]


def offered(*, tenant_id: int | None, now: datetime, names: Sequence[str] | None = None) -> list[Offered]:
    """Models by name, priced by the tenant's own book before the default one."""
    models = Model.objects.filter(is_active=True).prefetch_related("aliases").order_by("name")
    if names is not None:
        models = models.filter(name__in=names)
    prices = _prices(tenant_id, now, names)
    return [_offered(model, *prices[model.name]) for model in models if model.name in prices]


def found(*, name: str, tenant_id: int | None, now: datetime) -> Offered | None:
    """One model, by its name or an alias."""
    if "\0" in name:  # PostgreSQL takes no such text
        return None
    own = Model.objects.filter(Q(name=name) | Q(aliases__name=name)).values_list("name", flat=True).first()
    return next(iter(offered(tenant_id=tenant_id, now=now, names=[own])), None) if own else None


def _prices(
    tenant_id: int | None, now: datetime, names: Sequence[str] | None
) -> dict[str, tuple[PriceVersion, PriceVersion | None]]:
    """The version in force and the next one of each model that has any, the tenant's own book first."""
    books = Q(book__tenant_id=None) | (Q(book__tenant_id=tenant_id) if tenant_id else Q(pk=None))
    rows = Price.objects.filter(books, effective_from__lte=now + ANNOUNCED).select_related("book")
    rows = rows.filter(Q(effective_to=None) | Q(effective_to__gt=now))
    if names is not None:
        rows = rows.filter(model__in=names)
    by_book: dict[tuple[bool, str], list[Price]] = {}
    for row in rows:
        by_book.setdefault((row.book.tenant_id is not None, row.model), []).append(row)
    chosen: dict[str, tuple[PriceVersion, PriceVersion | None]] = {}
    for (_own, model), found_rows in sorted(by_book.items()):  # the tenant's own come last and replace
        versions = _versions(found_rows)
        current = next((one for one in versions if one.effective_from <= now), None)
        if current:
            chosen[model] = current, next((one for one in versions if one.effective_from > now), None)
    return chosen


def _versions(rows: Iterable[Price]) -> tuple[PriceVersion, ...]:
    return tuple(PriceList.of(map(catalog.version_of, rows)).versions)


def _offered(model: Model, price: PriceVersion, later: PriceVersion | None) -> Offered:
    return Offered(
        model.name,
        tuple(sorted(alias.name for alias in model.aliases.all())),
        model.context_window,
        model.max_output_tokens,
        tuple(model.capabilities.get("input", ["text"])),
        tuple(model.capabilities.get("output", ["text"])),
        tuple(model.rules.get("operations", ["chat"])),
        price,
        later,
    )
