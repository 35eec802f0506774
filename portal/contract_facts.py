"""A tenant's contract as people and the API see it: what is reached of each tier, and what is left of what is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing import contract_months, contract_words
from billing.contract_months import Stretch
from billing.contract_sums import USD, FreePart, TierPart
from billing.models import Terms
from billing.money import usd
from portal import figures
from portal.models import Tenant

WIDTH = 1000
"""Of the bars on the page."""


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of something is used: words, and the part of the bar that is filled."""

    label: str
    used: str
    of: str
    left: str
    width: int


@dataclass(frozen=True, slots=True)
class TierRow:
    """One tier: where it begins, its price, what is in it, and whether the month has come to it."""

    above: str
    price: str
    quantity: str
    is_reached: bool


@dataclass(frozen=True, slots=True)
class TierTable:
    """Tiers of some usage. ``to_next`` is what ends the tier that is reached; empty in the last."""

    label: str
    rows: tuple[TierRow, ...]
    to_next: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A contract and what it makes of the running month, in picodollars."""

    terms: Terms
    listed: int
    total: int
    bars: tuple[Bar, ...]
    tables: tuple[TierTable, ...]


def shown(*, tenant: Tenant, label: str, now: datetime) -> list[Shown]:
    """The contracts of a month, for the page; none is an empty list."""
    return [_shown(stretch) for stretch in contract_months.outcomes(tenant=tenant, label=label, now=now)]


def coming(*, tenant: Tenant, now: datetime) -> Terms | None:
    """Terms that are agreed and have not begun."""
    return Terms.objects.filter(tenant_id=tenant.pk, effective_from__gt=now).order_by("effective_from").first()


def as_json(*, tenant: Tenant, label: str, now: datetime) -> list[dict[str, Any]]:
    """The contracts of a month, for the API: USD, tokens and per cent as texts."""
    return [_as_json(stretch) for stretch in contract_months.outcomes(tenant=tenant, label=label, now=now)]


def how(detail: Mapping[str, Any]) -> list[str]:
    """How the amount of an invoice's line came about, a sentence each; nothing if that is not known."""
    if "tiers" in detail:
        rows = [(number, row) for number, row in enumerate(detail["tiers"], 1) if row["quantity"] not in ("0", "0.00")]
        sums = f"{_usd(detail['list_price'])} at list price, {_usd(detail['price'])} under the contract."
        return [*(_tier_sentence(number, row) for number, row in rows), sums]
    if "agreed" in detail:
        return [
            f"{_usd(detail['agreed'])} are agreed, {_usd(detail['spent'])} used, {_usd(detail['missing'])} missing."
        ]
    if "worth" in detail:
        counts = (figures.count(int(detail[name])) for name in ("used", "granted"))
        return [
            "{} of {} free tokens, each at the average price of them all: {}.".format(*counts, _usd(detail["worth"]))
        ]
    if "granted" in detail:
        return [f"{_usd(detail['used'])} of {_usd(detail['granted'])} that are free."]
    return []


def _shown(stretch: Stretch) -> Shown:
    month = stretch.outcome
    bars = []
    if month.minimum:
        met = min(month.minimum.spent, month.minimum.agreed)
        bars.append(_bar("Minimum", met, month.minimum.agreed, "still to be used, or charged when the month ends"))
    if month.free_amount:
        bars.append(_bar("Free amount", -month.free_amount.exact, month.free_amount.granted, "left"))
    bars += [_free_bar(part) for part in month.free_tokens]
    tables = tuple(_table(part) for part in month.tiers)
    return Shown(stretch.terms, month.listed + month.besides, month.spent, tuple(bars), tables)


def _bar(label: str, used: int, of: int, left: str) -> Bar:
    rest = max(0, of - used)
    words = f"{figures.short(rest)} {left}" if rest else "all of it"
    return Bar(label, figures.short(used), figures.short(of), words, _width(used, of))


