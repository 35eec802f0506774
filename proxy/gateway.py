"""The walk of one chat completion, from the key to the settlement."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from billing import money
from portal import key_format
from proxy import chat as chat_request
from proxy import headers, relay
from proxy.admission import Admission, Quote, quote
from proxy.attempts import Attempts, Opened
from proxy.chat import ChatRequest
from proxy.dialects.envelope import Surface
from proxy.dialects.openai import usage_body
from proxy.dialects.shape import AnswerStream, Asked
from proxy.directory import Directory, KeyGrant
from proxy.errors import GatewayError, Unauthorized, Unavailable
from proxy.exchange import Exchange
from proxy.journal import Journal
from proxy.live import LiveStream, LiveStreams
from proxy.metering import Outcome, UsageMeter
from proxy.rates import Limiter, Taken
from proxy.request_id import RequestIds


@dataclass(frozen=True, slots=True)
class Options:
    """What an installation decides: the prefix of answer ids, and whether answers show their cost."""

    id_prefix: str = "chatcmpl-"
    show_cost: bool = True


@dataclass(slots=True)
class Call:
    """One call on its way."""

    exchange: Exchange
    surface: Surface
    grant: KeyGrant
    chat: ChatRequest
    quote: Quote
    meter: UsageMeter
    asked: Asked
    taken: Taken


class Gateway:
    """Everything a call needs, put together once per process."""

    def __init__(
        self,
        *,
        directory: Directory,
        limiter: Limiter,
        journal: Journal,
        attempts: Attempts,
        streams: LiveStreams,
        pepper: bytes,
        options: Options,
    ) -> None:
        self.directory = directory
        self.streams = streams
        self._ids = RequestIds()
        self._limiter = limiter
        self._journal = journal
        self._admission = Admission(limiter, journal)
        self._attempts = attempts
        self._pepper = pepper
        self._options = options

    def new_id(self) -> str:
        """The id of a request, also of one that gets no further."""
        return self._ids.next()

    def authenticate(self, key: bytes | None) -> KeyGrant:
        """The grant of a key, by its full digest; the same refusal whatever is wrong with it."""
        if key is None or len(key) != key_format.LENGTH:
            raise Unauthorized
        grant = self.directory.grants.get(key_format.digest(key, self._pepper))
        if not self.directory.fresh:
            if not key_format.well_formed(key):
                raise Unauthorized
            raise Unavailable(503, "Your key cannot be checked at the moment. Try again.", "shutting_down")
        if grant is None or (grant.expires_at is not None and grant.expires_at <= datetime.now(UTC)):
            raise Unauthorized
        return grant

    async def chat(self, exchange: Exchange, surface: Surface) -> None:
        """Serve one chat completion."""
        grant = self.authenticate(exchange.key)
        chat = chat_request.parse(await exchange.body())
        wanted = quote(chat, grant, self.directory)
        meter = UsageMeter(exchange.request_id, grant, wanted.price, self._journal, self._limiter)
        asked = Asked(
            self._options.id_prefix + exchange.request_id,
            chat.model,
            chat.include_usage,
            wanted.entry.context_window,
            chat.choices,
        )
        seconds = max((route.target.total_timeout_s for route in wanted.entry.routes), default=1)
        meter.deadline = meter.started + seconds
        taken = await self._admission.admit(chat, grant, wanted, meter, seconds)
        call = Call(exchange, surface, grant, chat, wanted, meter, asked, taken)
        try:
            if chat.stream:
                await self._stream(call)
            else:
                await self._answer(call)
        except GatewayError as error:
            meter.void(error.status, error.code or "")
            error.headers += headers.of_call(call.taken, meter)
            raise
        finally:
            if not meter.ended:  # cancelled, or a fault of ours
                meter.void(500, "internal_error")

    async def _answer(self, call: Call) -> None:
        """A whole answer: settle, then send it."""
        meter = call.meter
        answer = await self._attempts.answer(call.chat, call.quote, call.asked, meter)
        cost = meter.settle(
            Outcome(
                answer.usage,
                max(1, answer.text_size // 4),
                finish_reason=answer.finish_reason,
                usage_ignored=answer.usage_ignored,
            )
        )
        if answer.usage is None:
            answer.body["usage"] = usage_body(meter.usage)
        if self._options.show_cost:
            answer.body["cost"] = orjson.Fragment(cost_json(cost))
        body = call.surface.answer(orjson.dumps(answer.body))
        await call.exchange.respond(200, headers.of_answer(call.taken, meter), body)

    async def _stream(self, call: Call) -> None:
        """A stream: bytes as they come, then settlement, and only then the end marker."""
        opened = await self._attempts.stream(call.chat, call.quote, call.asked, call.meter)
        translator, meter = opened.translator, call.meter
        try:
            live = self._live(call, opened)
            self.streams.add(live)
            watcher: asyncio.Task[None] | None = None
            try:
                await call.exchange.start(200, headers.of_stream(call.taken, meter))
                live.started = True
                watcher = asyncio.create_task(relay.watch(call.exchange.receive, live, self.streams))
                await relay.pump(opened.first, opened.reader, translator, live)
            finally:
                live.task = None
                self.streams.remove(live)
                meter.client_gone = bool(live.client_gone_at)
                cost = self._settle_stream(translator, meter)
                if watcher is not None:
                    watcher.cancel()
            await self._end_stream(call, live, translator, cost)
        finally:
            await opened.close()

    def _live(self, call: Call, opened: Opened) -> LiveStream:
        target = opened.route.target
        return LiveStream(
            id=call.exchange.request_id + "00000000",
            tenant_id=call.grant.tenant_id,
            api_key_id=call.grant.api_key_id,
            drain=call.grant.drain if target.drain is None else target.drain,
            idle_timeout_s=target.idle_timeout_s,
            send=call.exchange.send,
            translator=opened.translator,
        )

    def _settle_stream(self, translator: AnswerStream, meter: UsageMeter) -> int:
        """Book a stream, complete or broken."""
        error = translator.failure
        if error is None and not translator.done and not translator.complete():
            error = Unavailable(502, "The stream was broken off.", "bad_gateway")
        return meter.settle(
            Outcome(
                translator.usage,
                translator.delivered(),
                status=200 if error is None else error.status,
                error_code="" if error is None else error.code or "",
                finish_reason=translator.finish_reason,
                usage_ignored=translator.usage_ignored,
            )
        )

    async def _end_stream(self, call: Call, live: LiveStream, translator: AnswerStream, cost: int) -> None:
        """The tail, or the error that broke it."""
        if live.client_gone_at:
            return
        if translator.failure is not None:
            tail = relay.error_event(translator.failure)
        else:
            tail = translator.tail(usage_body(call.meter.usage), cost_json(cost) if self._options.show_cost else None)
        await call.exchange.send({"type": "http.response.body", "body": tail, "more_body": False})


def cost_json(pico: int) -> bytes:
    """``{"amount": 0.000061, "currency": "USD"}``: an exact decimal, written as a JSON number without a float."""
    return b'{"amount":%s,"currency":"USD"}' % money.usd(pico, least_digits=0).encode()
