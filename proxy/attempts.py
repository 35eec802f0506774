"""Attempts at a model's routes until one answers: only before the first byte, only where a retry cannot pay twice."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pyreqwest.exceptions import ConnectError, ConnectTimeoutError, PyreqwestError, RequestTimeoutError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response, ResponseBodyReader

from proxy import crash, relay
from proxy.admission import Quote
from proxy.chat import ChatRequest
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Answer, AnswerStream, Asked, Dialect, MalformedAnswer
from proxy.directory import Route
from proxy.errors import GatewayError, Unavailable
from proxy.metering import UsageMeter
from proxy.upstream import Breaker, Clients, Failure, RetryBudget, in_order, judge

MOST_ATTEMPTS = 4
MOST_ERROR_BODY = 256 * 1024
READ_AS_IT_COMES = 0  # pyreqwest's read() holds a stream back until it ends

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream whose first bytes are there."""

    route: Route
    translator: AnswerStream
    reader: ResponseBodyReader
    first: bytes
    request: StreamRequest

    async def close(self) -> None:
        """Leave the upstream: its connection is kept if the stream was read to its end, else dropped."""
        await self.request.__aexit__(None, None, None)


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
        response = await self._clients.request(route.target, call, meter.request_id).build().send()
        raw = bytes(await response.bytes())
        if response.status != 200:
            return refused(response, raw, dialect)
        return dialect.answer(raw, asked)

    async def _stream_of(
        self, route: Route, chat: ChatRequest, quote: Quote, asked: Asked, meter: UsageMeter
    ) -> Opened | Failure:
        dialect = DIALECTS[route.target.dialect]
        call = dialect.call(chat, route.upstream_model, quote.output_limit, route.target.rules)
        builder = self._clients.request(route.target, call, meter.request_id)
        request = builder.streamed_read_buffer_limit(READ_AS_IT_COMES).build_streamed()
        response = await request.__aenter__()
        keep = False
        try:
            if response.status != 200:
                return refused(response, await error_body(response.body_reader), dialect)
            if not (response.get_header("content-type") or "").startswith("text/event-stream"):
                dialect.answer(await error_body(response.body_reader), asked)
                raise MalformedAnswer("not a stream")
            translator = dialect.stream(asked)
            first = await relay.first_bytes(response.body_reader, translator)
            if translator.failure is not None:
                return Failure(translator.failure, next_route=True)
            meter.first_byte_at = time.monotonic()
            keep = True
            return Opened(route, translator, response.body_reader, first, request)
        finally:
            if not keep:
                await request.__aexit__(None, None, None)


async def guarded(ask: Callable[[Route], Awaitable[Result | Failure]], route: Route) -> Result | Failure:
    """One attempt. A request that was sent and not answered is not repeated: it may have been carried out."""
    try:
        return await ask(route)
    except PyreqwestError as problem:
        if never_sent(problem):
            error = Unavailable(502, "The upstream cannot be reached.", "bad_gateway")
            return Failure(error, next_route=True, unused=True)
        if isinstance(problem, RequestTimeoutError):
            return Failure(Unavailable(504, "The upstream did not answer in time.", "timeout"), next_route=False)
        return Failure(Unavailable(502, "The upstream broke off.", "bad_gateway"), next_route=False)
    except MalformedAnswer:
        return Failure(Unavailable(502, "The upstream's answer cannot be read.", "bad_gateway"), next_route=True)
    except GatewayError as error:
        return Failure(error, next_route=True)


def never_sent(problem: PyreqwestError) -> bool:
    """Whether a request failed while connecting. pyreqwest calls a silent upstream a connect timeout as well."""
    if not isinstance(problem, ConnectError | ConnectTimeoutError):
        return False
    causes = problem.details.get("causes") or ()
    return any("(Connect)" in cause["message"] for cause in causes)


def candidates(routes: tuple[Route, ...]) -> list[tuple[Route, bool]]:
    """Routes in order, and at last the last one again, marked so."""
    ordered = [(route, False) for route in in_order(routes)]
    return [*ordered, (ordered[-1][0], True)] if ordered else []


def refused(response: Response, raw: bytes, dialect: Dialect) -> Failure:
    """What an error status means."""
    return judge(response.status, dialect.failure_message(raw), response.get_header("retry-after"))


async def error_body(reader: ResponseBodyReader) -> bytes:
    """A body that should be small, up to a bound."""
    body = b""
    while len(body) < MOST_ERROR_BODY and (chunk := await reader.read_chunk()) is not None:
        body += bytes(chunk)
    return body