def _free_bar(part: FreePart) -> Bar:
    left = f"{figures.count(part.granted - part.used)} tokens left" if part.granted > part.used else "all of them"
    label = f"Free tokens, {_usage(part)}"
    return Bar(label, figures.count(part.used), figures.count(part.granted), left, _width(part.used, part.granted))


def _width(used: int, of: int) -> int:
    return max(0, min(WIDTH, WIDTH * used // of)) if of else WIDTH


def _table(part: TierPart) -> TierTable:
    money = part.rule.unit == USD
    rows = tuple(
        TierRow(
            above=figures.exact(above) if money else figures.count(above),
            price=f"{row['discount_percent']} % off" if money else f"{figures.per_million(price)} per 1M",
            quantity=_usd(row["quantity"]) if money else figures.count(int(row["quantity"])),
            is_reached=place == part.reached,
        )
        for place, (above, price, row) in enumerate(
            zip(part.rule.tiers.thresholds, part.rule.tiers.prices, contract_words.tier_rows(part), strict=True), 1
        )
    )
    left = part.to_next
    to_next = "" if left is None else figures.short(left) if money else f"{figures.count(left)} tokens"
    label = f"{part.rule.tiers.mode.title()} {'discount on' if money else 'price of'} {_usage(part)}"
    return TierTable(label, rows, to_next)


def _usage(part: TierPart | FreePart) -> str:
    models = "all models" if part.rule.pattern == "*" else part.rule.pattern
    return f"{models}, {part.rule.token_class.replace('_', ' ')}" if part.rule.token_class else models


def _as_json(stretch: Stretch) -> dict[str, Any]:
    month, terms = stretch.outcome, stretch.terms
    amount, minimum = month.free_amount, month.minimum
    return {
        "effective_from": terms.effective_from,
        "effective_to": terms.effective_to,
        "note": terms.note,
        "list_price": usd(month.listed + month.besides),
        "price": usd(month.total),
        "tiers": [_tier_json(part) for part in month.tiers],
        "free_tokens": [_free_json(part) for part in month.free_tokens],
        "free_amount": amount
        and {"granted": usd(amount.granted), "used": usd(-amount.exact), "left": usd(amount.granted + amount.exact)},
        "minimum": minimum
        and {"agreed": usd(minimum.agreed), "spent": usd(minimum.spent), "missing": usd(minimum.missing)},
    }


def _tier_json(part: TierPart) -> dict[str, Any]:
    money = part.rule.unit == USD
    return {
        "models": part.rule.pattern,
        "token_class": part.rule.token_class,
        "mode": part.rule.tiers.mode,
        "unit": part.rule.unit,
        "quantity": usd(part.quantity) if money else str(part.quantity),
        "reached": part.reached,
        "to_next": None if part.to_next is None else usd(part.to_next) if money else str(part.to_next),
        "list_price": usd(part.listed),
        "price": usd(part.listed + part.exact),
        "tiers": contract_words.tier_rows(part),
    }


def _free_json(part: FreePart) -> dict[str, Any]:
    return {
        "models": part.rule.pattern,
        "token_class": part.rule.token_class,
        "granted": str(part.granted),
        "used": str(part.used),
        "left": str(part.granted - part.used),
        "worth": usd(-part.exact),
    }


def _tier_sentence(number: int, row: Mapping[str, str]) -> str:
    if "discount_percent" in row:
        above, quantity = _usd(row["above"]), f"{_usd(row['quantity'])} at list price"
        price = f"{row['discount_percent']} % off"
    else:
        above, quantity = figures.count(int(row["above"])), f"{figures.count(int(row['quantity']))} tokens"
        price = f"{_usd(row['price_per_million'])} per 1M"
    return f"Tier {number}, above {above}: {quantity}, {price}."


def _usd(text: str) -> str:
    """A stored amount as it is shown."""
    return f"${text}"
