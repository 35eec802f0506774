"""Attempts at a model's routes until one answers: only before the first byte, only where a retry cannot pay twice."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from proxy import crash, dialects, relay
from proxy.addresses import AddressProblem
from proxy.admission import Candidate, Quote
from proxy.chat import ChatRequest
from proxy.dialects.shape import OPENAI, Answer, AnswerStream, Asked, Dialect, MalformedAnswer
from proxy.directory import Route
from proxy.errors import GatewayError, Unavailable
from proxy.http_client import ClientProblem, Connection, NotConnected, Pool, TimedOut
from proxy.journal import Journal, JournalAway
from proxy.metering import UsageMeter
from proxy.request_id import as_uuid
from proxy.surfaces.rewritten import Rewritten
from proxy.upstream import Breaker, Clients, Failure, RetryBudget, in_order, judge

MOST_ATTEMPTS = 4
MOST_ERROR_BODY = 256 * 1024

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream whose first bytes are there."""

    route: Route
    translator: AnswerStream
    reader: Connection
    first: bytes
    pool: Pool

    async def close(self) -> None:
        """Leave the upstream: its connection is kept if the stream was read to its end, else dropped."""
        await self.pool.release(self.reader)


class Work(NamedTuple):
    """What attempts are made for."""

    chat: ChatRequest
    quote: Quote
    asked: Asked
    meter: UsageMeter


class Attempt(NamedTuple):
    """One route to try for one of the models that may answer; ``again`` if it is the last one once more."""

    candidate: Candidate
    route: Route
    again: bool


Ask = Callable[[Work, Attempt], Awaitable[Result | Failure]]


class Attempts:
    """Failover over routes, then over fallback models, with a breaker for each route and one retry budget for all."""

    def __init__(self, clients: Clients, journal: Journal) -> None:
        self._clients = clients
        self._journal = journal
        self._breaker = Breaker()
        self._budget = RetryBudget()

    async def answer(self, work: Work) -> Answer:
        """A whole answer from the first route that gives one; raises the last route's error."""
        return await self._first(self._answer_of, work)

    async def stream(self, work: Work) -> Opened:
        """A stream from the first route that begins one; raises the last route's error."""
        return await self._first(self._stream_of, work)

    async def _first(self, ask: Ask[Result], work: Work) -> Result:
        self._budget.earn()
        meter, failure = work.meter, None
        current = work.quote.candidates[0]
        for attempt in attempts(work):
            if failure is not None and not self._may_retry(failure, attempt.again, meter):
                break
            if not self._breaker.allows(attempt.route.id):
                continue
            if attempt.candidate is not current:
                if not await self._reassigned(attempt.candidate, meter):
                    break
                current = attempt.candidate
            result = await self._ask(ask, work, attempt)
            if not isinstance(result, Failure):
                self._breaker.succeeded(attempt.route.id)
                return result
            failure = result
            self._note(attempt.route, failure)
        if failure is not None:
            raise failure.error
        message = f"No upstream of '{work.quote.entry.name}' is available at the moment. Try again."
        wait_ms = self._breaker.wait_ms(work.quote.entry.routes)
        raise Unavailable(503, message, "upstream_overloaded", retry_after_ms=wait_ms)

    async def _ask(self, ask: Ask[Result], work: Work, attempt: Attempt) -> Result | Failure:
        """One attempt, counted and timed."""
        meter, route = work.meter, attempt.route
        meter.attempts += 1
        meter.upstream, meter.upstream_model, meter.route_id = route.target.name, route.upstream_model, route.id
        before = time.monotonic()
        crash.here("before_upstream")
        try:
            result = await guarded(ask, work, attempt)
        except BaseException:
            self._breaker.left(route.id)
            raise
        crash.here("after_upstream")
        meter.upstream_s += time.monotonic() - before
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

    def _may_retry(self, failure: Failure, again: bool, meter: UsageMeter) -> bool:
        """Another route after any failure that was the route's; the same one only if it never got the request."""
        wanted = failure.unused if again else failure.next_route
        return wanted and meter.attempts < MOST_ATTEMPTS and self._budget.spend()

    def _note(self, route: Route, failure: Failure) -> None:
        """A fault of the client's is no fault of the route's."""
        if failure.error.status >= 500:
            self._breaker.failed(route.id, retry_after_s=failure.retry_after_s)
        else:
            self._breaker.succeeded(route.id)

    async def _send(self, dialect: Dialect, work: Work, attempt: Attempt) -> tuple[Pool, Connection]:
        route, meter = attempt.route, work.meter
        call = dialect.call(work.chat, route.upstream_model, attempt.candidate.output_limit, route.rules)
        meter.dropped = call.dropped
        return await self._clients.send(route.target, call, meter.request_id, meter.deadline)

    async def _answer_of(self, work: Work, attempt: Attempt) -> Answer | Failure:
        dialect, asked = spoken(work, attempt)
        pool, response = await self._send(dialect, work, attempt)
        try:
            raw = await response.whole()
        except BaseException:
            pool.drop(response)
            raise
        status, retry_after = response.status, response.header(b"retry-after")
        await pool.release(response)
        if status != 200:
            return judge(status, dialect.failure_message(raw), retry_after)
        return dialect.answer(raw, asked)

    async def _stream_of(self, work: Work, attempt: Attempt) -> Opened | Failure:
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
            if asked.writer is not None and dialect.speaks == OPENAI:
                translator = Rewritten(translator, asked.writer())
            first = await relay.first_bytes(response, translator)
            if translator.failure is not None and not first:
                return Failure(translator.failure, next_route=True)
            work.meter.first_byte_at = time.monotonic()
            keep = True
            return Opened(attempt.route, translator, response, first, pool)
        finally:
            if not keep:
                pool.drop(response)


