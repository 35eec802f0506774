"""Applying prices with their variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from billing import catalog, price_sheets, proposals
from billing.catalog import Numbers, VariantPrices
from billing.meters import PARENT_CLASS, TOKEN_CLASSES
from billing.models import Price, PriceProposal
from billing.money import PICO_PER_USD, usd
from billing.price_conditions import Conditions
from billing.price_sheets import Sheet
from billing.pricing import PriceVersion
from billing.proposals import Change
from proxy.apply.changes import Changes
from proxy.apply.document import ModelPart, PricePart

BASE = Conditions("")


def apply_price(part: ModelPart, changes: Changes, *, now: datetime) -> None:
    """Publish, or propose, a new price version in the default book where the numbers differ from those in force."""
    book = catalog.default_book()
    if part.price is None:
        if not Price.objects.filter(book=book, model=part.name).exists():
            changes.noted(f"model {part.name} has no price: calls to it are refused")
        return
    moment = max(part.price.effective_from or now, now)
    before = catalog.price_list(book, part.name).published(moment)
    variants = _variants(part.price, before)
    prices = part.price.prices
    try:
        wanted = catalog.completed(prices, variants)
        stored = catalog.numbers_of(before) if before else {}
        if stored == wanted:
            return
        sheet = Sheet(part.name, prices, tuple(variants), part.price.source)
        change = _change(price_sheets.replacing([sheet], book), part.price.effective_from, changes)
        if not proposals.four_eyes():
            proposals.publish(change, now=now)
        elif proposals.is_new(change, now=now):
            changes.proposed.extend((one, change.effective_from) for one in change.sheets)
        else:
            changes.noted(f"price {part.name}: the same change waits for approval")
            return
    except (catalog.PriceProblem, proposals.ProposalProblem) as problem:
        raise changes.problem(f"[[models]] {part.name}: price", "", problem) from None
    _tell(part.name, stored, wanted, moment, changes)
    if part.price.variants is None and variants:
        changes.noted(f"price {part.name} keeps its variants: {', '.join(one.variant for one in variants)}")


def propose(changes: Changes, *, now: datetime) -> None:
    """Where prices need a second operator: propose all that the document changes, one proposal for each start."""
    starts: dict[datetime | None, list[Sheet]] = {}
    for sheet, since in changes.proposed:
        starts.setdefault(since, []).append(sheet)
    for since, sheets in starts.items():
        made = proposals.propose(_change(sheets, since, changes), actor_id=None, now=now)
        changes.noted(f"prices of {len(sheets)} models wait for a second operator: {made}")


def _change(sheets: Sequence[Sheet], since: datetime | None, changes: Changes) -> Change:
    return Change(catalog.default_book(), sheets, since, PriceProposal.Origin.APPLY, changes.file)


def _variants(part: PricePart, before: PriceVersion | None) -> list[VariantPrices]:
    """Those of the document; where it lists none at all, those in force."""
    if part.variants is not None:
        return [VariantPrices(*one.conditions, one.prices) for one in part.variants]
    stored = catalog.numbers_of(before) if before else {}
    return [
        VariantPrices(*when, {name: number for name, number in numbers.items() if number is not None})
        for when, numbers in stored.items()
        if when != BASE
    ]


def _tell(
    model: str,
    before: Mapping[Conditions, Numbers],
    wanted: Mapping[Conditions, Numbers],
    moment: datetime,
    changes: Changes,
) -> None:
    """One line for the base price and for each variant that differs."""
    since = f"from {moment:%Y-%m-%d %H:%M:%S} UTC"
    for when, numbers in wanted.items():
        what, old = _title(model, when), before.get(when)
        if old is None:
            changes.made(f"{what}: {_own(numbers)} {since}")
        elif differences := [
            f"{name} {_shown(name, old[name])} → {_shown(name, number)}"
            for name, number in numbers.items()
            if old[name] != number
        ]:
            changes.changed(what, f"{', '.join(differences)} {since}")
    for when in before:
        if when not in wanted:
            changes.removed(f"{_title(model, when)} {since}")


def _title(model: str, when: Conditions) -> str:
    return f"price {model}, {when.variant}" if when.variant else f"price {model}"


def _own(numbers: Numbers) -> str:
    """The numbers that are not just those of a parent class, or no surcharge."""
    own = [
        f"{name} {_shown(name, number)}"
        for name, number in numbers.items()
        if (number != numbers[PARENT_CLASS[name]] if name in PARENT_CLASS else number or name in TOKEN_CLASSES)
    ]
    return ", ".join(own)


def _shown(name: str, number: int | None) -> str:
    """A token price as USD per 1M, a surcharge as USD."""
    if number is None:
        return "none"
    return usd(number * (PICO_PER_USD // 10**6) if name in TOKEN_CLASSES else number)
