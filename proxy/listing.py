"""The models an API key may use, as ``GET /v1/models`` shows them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from billing import money
from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.price_conditions import said_hours
from billing.pricing import PriceVersion
from proxy.directory import Catalog, KeyGrant, ModelEntry
from proxy.errors import NotFound, excerpt


def of(catalog: Catalog, grant: KeyGrant, name: str) -> dict[str, Any]:
    """One model by name or alias, or all of them where ``name`` is empty. What a key may not use does not exist."""
    if name:
        entry = catalog.find(name)
        if entry is None or not allowed(entry, grant):
            raise NotFound(f"The model '{excerpt(name)}' does not exist.", "model_not_found", param="model")
        return described(name, entry, grant)
    names: list[tuple[str, ModelEntry]] = []
    for entry in catalog.models.values():
        if allowed(entry, grant):
            names += [(entry.name, entry), *((alias, entry) for alias in entry.aliases)]
    data = [described(shown, entry, grant) for shown, entry in sorted(names, key=lambda n: n[0])]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, "has_more": False, **ends}


def allowed(entry: ModelEntry, grant: KeyGrant) -> bool:
    """Whether the key may use the model."""
    return grant.models is None or entry.name in grant.models


def described(shown: str, entry: ModelEntry, grant: KeyGrant) -> dict[str, Any]:
    """OpenAI's model object and Anthropic's in one, with limits, prices in USD, and the model's own name."""
    price = _published(entry, grant, datetime.now(UTC))
    return {
        "id": shown,
        "object": "model",
        "type": "model",
        "created": entry.created,
        "created_at": datetime.fromtimestamp(entry.created, UTC).isoformat().replace("+00:00", "Z"),
        "display_name": shown,
        "owned_by": "tollgate",
        "canonical": entry.name,
        "context_window": entry.context_window,
        "max_output_tokens": entry.max_output_tokens,
        "capabilities": dict(entry.capabilities),
        "price": None
        if price is None
        else {
            "currency": "USD",
            "per": "1M tokens",
            **_numbers(price),
            "variants": [_variant(variant) for variant in price.variants],
        },
    }


def _published(entry: ModelEntry, grant: KeyGrant, moment: datetime) -> PriceVersion | None:
    """What ``entry.price_at`` finds, with the variants of other hours, too."""
    for book in (grant.book_id, None):
        prices = entry.prices.get(book)
        if prices is not None and (version := prices.published(moment)) is not None:
            return version
    return None


def _numbers(price: PriceVersion) -> dict[str, Any]:
    """USD per 1M tokens by class, and surcharges in USD each where there are some."""
    each = {name: money.usd(number) for name in SURCHARGES if (number := getattr(price, name))}
    return {**{name: money.usd(getattr(price, name) * 10**6) for name in TOKEN_CLASSES}, "surcharges": each}


def _variant(price: PriceVersion) -> dict[str, Any]:
    """Other prices, and when they hold: for the whole of a request with more prompt tokens, in a tier, in UTC hours."""
    return {
        "name": price.variant,
        "above_tokens": price.above_tokens or None,
        "service_tier": price.service_tier or None,
        "hours_utc": said_hours(price.hours) or None,
        **_numbers(price),
    }
