"""Whether a call may go out: rates, then the row with its holds. What cannot be proven to fit is refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from billing import money
from billing.pricing import PriceVersion, PricingProblem, ceiling
from proxy import headers
from proxy.chat import ChatRequest
from proxy.directory import Directory, KeyGrant, ModelEntry, Span
from proxy.errors import Forbidden, GatewayError, NotFound, QuotaExhausted, RateLimited, Unavailable, excerpt
from proxy.journal import Journal, JournalAway, Opening, Refusal
from proxy.metering import UsageMeter
from proxy.rates import Exceeded, Limiter, Taken
from proxy.request_id import as_uuid

SETTLE_GRACE_S = 60
MOST_RATED_OUTPUT = 1024


class Quote(NamedTuple):
    """What a call would be: the model, its frozen price, the output limit sent upstream, and the ceiling to hold."""

    entry: ModelEntry
    price: PriceVersion
    span: Span
    output_limit: int
    hold: int
    now: datetime


def quote(chat: ChatRequest, grant: KeyGrant, directory: Directory) -> Quote:
    """Decide on the resolved model, never on the text that was sent; raises the error to show."""
    entry = directory.catalog.find(chat.model)
    if entry is None:
        raise NotFound(
            f"The model '{excerpt(chat.model)}' does not exist or you do not have access to it.",
            "model_not_found",
            param="model",
        )
    if grant.models is not None and entry.name not in grant.models:
        raise Forbidden(f"This API key may not use the model '{entry.name}'.", "model_not_allowed", param="model")
    now = datetime.now(UTC)
    price = entry.price_at(now, grant.book_id)
    if price is None:
        raise Unavailable(503, f"The model '{entry.name}' has no price at the moment.", "price_unavailable")
    span = grant.span_at(now)
    if span is None:
        raise Unavailable(503, "Your limits cannot be checked at the moment. Try again.", "shutting_down")
    limit = entry.max_output_tokens
    if chat.output_limit is not None and chat.output_limit < limit:
        limit = chat.output_limit
    try:
        hold = ceiling(
            input_bound=chat.input_bound(entry.context_window), output_bound=limit * chat.choices, price=price
        )
    except PricingProblem:
        raise QuotaExhausted("This request could cost more than any limit allows.", limit={}) from None
    return Quote(entry, price, span, limit, hold, now)


class Admission:
    """Takes from the rates and opens the row; gives both back where the second fails."""

    def __init__(self, limiter: Limiter, journal: Journal) -> None:
        self._limiter = limiter
        self._journal = journal

    async def admit(self, chat: ChatRequest, grant: KeyGrant, wanted: Quote, meter: UsageMeter, seconds: int) -> Taken:
        """Admit or raise RateLimited, QuotaExhausted or Unavailable. On return the meter must end in a settlement."""
        estimate = chat.input_estimate()
        tokens = estimate + min(wanted.output_limit, MOST_RATED_OUTPUT) * chat.choices
        taken = await self._limiter.take(
            meter.request_id, grant.tenant_id, grant.rates, tokens=tokens, seconds=seconds + SETTLE_GRACE_S
        )
        if isinstance(taken, Exceeded):
            raise rate_error(taken, grant)
        meter.rated(tokens)
        opening = Opening(
            as_uuid(meter.request_id),
            grant.tenant_id,
            grant.project_id,
            grant.api_key_id,
            wanted.entry.name,
            chat.model,
            wanted.price.id,
            chat.stream,
            wanted.now,
            wanted.now + timedelta(seconds=seconds + SETTLE_GRACE_S),
            wanted.hold,
            min(estimate, wanted.entry.context_window),
            wanted.span.literal,
        )
        try:
            refusal = await self._journal.open(opening)
        except asyncio.CancelledError:
            meter.void(499, "client_gone")
            raise
        except JournalAway:
            meter.void(503, "shutting_down")
            message = "Your limits cannot be checked at the moment. Try again."
            raise Unavailable(503, message, "shutting_down", retry_after_ms=2000) from None
        if refusal is not None:
            meter.void(429, "insufficient_quota")
            raise quota_error(refusal, wanted)
        meter.opened(opening)
        return taken


def rate_error(exceeded: Exceeded, grant: KeyGrant) -> GatewayError:
    """Which rate of which scope, and when there is room again."""
    rate = grant.rates[exceeded.place]
    unit = {"requests": "requests per minute", "tokens": "tokens per minute", "concurrency": "requests at once"}
    scope = rate.scope.replace("_", " ")
    wait = max(1, exceeded.wait_ms)
    limit = {
        "scope": rate.scope,
        "name": unit[exceeded.kind],
        "limit": exceeded.limit,
        "used": exceeded.limit,
        "held": 0,
        "resets_at": (datetime.now(UTC) + timedelta(milliseconds=wait)).isoformat(timespec="milliseconds"),
        "remedy": "Wait and send fewer requests, or ask for a higher limit.",
    }
    message = f"Rate limit of this {scope} reached: {exceeded.limit} {unit[exceeded.kind]}. Try again in {wait} ms."
    error = RateLimited(message, retry_after_ms=wait, limit=limit)
    error.headers += headers.of_exceeded(exceeded)
    return error


def quota_error(refusal: Refusal, wanted: Quote) -> GatewayError:
    """Which limit of which scope, what is spent and held, and when it resets. Amounts are USD as texts."""
    name = wanted.span.names.get(refusal.allowance_id or 0)
    if name is None or refusal.limit is None or refusal.spent is None or refusal.held is None:
        return Unavailable(503, "Your limits are being changed. Try again.", "shutting_down")
    detail: dict[str, Any] = {
        "scope": name.scope,
        "name": name.name,
        "limit": money.usd(int(refusal.limit)),
        "used": money.usd(int(refusal.spent)),
        "held": money.usd(int(refusal.held)),
        "needed": money.usd(wanted.hold),
        "resets_at": None if name.resets_at is None else name.resets_at.isoformat(),
        "remedy": name.remedy,
    }
    scope = name.scope.replace("_", " ")
    message = (
        f"The {name.name} of this {scope} has no room for this request: limit {detail['limit']} USD, "
        f"spent {detail['used']}, held {detail['held']}, this request could cost up to {detail['needed']}."
    )
    return QuotaExhausted(message, limit=detail)
