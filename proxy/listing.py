"""The models an API key may use, as ``GET /v1/models`` shows them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from billing import money
from billing.meters import TOKEN_CLASSES
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
    return {
        "object": "list",
        "data": [described(shown, entry, grant) for shown, entry in sorted(names, key=lambda n: n[0])],
    }


def allowed(entry: ModelEntry, grant: KeyGrant) -> bool:
    """Whether the key may use the model."""
    return grant.models is None or entry.name in grant.models


def described(shown: str, entry: ModelEntry, grant: KeyGrant) -> dict[str, Any]:
    """OpenAI's model object, with limits, price in USD per 1M tokens, and the model's own name."""
    price = entry.price_at(datetime.now(UTC), grant.book_id)
    return {
        "id": shown,
        "object": "model",
        "created": entry.created,
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
            **{name: money.usd(getattr(price, name) * 10**6) for name in TOKEN_CLASSES},
        },
    }
