"""Price books: which prices are in force when. The only writer of PriceBook and Price rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from billing import price_conditions
from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.models import Price, PriceBook
from billing.price_conditions import ConditionProblem, Conditions
from billing.pricing import PriceList, PriceVersion, PricingProblem, Window, frozen, with_inherited

MOST_PRICE = 10**12
"""One million USD per 1M tokens: anything above is a typing error."""
FURTHEST_AHEAD = timedelta(days=366)
"""A published price blocks every earlier one: a slip in its year must not block them for long."""
LAST_MOMENT = timedelta(minutes=1)
"""A price that is about to begin is not withdrawn: a gateway whose clock is ahead may have admitted by it."""

Numbers = dict[str, int | None]
"""Prices by name; None is a surcharge that is not sold."""
NUMBERS = (*TOKEN_CLASSES, *SURCHARGES)
FROM_BASE = ("input", "output", *SURCHARGES)
"""What a variant takes from the base price where it says nothing."""


class VariantPrices(NamedTuple):
    """Other prices of a model for requests with more prompt tokens, in a service tier, or in some hours of the day."""

    variant: str
    above_tokens: int
    service_tier: str
    hours: tuple[Window, ...]
    prices: dict[str, int]


class PriceProblem(Exception):
    """A price that cannot be published, in words for the person who typed it."""


def default_book() -> PriceBook:
    """The book of everyone who has none of their own; made on first use."""
    return PriceBook.objects.get_or_create(tenant=None, defaults={"name": "Default"})[0]


def own_book(*, tenant_id: int, name: str) -> PriceBook:
    """A tenant's own book; made on first use. What has no price in it costs what the default book says."""
    return PriceBook.objects.get_or_create(tenant_id=tenant_id, defaults={"name": name[:100]})[0]


def version_of(price: Price) -> PriceVersion:
    """A stored row, the base price or a variant, as the pure value that rates usage; without its variants."""
    numbers = {name: getattr(price, name) for name in NUMBERS}
    hours = tuple((start, end) for start, end in price.hours)
    return PriceVersion(
        price.id, price.effective_from, price.effective_to, **numbers,
        variant=price.variant, above_tokens=price.above_tokens, service_tier=price.service_tier, hours=hours,
    )  # fmt: skip


def versions_by_id(ids: Iterable[int]) -> dict[int, PriceVersion]:
    """Frozen prices by id, for rating stored events, with the variants a call admitted by one can still come to."""
    rows = list(Price.objects.filter(id__in=set(ids)))
    beside: dict[tuple[int, str, datetime], list[PriceVersion]] = {
        (row.book_id, row.model, row.effective_from): [] for row in rows
    }
    books, models, moments = (set(part) for part in zip(*beside, strict=True)) if beside else ((), (), ())
    found = Price.objects.filter(book__in=books, model__in=models, effective_from__in=moments).exclude(variant="")
    for row in found:
        beside.setdefault((row.book_id, row.model, row.effective_from), []).append(version_of(row))
    return {row.id: frozen(version_of(row), beside[row.book_id, row.model, row.effective_from]) for row in rows}


def price_list(book: PriceBook, model: str) -> PriceList:
    """The versions of one model in one book, in order of time, with their variants."""
    return PriceList.of(version_of(price) for price in Price.objects.filter(book=book, model=model))


@transaction.atomic
def publish(
    *,
    book: PriceBook,
    model: str,
    prices: dict[str, int],
    effective_from: datetime,
    now: datetime,
    variants: Sequence[VariantPrices] = (),
    source: str = Price.Source.OPERATOR,
) -> Price | None:
    """Make ``prices`` the ones in force from a moment on, closing the open version there; None if nothing changes.

    Token classes are micro-USD per 1M tokens, surcharges picodollars each. A class left out takes its parent's
    number; ``input``, ``output`` and surcharges left out of a variant take the base price's. ``variants`` are all there
    are from then on. ``source`` says who set the numbers, and alone changes nothing. Raises PriceProblem for
    back-dating, overlaps, holes, conditions and numbers that are none.
    """
    wanted = _rows(prices, variants)
    PriceBook.objects.select_for_update().get(pk=book.pk)
    last = _bases(book, model).last()
    if last and last.effective_to is None and last.effective_from <= effective_from and _is_stored(last, wanted):
        return None
    if effective_from < now:
        raise PriceProblem(f"{model}: a price cannot start in the past ({effective_from:%Y-%m-%d %H:%M:%S %Z}).")
    if effective_from > now + FURTHEST_AHEAD:
        raise PriceProblem(
            f"{model}: a price is published at most a year ahead, as nothing can be changed before it starts."
        )
    if last:
        _close(last, effective_from, now)
    base, *_variants = [
        Price.objects.create(
            book=book, model=model, effective_from=effective_from, source=source, created_at=now,
            inherited=inherited, **conditions._asdict(), **numbers,
        )
        for conditions, (numbers, inherited) in wanted.items()
    ]  # fmt: skip
    return base


