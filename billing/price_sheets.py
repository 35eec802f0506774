"""New prices of one model before they are published: as they are shown, proposed, signed and priced with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from billing import catalog
from billing.catalog import NUMBERS, Numbers, VariantPrices
from billing.meters import TOKEN_CLASSES
from billing.models import Price, PriceBook
from billing.money import PICO_PER_USD, usd
from billing.price_conditions import Conditions
from billing.pricing import PriceVersion

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
BASE = Conditions("")


@dataclass(frozen=True, slots=True)
class Sheet:
    """Prices as ``catalog.publish`` takes them; ``replaces`` is the id of the last price there was, if any."""

    model: str
    prices: Mapping[str, int]
    variants: tuple[VariantPrices, ...] = ()
    source: str = Price.Source.OPERATOR
    replaces: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "prices": dict(self.prices),
            "variants": [{**one._asdict(), "hours": [list(span) for span in one.hours]} for one in self.variants],
            "source": self.source,
            "replaces": self.replaces,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Sheet:
        """What ``as_json`` made."""
        variants = tuple(
            VariantPrices(
                one["variant"], one["above_tokens"], one["service_tier"],
                tuple((start, end) for start, end in one["hours"]), dict(one["prices"]),
            )
            for one in row["variants"]
        )  # fmt: skip
        return cls(row["model"], dict(row["prices"]), variants, row["source"], row["replaces"])

    def numbers(self) -> dict[Conditions, Numbers]:
        """Every number by conditions; raises PriceProblem for numbers and conditions that are none."""
        return catalog.completed(dict(self.prices), self.variants)

    def version(self) -> PriceVersion:
        """The price as if it were stored, for rating; its id is 0."""
        rows = [
            PriceVersion(0, NEVER, None, **numbers, **when._asdict())  # type: ignore[arg-type]
            for when, numbers in self.numbers().items()
        ]
        return replace(rows[0], variants=tuple(rows[1:]))


def last_version(book: PriceBook, model: str) -> PriceVersion | None:
    """The last published price of a model in a book, in force or not yet, with its variants."""
    versions = catalog.price_list(book, model).versions
    return versions[-1] if versions else None


def sheet_of(version: PriceVersion, model: str) -> Sheet:
    """A stored price as a sheet that says every number."""
    base, *variants = catalog.numbers_of(version).items()
    return Sheet(
        model=model,
        prices=_said(base[1]),
        variants=tuple(VariantPrices(*when, _said(numbers)) for when, numbers in variants),
        replaces=version.id,
    )


def replacing(sheets: Iterable[Sheet], book: PriceBook) -> list[Sheet]:
    """The sheets with the price each would replace now."""
    return [replace(one, replaces=last.id if (last := last_version(book, one.model)) else None) for one in sheets]


def shown(name: str, number: int | None) -> str:
    """A token price as USD per 1M, a surcharge as USD each."""
    if number is None:
        return "none"
    return usd(number * (PICO_PER_USD // 10**6) if name in TOKEN_CLASSES else number)


def own_numbers(sheet: Sheet) -> list[tuple[str, str]]:
    """What a sheet says itself, as texts: what its classes take from their parents is left out."""
    parts = [("", sheet.prices), *((f"{one.variant}: ", one.prices) for one in sheet.variants)]
    return [
        (f"{when}{name}", shown(name, number))
        for when, prices in parts
        for name, number in prices.items()
        if number or name != "per_request"
    ]


def _said(numbers: Numbers) -> dict[str, int]:
    return {name: number for name in NUMBERS if (number := numbers[name]) is not None}
