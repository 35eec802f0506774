"""Attempts at a model's routes until one answers: only before the first byte, only where a retry cannot pay twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from proxy import capabilities, crash, dialects, relay
from proxy.admission import Candidate, Quote
from proxy.breakers import RetryBudget
from proxy.chat import ChatRequest
from proxy.dialects.shape import OPENAI, Answer, AnswerStream, Asked, Dialect, MalformedAnswer
from proxy.directory import Route
from proxy.errors import Unavailable
from proxy.health import Health
from proxy.http_client import Connection, Pool
from proxy.journal import Journal, JournalAway
from proxy.json_bounds import laborious
from proxy.metering import UsageMeter
from proxy.request_id import as_uuid
from proxy.standing import Attempt, Sought, Standing, Trail
from proxy.surfaces.rewritten import Rewritten
from proxy.upstream import TROUBLE, Clients, Failure, NotSpoken, failure_of, judge

MOST_ATTEMPTS = 4
BYTES_PER_TOKEN, MORE_BYTES = 8, 1024
"""A stream is cut whose text is longer than its output limit at so many bytes a token, and some: no text needs it."""
LARGE = 256 * 1024
"""Answers above this are looked through before they are parsed, in a thread."""
MOST_ERROR_BODY = 256 * 1024
BROKEN_CODES = frozenset({"bad_gateway", "timeout", "upstream_overloaded"})

Result = TypeVar("Result", Answer, "Opened")


class Opened(NamedTuple):
    """A stream whose first bytes are there; ``began`` is when it was asked for, on the monotonic clock."""

    route: Route
    translator: AnswerStream
    reader: Connection
    first: bytes
    pool: Pool
    meter: UsageMeter
    health: Health
    began: float

    async def close(self) -> None:
        """Leave the upstream: its connection is kept if the stream was read to its end, else dropped."""
        self._count()
        await self.pool.release(self.reader)

    def _count(self) -> None:
        """How the stream went, for the health of its route; a client that leaves is no fault of the route's."""
        meter, translator = self.meter, self.translator
        failure = translator.failure
        broken = failure is not None and failure.status >= 500 and failure.code in BROKEN_CODES
        tokens = meter.usage.completion_tokens if translator.done else 0
        first_at = meter.first_byte_at
        self.health.streamed(self.route.id, first_at - self.began, time.monotonic() - first_at, tokens, broken)


class Work(NamedTuple):
    """What attempts are made for. ``session`` is the caller's name for what belongs together, or nothing."""

    chat: ChatRequest
    quote: Quote
    asked: Asked
    meter: UsageMeter
    session: bytes = b""


Ask = Callable[[Work, Attempt], Awaitable[Result | Failure]]


