"""Whether a call may go out: rates, then the row with its holds. What cannot be proven to fit is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from billing import money
from billing.pricing import PriceVersion, PricingProblem, affordable_output, ceiling
from proxy import capabilities, demands, headers
from proxy.chat import ChatRequest
from proxy.demands import Demands
from proxy.directory import Directory, KeyGrant, LimitName, ModelEntry, Span
from proxy.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    NotFound,
    QuotaExhausted,
    RateLimited,
    Unavailable,
    excerpt,
)
from proxy.factors import LEAST
from proxy.journal import Journal, JournalAway, Opening, Refusal
from proxy.metering import UsageMeter
from proxy.rates import Exceeded, Limiter, Taken
from proxy.request_id import as_uuid

SETTLE_GRACE_S = 60
MOST_RATED_OUTPUT = 1024

Claim = Callable[[], Awaitable[None]] | None
"""Takes the idempotency key of a call that has one."""


class Candidate(NamedTuple):
    """A model that may answer: its frozen price, the output limit sent upstream, and what that can cost at most.

    ``limited_by`` names the demand that lowered the output limit below what was asked for.
    """

    entry: ModelEntry
    price: PriceVersion
    output_limit: int
    ceiling: int
    limited_by: str = ""


class Quote(NamedTuple):
    """What a call would be: the models that may answer, the one asked for first, and what to hold for the dearest."""

    candidates: tuple[Candidate, ...]
    span: Span
    hold: int
    now: datetime
    run_id: str = ""
    demands: Demands = demands.NONE

    def in_run(self, run_id: str, allowance_id: int | None) -> Quote:
        """The same quote as a part of a run, held against the run's allowance, too, where it has one."""
        if allowance_id is None:
            return self._replace(run_id=run_id)
        literal = self.span.literal[:-1] + ("," if len(self.span.literal) > 2 else "") + f"{allowance_id}}}"
        remedy = "Raise x-run-budget, or start another run."
        names = {**self.span.names, allowance_id: LimitName("run", "budget", None, remedy)}
        return self._replace(span=replace(self.span, literal=literal, names=names), run_id=run_id)

    def longest_s(self) -> int:
        """How long the slowest route may take in all, in seconds."""
        if len(self.candidates) == 1:
            return self.candidates[0].entry.longest_s
        return max(one.entry.longest_s for one in self.candidates)

    @property
    def entry(self) -> ModelEntry:
        """The model that was asked for."""
        return self.candidates[0].entry


def quote(chat: ChatRequest, grant: KeyGrant, directory: Directory, demands: Demands = demands.NONE) -> Quote:
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
    span = grant.span_at(now)
    if span is None:
        raise Unavailable(503, "Your limits cannot be checked at the moment. Try again.", "shutting_down")
    first = candidate(chat, entry, entry.price_at(now, grant.book_id), demands)
    if not entry.fallbacks:
        return Quote((first,), span, first.ceiling, now, "", demands)
    others = tuple(fallbacks(chat, entry, grant, directory, demands, now))
    most = max(first.ceiling, *(other.ceiling for other in others), 0)
    return Quote((first, *others), span, most, now, "", demands)


def candidate(chat: ChatRequest, entry: ModelEntry, price: PriceVersion | None, demands: Demands) -> Candidate:
    """What the call would be on one model; raises the error to show."""
    if price is None:
        raise Unavailable(503, f"The model '{entry.name}' has no price at the moment.", "price_unavailable")
    capabilities.check(chat, entry, price)
    limit, limited_by, given = entry.max_output_tokens, "", chat.output_limit
    if given is not None and given < limit:
        limit = given
    hold_factor = entry.factors.hold if demands.max_cost is None else LEAST  # a cap of the caller's stays one
    bound = chat.input_bound(entry.context_window, hold_factor)
    images = chat.images or capabilities.images_of(chat, entry)
    if chat.operation == "embeddings":
        limit = 0
    if demands.max_cost is not None:
        affordable = (
            affordable_output(
                most=demands.max_cost,
                input_bound=bound,
                price=price,
                service_tier=chat.service_tier,
                images=images,
            )
            // chat.choices
        )
        least = limit if chat.operation == "images" else min(limit, 1)  # nothing limits the tokens of an image
        if affordable < least:
            raise BadRequest(
                f"This request could cost more than x-max-cost allows before its first word: its input alone can "
                f"reach {bound} tokens. Shorten it or raise x-max-cost.",
                "max_cost_too_low",
                param="x-max-cost",
            )
        if affordable < limit:
            limit, limited_by = affordable, "x-max-cost"
    try:
        most = ceiling(
            input_bound=bound,
            output_bound=limit * chat.choices,
            price=price,
            service_tier=chat.service_tier,
            images=images,
        )
    except PricingProblem:
        raise QuotaExhausted("This request could cost more than any limit allows.", limit={}) from None
    return Candidate(entry, price, limit, most, limited_by)


