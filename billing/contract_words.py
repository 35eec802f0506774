"""How a contract's part of a month is said: on invoice lines in the tenant's language, and as detail behind them."""

from __future__ import annotations

from typing import Any

from billing.contract_sums import USD, AmountPart, FreePart, Part, TierPart
from billing.contract_windows import Window
from billing.documents.conventions import Convention, convention
from billing.documents.words import words
from billing.money import format_minor, per_cent, round_to_minor, usd

MOST = 200
"""The longest description of a charge."""


def said(part: Part, language: str) -> str:
    """The words of an invoice line; amounts to the cent."""
    says, local = words(language), convention(language)
    if isinstance(part, TierPart):
        name = f"tier_{part.rule.tiers.mode}_{part.rule.unit}"
        quantity = cents(part.quantity, local) if part.rule.unit == USD else local.number(str(part.quantity))
        text = says[name].format(what=_what(part, says), quantity=quantity, tier=part.reached)
    elif isinstance(part, FreePart):
        used, granted = local.number(str(part.used)), local.number(str(part.granted))
        text = says["free_tokens"].format(what=_what(part, says), used=used, granted=granted)
    elif isinstance(part, AmountPart):
        text = says["free_amount"].format(granted=cents(part.granted, local), used=cents(-part.exact, local))
    else:
        text = says["minimum"].format(agreed=cents(part.agreed, local), spent=cents(part.spent, local))
    return text[:MOST]


def taken_back(description: str, language: str) -> str:
    """The words of a charge that takes back what is no longer due."""
    return words(language)["taken_back"].format(line=description)[:MOST]


def change_of(description: str, language: str) -> str:
    """The words of a line that is the difference to what an earlier invoice said."""
    return words(language)["difference"].format(line=description)[:MOST]


def cents(pico: int, local: Convention) -> str:
    """Picodollars to the cent, in a language's convention."""
    return local.number(format_minor(round_to_minor(pico, "USD"), "USD"))


def detail(part: Part, terms_id: int, window: Window) -> dict[str, Any]:
    """How an amount came about, as plain values: exact USD and whole tokens, as texts."""
    found: dict[str, Any] = {
        "terms": terms_id,
        "from": window.start.isoformat(),
        "to": window.end.isoformat(),
    }
    if isinstance(part, TierPart):
        return {**found, **_tier_detail(part)}
    if isinstance(part, FreePart):
        return {
            **found, "models": part.rule.pattern, "token_class": part.rule.token_class, "granted": str(part.granted),
            "used": str(part.used), "worth": usd(-part.exact),
        }  # fmt: skip
    if isinstance(part, AmountPart):
        return {**found, "granted": usd(part.granted), "used": usd(-part.exact)}
    return {**found, "agreed": usd(part.agreed), "spent": usd(part.spent), "missing": usd(part.missing)}


def _tier_detail(part: TierPart) -> dict[str, Any]:
    return {
        "models": part.rule.pattern,
        "token_class": part.rule.token_class,
        "mode": part.rule.tiers.mode,
        "unit": part.rule.unit,
        "tiers": tier_rows(part),
        "list_price": usd(part.listed),
        "price": usd(part.listed + part.exact),
    }


def tier_rows(part: TierPart) -> list[dict[str, str]]:
    """Each tier: where it begins, its price per 1M tokens or its discount in per cent, and how much was in it."""
    rule = part.rule.tiers
    quantities = dict.fromkeys(range(len(rule.thresholds)), 0)
    if rule.mode == "volume":
        quantities[part.reached - 1] = part.quantity
    else:
        quantities.update(enumerate(quantity for quantity, _price in rule.parts(part.quantity)))
    money = part.rule.unit == USD
    return [
        {
            "above": usd(above) if money else str(above),
            "discount_percent" if money else "price_per_million": per_cent(price) if money else usd(price * 10**6),
            "quantity": usd(quantities[place]) if money else str(quantities[place]),
        }
        for place, (above, price) in enumerate(zip(rule.thresholds, rule.prices, strict=True))
    ]


def _what(part: TierPart | FreePart, says: dict[str, str]) -> str:
    """Which usage: the models, and the token class if it is about one."""
    models = says["all_models"] if part.rule.pattern == "*" else part.rule.pattern
    return f"{models} ({says[part.rule.token_class]})" if part.rule.token_class else models
