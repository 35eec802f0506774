"""What a call would cost before it is made, and which limit it would meet first: ``POST /v1/estimate``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from billing import money
from billing.meters import Usage
from billing.pricing import PriceVersion, rate
from proxy import estimator
from proxy.admission import Candidate, Quote
from proxy.chat import ChatRequest
from proxy.records import Room


def body(chat: ChatRequest, wanted: Quote, rooms: Sequence[Room]) -> dict[str, Any]:
    """The estimate as JSON: tokens, cost in USD as exact texts, and the limits with the one that would bind.

    ``max`` is what is held while the call runs, so a call whose ``fits`` is true is admitted if nothing comes between.
    """
    first = wanted.candidates[0]
    tokens = tokens_of(chat, first)
    limits = [_limit(wanted, room) for room in rooms]
    binding = min(rooms, key=lambda room: room.left, default=None)
    return {
        "object": "estimate",
        "model": chat.model,
        "canonical": first.entry.name,
        "currency": "USD",
        "price": first.price.id,
        "input_tokens": {name: prompt for name, (prompt, _) in tokens.items()},
        "output_tokens": {name: completion for name, (_, completion) in tokens.items()},
        "cost": {
            "min": money.usd(_cost(first.price, chat, *tokens["min"], cached=True), least_digits=0),
            "expected": money.usd(_cost(first.price, chat, *tokens["expected"]), least_digits=0),
            "max": money.usd(wanted.hold, least_digits=0),
        },
        "limited_by": first.limited_by or None,
        "fits": binding is None or wanted.hold <= binding.left,
        "binding": None if binding is None else _limit(wanted, binding),
        "limits": limits,
    }


def tokens_of(chat: ChatRequest, first: Candidate) -> dict[str, tuple[int, int]]:
    """Prompt and completion tokens at least, likely and at most."""
    window = first.entry.context_window
    likely = min(estimator.prompt_tokens(chat, first.entry), window)
    most_out = first.output_limit * chat.choices
    usual_out = first.entry.factors.usual_output * chat.choices
    least_out = min(chat.choices, most_out)
    return {
        "min": (likely, least_out),
        "expected": (likely, max(least_out, min(usual_out, most_out))),
        "max": (chat.input_bound(window, first.entry.factors.hold), most_out),
    }


def _cost(price: PriceVersion, chat: ChatRequest, prompt: int, completion: int, *, cached: bool = False) -> int:
    """Picodollars of a likely usage; ``cached`` reads the whole prompt from the cache where that is cheaper."""
    usage = Usage(input=prompt, output=completion)
    chosen = price.chosen(usage, chat.service_tier)
    if cached and chosen.cache_read < chosen.input:
        usage = Usage(cache_read=prompt, output=completion)
    return rate(usage, chosen)


def _limit(wanted: Quote, room: Room) -> dict[str, Any]:
    """A limit in the words of the errors it would give."""
    name = wanted.span.names.get(room.id)
    return {
        "scope": name.scope if name else "tenant",
        "name": name.name if name else "limit",
        "limit": money.usd(room.limit),
        "used": money.usd(room.spent),
        "held": money.usd(room.held),
        "left": money.usd(max(0, room.left)),
        "resets_at": name.resets_at.isoformat() if name and name.resets_at else None,
        "remedy": name.remedy if name else "",
    }