def spoken(work: Work, attempt: Attempt) -> tuple[Dialect, Asked]:
    """The dialect of an attempt's upstream, and what its answer must show."""
    operation, name = work.chat.operation, attempt.route.target.dialect
    dialect = dialects.find(operation, name)
    if dialect is None:
        raise Unavailable(502, f"The upstream of '{attempt.candidate.entry.name}' does not do this.", "bad_gateway")
    window = attempt.candidate.entry.context_window
    return dialect, work.asked if window == work.asked.context_window else work.asked._replace(context_window=window)


async def guarded(ask: Ask[Result], work: Work, attempt: Attempt) -> Result | Failure:
    """One attempt. A request that was sent and not answered is not repeated: it may have been carried out."""
    try:
        return await ask(work, attempt)
    except NotConnected:
        error = Unavailable(502, "The upstream cannot be reached.", "bad_gateway")
        return Failure(error, next_route=True, unused=True)
    except AddressProblem:
        error = Unavailable(502, "The upstream's address may not be called.", "bad_gateway")
        return Failure(error, next_route=True)
    except TimedOut:
        return Failure(Unavailable(504, "The upstream did not answer in time.", "timeout"), next_route=False)
    except ClientProblem:
        return Failure(Unavailable(502, "The upstream broke off.", "bad_gateway"), next_route=False)
    except MalformedAnswer:
        return Failure(Unavailable(502, "The upstream's answer cannot be read.", "bad_gateway"), next_route=True)
    except GatewayError as error:
        return Failure(error, next_route=True)


def attempts(work: Work) -> Iterator[Attempt]:
    """The routes of the model that was asked for, in order; those of its fallbacks; and at last the last one again."""
    last = None
    for candidate in work.quote.candidates:
        for route in in_order(candidate.entry.routes):
            last = Attempt(candidate, route, False)
            yield last
    if last is not None:
        yield last._replace(again=True)


async def error_body(reader: Connection) -> bytes:
    """A body that should be small, up to a bound."""
    body = b""
    while len(body) < MOST_ERROR_BODY and (chunk := await reader.read_chunk()) is not None:
        body += chunk
    return body
