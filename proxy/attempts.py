"""Attempts at a model's routes until one answers: only before the first byte, only where a retry cannot pay twice."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from proxy import crash, relay
from proxy.addresses import AddressProblem
from proxy.admission import Quote
from proxy.chat import ChatRequest
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Answer, AnswerStream, Asked, MalformedAnswer
from proxy.directory import Route
from proxy.errors import GatewayError, Unavailable
from proxy.http_client import ClientProblem, Connection, NotConnected, Pool, TimedOut
from proxy.metering import UsageMeter
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


class Attempts:
    """Failover over routes, with a breaker for each and one retry budget for all."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._breaker = Breaker()
        self._budget = RetryBudget()

    async def answer(self, chat: ChatRequest, quote: Quote, asked: Asked, meter: UsageMeter) -> Answer:
        """A whole answer from the first route that gives one; raises the last route's error."""

        async def ask(route: Route) -> Answer | Failure:
            return await self._answer_of(route, chat, quote, asked, meter)

        return await self._first(ask, quote, meter)

    async def stream(self, chat: ChatRequest, quote: Quote, asked: Asked, meter: UsageMeter) -> Opened:
        """A stream from the first route that begins one; raises the last route's error."""

        async def ask(route: Route) -> Opened | Failure:
            return await self._stream_of(route, chat, quote, asked, meter)

        return await self._first(ask, quote, meter)

    async def _first(
        self, ask: Callable[[Route], Awaitable[Result | Failure]], quote: Quote, meter: UsageMeter
    ) -> Result:
        self._budget.earn()
        failure: Failure | None = None
        for route, again in candidates(quote.entry.routes):
            if failure is not None and not self._may_retry(failure, again, meter):
                break
            if not self._breaker.allows(route.id):
                continue
            meter.attempts += 1
            meter.upstream, meter.upstream_model = route.target.name, route.upstream_model
            before = time.monotonic()
            crash.here("before_upstream")
            try:
                result = await guarded(ask, route)
            except BaseException:
                self._breaker.left(route.id)
                raise
            crash.here("after_upstream")
            meter.upstream_s += time.monotonic() - before
            if not isinstance(result, Failure):
                self._breaker.succeeded(route.id)
                return result
            failure = result
            self._note(route, failure)
        if failure is not None:
            raise failure.error
        message = f"No upstream of '{quote.entry.name}' is available at the moment. Try again."
        wait_ms = self._breaker.wait_ms(quote.entry.routes)
        raise Unavailable(503, message, "upstream_overloaded", retry_after_ms=wait_ms)

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

    async def _answer_of(
        self, route: Route, chat: ChatRequest, quote: Quote, asked: Asked, meter: UsageMeter
    ) -> Answer | Failure:
        dialect = DIALECTS[route.target.dialect]
        call = dialect.call(chat, route.upstream_model, quote.output_limit, route.target.rules)
        pool, response = await self._clients.send(route.target, call, meter.request_id, meter.deadline)
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

    async def _stream_of(
        self, route: Route, chat: ChatRequest, quote: Quote, asked: Asked, meter: UsageMeter
    ) -> Opened | Failure:
        dialect = DIALECTS[route.target.dialect]
        call = dialect.call(chat, route.upstream_model, quote.output_limit, route.target.rules)
        pool, response = await self._clients.send(route.target, call, meter.request_id, meter.deadline)
        keep = False
        try:
            if response.status != 200:
                said = dialect.failure_message(await error_body(response))
                return judge(response.status, said, response.header(b"retry-after"))
            if not (response.header(b"content-type") or "").startswith("text/event-stream"):
                dialect.answer(await error_body(response), asked)
                raise MalformedAnswer("not a stream")
            translator = dialect.stream(asked)
            first = await relay.first_bytes(response, translator)
            if translator.failure is not None and not first:
                return Failure(translator.failure, next_route=True)
            meter.first_byte_at = time.monotonic()
            keep = True
            return Opened(route, translator, response, first, pool)
        finally:
            if not keep:
                pool.drop(response)


async def guarded(ask: Callable[[Route], Awaitable[Result | Failure]], route: Route) -> Result | Failure:
    """One attempt. A request that was sent and not answered is not repeated: it may have been carried out."""
    try:
        return await ask(route)
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


def candidates(routes: tuple[Route, ...]) -> list[tuple[Route, bool]]:
    """Routes in order, and at last the last one again, marked so."""
    ordered = [(route, False) for route in in_order(routes)]
    return [*ordered, (ordered[-1][0], True)] if ordered else []


async def error_body(reader: Connection) -> bytes:
    """A body that should be small, up to a bound."""
    body = b""
    while len(body) < MOST_ERROR_BODY and (chunk := await reader.read_chunk()) is not None:
        body += chunk
    return body