@transaction.atomic
def withdraw(price: Price, now: datetime) -> None:
    """Take back a published price that has not begun, with its variants, and open again what it would have ended.

    Raises PriceProblem if it has begun, or is about to, or if a later price is published.
    """
    PriceBook.objects.select_for_update().get(pk=price.book_id)
    if reason := why_it_stays(price, now):
        raise PriceProblem(f"{price.model}: {reason}.")
    of_model = Price.objects.filter(book=price.book_id, model=price.model)
    of_model.filter(effective_from=price.effective_from).delete()
    of_model.filter(effective_to=price.effective_from).update(effective_to=None)


def why_it_stays(price: Price, now: datetime) -> str:
    """Why a price cannot be withdrawn, in words; empty if it can."""
    last = _bases(price.book, price.model).last()
    if last is None or last.effective_from < price.effective_from:
        return "this price is withdrawn already"
    if price.effective_from <= now + LAST_MOMENT:
        return "this price is in force or was, so it stays"
    if last.effective_from > price.effective_from:
        later = f"{last.effective_from:%Y-%m-%d %H:%M:%S %Z}"
        return f"a price from {later} on is published, too; withdraw that one first"
    return ""


def completed(prices: dict[str, int], variants: Sequence[VariantPrices] = ()) -> dict[Conditions, Numbers]:
    """Every number of a price and its variants by conditions, as publishing them completes them, or PriceProblem."""
    return {when: numbers for when, (numbers, _inherited) in _rows(prices, variants).items()}


def numbers_of(version: PriceVersion) -> dict[Conditions, Numbers]:
    """The numbers of a version and its variants by conditions, to compare with ``completed``."""
    return {
        Conditions(one.variant, one.above_tokens, one.service_tier, one.hours): {
            name: getattr(one, name) for name in NUMBERS
        }
        for one in (version, *version.variants)
    }


def _bases(book: PriceBook, model: str) -> QuerySet[Price]:
    """The base prices of a model by time; variants begin and end with them."""
    return Price.objects.filter(book=book, model=model, variant="").order_by("effective_from")


def _rows(prices: dict[str, int], variants: Sequence[VariantPrices]) -> dict[Conditions, tuple[Numbers, list[str]]]:
    """The numbers of the base price and of each variant, and which of them are inherited, by conditions."""
    base = _complete(prices)
    conditions = [Conditions(one.variant, one.above_tokens, one.service_tier, tuple(one.hours)) for one in variants]
    try:
        price_conditions.check(conditions)
    except ConditionProblem as problem:
        raise PriceProblem(f"{problem}.") from None
    rows = {Conditions(""): base}
    for one, when in zip(variants, conditions, strict=True):
        taken = {name: number for name in FROM_BASE if name not in one.prices and (number := base[0][name]) is not None}
        try:
            numbers, inherited = _complete({**taken, **one.prices})
        except PriceProblem as problem:
            raise PriceProblem(f"{one.variant}: {problem}") from None
        rows[when] = numbers, [*(name for name in ("input", "output") if name in taken), *inherited]
    return rows


def _complete(prices: dict[str, int]) -> tuple[Numbers, list[str]]:
    for name, number in prices.items():
        if name not in NUMBERS:
            raise PriceProblem(f"{name!r} is not a token class or surcharge.")
        if type(number) is not int or not 0 <= number <= MOST_PRICE:
            raise PriceProblem(f"{name}: a price is from 0 to 1,000,000 USD per 1M tokens.")
    classes = {name: number for name, number in prices.items() if name in TOKEN_CLASSES}
    try:
        full, inherited = with_inherited(classes)
    except PricingProblem as problem:
        raise PriceProblem(f"{problem}.") from None
    surcharges = {name: prices.get(name) for name in SURCHARGES}
    numbers: Numbers = {**full, **surcharges, "per_request": prices.get("per_request", 0)}
    return {name: numbers[name] for name in NUMBERS}, inherited


def _is_stored(last: Price, wanted: dict[Conditions, tuple[Numbers, list[str]]]) -> bool:
    """Whether a version and its variants are exactly these."""
    rows = Price.objects.filter(book=last.book_id, model=last.model, effective_from=last.effective_from)
    (stored,) = PriceList.of(map(version_of, rows)).versions
    return numbers_of(stored) == {when: numbers for when, (numbers, _inherited) in wanted.items()}


def _close(last: Price, moment: datetime, now: datetime) -> None:
    """End the last version where the new one starts; what is agreed for later, or ends later, is in the way."""
    if last.effective_from >= moment:
        raise PriceProblem(
            f"{last.model}: a price from {last.effective_from:%Y-%m-%d %H:%M:%S %Z} on is already published; "
            "a new one must start later, or that one be withdrawn first."
        )
    if last.effective_to is None:
        of_version = Price.objects.filter(book=last.book_id, model=last.model, effective_from=last.effective_from)
        of_version.filter(effective_to=None).update(effective_to=moment)
    elif last.effective_to > moment:
        raise PriceProblem(f"{last.model}: the price in force ends only at {last.effective_to:%Y-%m-%d %H:%M:%S %Z}.")
    elif now < last.effective_to < moment:
        raise PriceProblem(
            f"{last.model}: there would be no price from {last.effective_to:%Y-%m-%d %H:%M:%S %Z} until the new one."
        )