def fallbacks(
    chat: ChatRequest, entry: ModelEntry, grant: KeyGrant, directory: Directory, demands: Demands, now: datetime
) -> Iterator[Candidate]:
    """The models to try after ``entry``: only what the key may use, has a price, and can do what was asked."""
    for name in entry.fallbacks:
        other = directory.catalog.find(name)
        if other is None or other is entry or (grant.models is not None and other.name not in grant.models):
            continue
        try:
            yield candidate(chat, other, other.price_at(now, grant.book_id), demands)
        except GatewayError:
            continue


class Admission:
    """Takes from the rates, writes what else the call needs, and opens its row; gives back where a later step fails.

    The rates come first: a call that they refuse costs no write.
    """

    def __init__(self, limiter: Limiter, journal: Journal) -> None:
        self._limiter = limiter
        self._journal = journal

    async def admit(
        self, chat: ChatRequest, grant: KeyGrant, wanted: Quote, meter: UsageMeter, seconds: int, claim: Claim = None
    ) -> Taken:
        """Admit or raise RateLimited, QuotaExhausted, Unavailable or what ``claim`` raises, awaited after the rates.

        On return the meter must end in a settlement.
        """
        first = wanted.candidates[0]
        estimate = chat.input_estimate(first.entry.factors.input)
        tokens = estimate + min(first.output_limit, MOST_RATED_OUTPUT) * chat.choices
        taken = await self._limiter.take(meter.request_id, grant, tokens=tokens, seconds=seconds + SETTLE_GRACE_S)
        if isinstance(taken, Exceeded):
            raise rate_error(taken, grant)
        meter.rated(tokens)
        if claim is not None or wanted.demands.run_id:
            wanted = await self._prepared(grant, wanted, meter, claim)
        opening = Opening(
            as_uuid(meter.request_id),
            grant.tenant_id,
            grant.project_id,
            grant.api_key_id,
            first.entry.name,
            chat.model,
            first.price.id,
            chat.stream,
            wanted.now,
            wanted.now + _lease(seconds + SETTLE_GRACE_S),
            wanted.hold,
            min(estimate, chat.windows(first.entry.context_window)),
            wanted.span.literal,
            chat.operation,
            wanted.run_id,
            chat.size,
        )
        try:
            refusal = await self._journal.open(opening)
        except asyncio.CancelledError:
            meter.void(499, "client_gone")
            raise
        except JournalAway:
            meter.void(503, "shutting_down")
            raise unchecked() from None
        if refusal is not None:
            meter.void(429, "insufficient_quota")
            raise quota_error(refusal, wanted)
        meter.opened(opening)
        return taken

    async def _prepared(self, grant: KeyGrant, wanted: Quote, meter: UsageMeter, claim: Claim) -> Quote:
        """Claim the call's idempotency key, and put its run's own allowance among those it is held against."""
        try:
            if claim is not None:
                await claim()
            wants = wanted.demands
            if not wants.run_id:
                return wanted
            run = await self._journal.ensure_run(grant.tenant_id, grant.api_key_id, wants.run_id, wants.run_budget)
            return wanted.in_run(wants.run_id, None if run is None else run.allowance_id)
        except BaseException as error:
            meter.void(503, "")  # no row is open: this gives the tokens and the place back
            if isinstance(error, JournalAway):
                raise unchecked() from None
            raise


@lru_cache(maxsize=4096)
def _lease(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def unchecked() -> Unavailable:
    """What a client is told while its limits are out of reach."""
    message = "Your limits cannot be checked at the moment. Try again."
    return Unavailable(503, message, "shutting_down", retry_after_ms=2000)


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