class Attempts:
    """Failover over credentials and routes, then over fallback models, with breakers and retry budgets."""

    def __init__(self, clients: Clients, journal: Journal, health: Health | None = None) -> None:
        self._clients = clients
        self._journal = journal
        self._health = health or Health()
        self._standing = Standing(self._health)
        self._budget = RetryBudget()

    def answer(self, work: Work) -> Awaitable[Answer]:
        """A whole answer from the first route that gives one; raises the last route's error."""
        return self._first(self._answer_of, work)

    def stream(self, work: Work) -> Awaitable[Opened]:
        """A stream from the first route that begins one; raises the last route's error."""
        return self._first(self._stream_of, work)

    async def _first(self, ask: Ask[Result], work: Work) -> Result:
        """The usual case at once, which needs no search: one route that works, with one credential."""
        candidate = work.quote.candidates[0]
        if self._budget.spent:
            self._budget.earn(work.meter.tenant_id, candidate.entry.name)
        attempt = self._standing.obvious(candidate)
        if attempt is None:
            return await self._search(ask, work, Trail(candidate))
        result = await self._tried(ask, work, attempt)
        if not isinstance(result, Failure):
            return result
        return await self._search(ask, work, Trail(candidate, attempt, result))

    async def _search(self, ask: Ask[Result], work: Work, trail: Trail) -> Result:
        """Whatever else there is to try, in order."""
        meter = work.meter
        for attempt in self._standing.attempts(self._sought(work), trail):
            if trail.failure is not None and not self._may_retry(trail.failure, attempt.again, work):
                self._standing.left(attempt)
                break
            if attempt.candidate is not trail.candidate:
                if not await self._reassigned(attempt.candidate, meter):
                    self._standing.left(attempt)
                    break
                trail.candidate = attempt.candidate
            trail.last = attempt
            result = await self._tried(ask, work, attempt)
            if not isinstance(result, Failure):
                self._standing.answered(trail)
                return result
            trail.failure = result
        if trail.failure is not None:
            raise trail.failure.error
        message = f"No upstream of '{work.quote.entry.name}' is available at the moment. Try again."
        raise Unavailable(
            503, message, "upstream_overloaded", retry_after_ms=self._standing.wait_ms(work.quote.candidates)
        )

    def _sought(self, work: Work) -> Sought:
        return Sought(
            work.quote.candidates, work.meter.tenant_id, work.chat.body.get("prompt_cache_key") or work.session
        )

    async def _tried(self, ask: Ask[Result], work: Work, attempt: Attempt) -> Result | Failure:
        """One attempt, counted and timed. What was sent and not answered is not repeated: it may have been done."""
        meter, route = work.meter, attempt.route
        meter.attempts += 1
        meter.upstream, meter.upstream_model, meter.route_id = route.target.name, route.upstream_model, route.id
        before = time.monotonic()
        crash.here("before_upstream")
        result: Result | Failure
        try:
            result = await ask(work, attempt)
        except TROUBLE as error:
            result = failure_of(error)
        except BaseException:
            self._standing.left(attempt)
            raise
        crash.here("after_upstream")
        elapsed = time.monotonic() - before
        meter.upstream_s += elapsed
        if isinstance(result, Failure):
            self._standing.failed(attempt, result, meter.tenant_id)
            return result
        self._standing.succeeded(attempt)
        if isinstance(result, Answer):
            self._health.answered(route.id, elapsed, result.usage)
        return result

    async def _reassigned(self, candidate: Candidate, meter: UsageMeter) -> bool:
        """The open row is the other model's, at its price, before anything goes out in its name."""
        try:
            done = await self._journal.reassign(
                as_uuid(meter.request_id), meter.tenant_id, candidate.entry.name, candidate.price.id
            )
        except JournalAway:
            return False
        if done:
            meter.reprice(candidate.price)
        return done

    def _may_retry(self, failure: Failure, again: bool, work: Work) -> bool:
        """Another route after any failure that was the route's; the same one only if it never got the request."""
        wanted = failure.unused if again else failure.next_route
        if not wanted or work.meter.attempts >= MOST_ATTEMPTS:
            return False
        return self._budget.spend(work.meter.tenant_id, work.quote.entry.name)

    def _send(self, dialect: Dialect, work: Work, attempt: Attempt) -> Awaitable[tuple[Pool, Connection]]:
        route, meter = attempt.route, work.meter
        call = dialect.call(work.chat, route.upstream_model, attempt.candidate.output_limit, route.rules)
        meter.dropped = work.chat.dropped + call.dropped
        return self._clients.send(route.target, attempt.credential, call, meter.request_id, meter.deadline)

    async def _answer_of(self, work: Work, attempt: Attempt) -> Answer | Failure:
        dialect, asked = spoken(work, attempt)
        pool, response = await self._send(dialect, work, attempt)
        try:
            raw = await response.whole()
        except BaseException:
            pool.drop(response)
            raise
        status = response.status
        await pool.release(response)
        if status != 200:
            return judge(status, dialect.failure_message(raw), response.header(b"retry-after"))
        if len(raw) > LARGE and await asyncio.to_thread(laborious, raw):
            raise Unavailable(502, "The upstream's answer has too many values to be read.", "bad_gateway")
        return dialect.answer(raw, asked)

    async def _stream_of(self, work: Work, attempt: Attempt) -> Opened | Failure:
        began = time.monotonic()
        dialect, asked = spoken(work, attempt)
        pool, response = await self._send(dialect, work, attempt)
        keep = False
        try:
            if response.status != 200:
                said = dialect.failure_message(await error_body(response))
                return judge(response.status, said, response.header(b"retry-after"))
            if not (response.header(b"content-type") or "").startswith("text/event-stream"):
                dialect.answer(await error_body(response), asked)
                raise MalformedAnswer("not a stream")
            translator = dialect.stream(asked)
            if not capabilities.images_of(work.chat, attempt.candidate.entry):
                translator.most_bytes = (
                    attempt.candidate.output_limit * work.chat.choices * BYTES_PER_TOKEN + MORE_BYTES
                )
            if asked.writer is not None and dialect.speaks == OPENAI:
                translator = Rewritten(translator, asked.writer())
            first = await relay.first_bytes(response, translator)
            if translator.failure is not None and not first:
                return failure_of(translator.failure)
            work.meter.first_byte_at = time.monotonic()
            keep = True
            return Opened(attempt.route, translator, response, first, pool, work.meter, self._health, began)
        finally:
            if not keep:
                pool.drop(response)


def spoken(work: Work, attempt: Attempt) -> tuple[Dialect, Asked]:
    """The dialect of an attempt's upstream, and what its answer must show."""
    operation, name = work.chat.operation, attempt.route.dialect
    dialect = dialects.find(operation, name)
    if dialect is None:
        raise NotSpoken(502, f"The upstream of '{attempt.candidate.entry.name}' does not do this.", "bad_gateway")
    window = attempt.candidate.entry.context_window
    return dialect, work.asked if window == work.asked.context_window else work.asked._replace(context_window=window)


async def error_body(reader: Connection) -> bytes:
    """A body that should be small, up to a bound."""
    body = b""
    while len(body) < MOST_ERROR_BODY and (chunk := await reader.read_chunk()) is not None:
        body += chunk
    return body
