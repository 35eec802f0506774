"""Price books: which prices are in force when. The only writer of PriceBook and Price rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.models import Price, PriceBook
from billing.pricing import PriceList, PriceVersion, PricingProblem, with_inherited

MOST_PRICE = 10**12
"""One million USD per 1M tokens: anything above is a typing error."""
FURTHEST_AHEAD = timedelta(days=366)
"""A published price blocks every earlier one: a slip in its year must not block them for long."""

NUMBERS = (*TOKEN_CLASSES, *SURCHARGES)


class PriceProblem(Exception):
    """A price that cannot be published, in words for the person who typed it."""


def default_book() -> PriceBook:
    """The book of everyone who has none of their own; made on first use."""
    return PriceBook.objects.get_or_create(tenant=None, defaults={"name": "Default"})[0]


def version_of(price: Price) -> PriceVersion:
    """A stored price as the pure value that rates usage."""
    numbers = {name: getattr(price, name) for name in NUMBERS}
    return PriceVersion(price.id, price.effective_from, price.effective_to, **numbers)


def versions_by_id(ids: Iterable[int]) -> dict[int, PriceVersion]:
    """Frozen price versions by id, for rating stored events."""
    return {price.id: version_of(price) for price in Price.objects.filter(id__in=set(ids))}


def price_list(book: PriceBook, model: str) -> PriceList:
    """The versions of one model in one book, in order of time."""
    found = Price.objects.filter(book=book, model=model).order_by("effective_from")
    return PriceList(tuple(version_of(price) for price in found))


@transaction.atomic
def publish(
    *, book: PriceBook, model: str, prices: dict[str, int], effective_from: datetime, now: datetime
) -> Price | None:
    """Make ``prices`` the ones in force from a moment on, closing the open version there; None if nothing changes.

    Token classes are micro-USD per 1M tokens, surcharges picodollars each. A class left out takes its parent's
    number. Raises PriceProblem for back-dating, overlaps, holes and numbers that are none.
    """
    numbers, inherited = _complete(prices)
    PriceBook.objects.select_for_update().get(pk=book.pk)
    versions = list(Price.objects.filter(book=book, model=model).order_by("effective_from"))
    last = versions[-1] if versions else None
    if last and last.effective_to is None and last.effective_from <= effective_from and _same(last, numbers):
        return None
    if effective_from < now:
        raise PriceProblem(f"{model}: a price cannot start in the past ({effective_from:%Y-%m-%d %H:%M:%S %Z}).")
    if effective_from > now + FURTHEST_AHEAD:
        raise PriceProblem(
            f"{model}: a price is published at most a year ahead, as nothing can be changed before it starts."
        )
    if last:
        _close(last, effective_from, now)
    return Price.objects.create(
        book=book, model=model, effective_from=effective_from, inherited=inherited, created_at=now, **numbers
    )


def _complete(prices: dict[str, int]) -> tuple[dict[str, int | None], list[str]]:
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
    return {**full, **surcharges, "per_request": prices.get("per_request", 0)}, inherited


def _same(price: Price, numbers: dict[str, int | None]) -> bool:
    return all(getattr(price, name) == numbers[name] for name in NUMBERS)


def _close(last: Price, moment: datetime, now: datetime) -> None:
    """End the last version where the new one starts; what is agreed for later, or ends later, is in the way."""
    if last.effective_from >= moment:
        raise PriceProblem(
            f"{last.model}: a price from {last.effective_from:%Y-%m-%d %H:%M:%S %Z} on is already published; "
            "a new one must start later."
        )
    if last.effective_to is None:
        last.effective_to = moment
        last.save(update_fields=["effective_to"])
    elif last.effective_to > moment:
        raise PriceProblem(f"{last.model}: the price in force ends only at {last.effective_to:%Y-%m-%d %H:%M:%S %Z}.")
    elif now < last.effective_to < moment:
        raise PriceProblem(
            f"{last.model}: there would be no price from {last.effective_to:%Y-%m-%d %H:%M:%S %Z} until the new one."
        )
