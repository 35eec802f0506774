"""The walk of one chat completion, from the key to the settlement."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from billing import money
from portal import key_format
from proxy import demands, estimator, headers, recollection, relay
from proxy.admission import Admission, Candidate, Quote, quote
from proxy.attempts import Attempts, Opened, Work
from proxy.chat import ChatRequest
from proxy.dialects.shape import OPENAI, AnswerStream, Asked
from proxy.directory import Directory, KeyGrant
from proxy.errors import GatewayError, Unauthorized, Unavailable
from proxy.exchange import Exchange
from proxy.idempotency import Idempotency, Once, Repeated
from proxy.journal import Journal
from proxy.live import LiveStream, LiveStreams
from proxy.metering import Outcome, UsageMeter
from proxy.rates import Limiter, Taken
from proxy.request_id import RequestIds
from proxy.surfaces import messages_request
from proxy.surfaces.shape import Surface
from proxy.thoughts import Thoughts


@dataclass(frozen=True, slots=True)
class Options:
    """What an installation decides: the prefix of answer ids, whether answers show their cost, the keys' pepper."""

    id_prefix: str = "chatcmpl-"
    show_cost: bool = True
    pepper: bytes = b""


class Memory(NamedTuple):
    """What is remembered for callers between calls: answers by idempotency key, and signed reasoning by tool call."""

    idempotency: Idempotency
    thoughts: Thoughts


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

    def work(self) -> Work:
        """What the attempts need of it."""
        session = self.exchange.headers.get(b"x-session-id", b"")
        return Work(self.chat, self.quote, self.asked, self.meter, session)

    def answering(self) -> Candidate:
        """The model that answered: the one asked for, or a fallback."""
        candidates, route_id = self.quote.candidates, self.meter.route_id
        if len(candidates) == 1:
            return candidates[0]
        return next(one for one in candidates if any(route.id == route_id for route in one.entry.routes))


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
        memory: Memory,
        options: Options,
    ) -> None:
        self.directory = directory
        self.streams = streams
        self._ids = RequestIds()
        self._limiter = limiter
        self._journal = journal
        self._admission = Admission(limiter, journal)
        self._attempts = attempts
        self._memory = memory
        self._digest = key_format.Digester(options.pepper).digest
        self._options = options

    def new_id(self) -> str:
        """The id of a request, also of one that gets no further."""
        return self._ids.next()

    def authenticate(self, key: bytes | None) -> KeyGrant:
        """The grant of a key, by its full digest; the same refusal whatever is wrong with it."""
        if key is None or len(key) != key_format.LENGTH:
            raise Unauthorized
        grant = self.directory.grants.get(self._digest(key))
        if not self.directory.fresh:
            if not key_format.well_formed(key):
                raise Unauthorized
            raise Unavailable(503, "Your key cannot be checked at the moment. Try again.", "shutting_down")
        if grant is None or (grant.expires_at is not None and grant.expires_at <= datetime.now(UTC)):
            raise Unauthorized
        return grant

    async def serve(self, exchange: Exchange, surface: Surface, path: str, once: Once | None = None) -> None:
        """One call, from its key and its bytes to its settlement; ``once`` if it has an idempotency key."""
        grant = self.authenticate(exchange.key)
        if once is None:
            raw = await exchange.body()
            if exchange.deployment:
                raw = named(raw, exchange.deployment)
            if b"idempotency-key" in exchange.headers:
                demands.only_once((b"idempotency-key",), exchange.sent)
                await self._serve_once(exchange, surface, path, Once(self._memory.idempotency, grant, path, raw))
                return
        else:
            raw = once.body
        chat = surface.parse(raw)
        if chat.operation == "messages":
            chat.native_headers = messages_request.native_headers(exchange.headers)
        wants = demands.read(exchange.headers, exchange.sent)
        wanted = quote(chat, grant, self.directory, wants)
        meter = UsageMeter(exchange.request_id, grant, wanted.candidates[0].price, self._journal, self._limiter)
        if (missing := recollection.missing(chat, wanted)) and await self._recalled(chat, grant, missing):
            wanted = quote(chat, grant, self.directory, wants)
            meter.reprice(wanted.candidates[0].price)
        asked = self._asked(exchange, surface, chat, wanted)
        seconds = min(wanted.longest_s(), wants.patience)
        if not chat.stream:
            seconds = min(seconds, wants.silence)
        meter.deadline = meter.started + seconds
        meter.service_tier = chat.service_tier
        claim = None if once is None else partial(once.claim, exchange)
        taken = await self._admission.admit(chat, grant, wanted, meter, math.ceil(seconds), claim)
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
            elif not exchange.started:
                exchange.charged = bool(meter.cost)

    async def _serve_once(self, exchange: Exchange, surface: Surface, path: str, once: Once) -> None:
        """Serve a call under an idempotency key, or repeat the answer that the key had before.

        The call is checked like any other before its key is looked up: what the API key may not use, or the rates
        have no room for, is refused. A repeated call therefore counts as a request, but not its tokens.
        """
        try:
            await self.serve(exchange, surface, path, once)
        except Repeated as repeated:
            answer = repeated.answer
            exchange.name(answer.request_id)
            await exchange.respond(answer.status, (*answer.headers, headers.REPLAYED), answer.body)
        finally:
            await once.settle()

    async def _recalled(self, chat: ChatRequest, grant: KeyGrant, missing: list[str]) -> bool:
        """Put remembered reasoning beside the request, which is larger by it: holds and caps go by its size."""
        found = await self._memory.thoughts.recall(grant.tenant_id, missing)
        chat.thoughts |= found
        chat.size += recollection.added(chat, found)
        return bool(found)

    def _asked(self, exchange: Exchange, surface: Surface, chat: ChatRequest, wanted: Quote) -> Asked:
        prefix = self._options.id_prefix if surface.id_prefix is None else surface.id_prefix
        answer_id, created = prefix + exchange.request_id, int(time.time())
        return Asked(
            answer_id,
            chat.model,
            chat.include_usage,
            wanted.entry.context_window,
            chat.choices,
            created,
            None if surface.speaks == OPENAI else partial(surface.writer, chat, answer_id, created),
            chat.body.get("encoding_format", ""),
        )

    async def _answer(self, call: Call) -> None:
        """A whole answer: settle, then send it."""
        meter = call.meter
        answer = await self._attempts.answer(call.work())
        meter.reported_model = answer.reported_model
        meter.service_tier = tier_to_bill(call.chat, answer.service_tier)
        answering = call.answering()
        said = estimator.unread_tokens(call.chat, answer, answering.output_limit)
        if answer.usage is None:  # only then is the text read
            meter.likely_input = estimator.prompt_tokens(call.chat, answering.entry)
            said = estimator.answer_tokens(call.chat, answering.entry, answer, answering.output_limit)
        cost = meter.settle(
            Outcome(answer.usage, said, 200, "", answer.finish_reason, answer.usage_ignored, answer.text_size)
        )
        if answer.thoughts:
            self._memory.thoughts.remember(call.grant.tenant_id, answer.thoughts)
        shown = money.usd(cost, least_digits=0).encode()
        body = call.surface.answer(call.chat, answer, meter.usage, self._extras(call, answer.finish_reason, shown))
        await call.exchange.respond(200, headers.of_answer(call.taken, meter, shown), body)

    async def _stream(self, call: Call) -> None:
        """A stream: bytes as they come, then settlement, and only then the end marker."""
        opened = await self._attempts.stream(call.work())
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
                if translator.usage is None:
                    meter.likely_input = estimator.prompt_tokens(call.chat, call.answering().entry)
                cost = self._settle_stream(call.chat, meter, live)
                if watcher is not None:
                    watcher.cancel()
            if translator.thoughts:
                self._memory.thoughts.remember(call.grant.tenant_id, translator.thoughts)
            await self._end_stream(call, live, translator, money.usd(cost, least_digits=0).encode())
        finally:
            await opened.close()

    def _extras(self, call: Call, finish_reason: str, cost: bytes) -> dict[str, Any]:
        """What answers say beside the provider's words: their cost, and which demand of the caller's cut them short."""
        extras: dict[str, Any] = {}
        if self._options.show_cost:
            extras["cost"] = orjson.Fragment(cost_json(cost))
        if finish_reason == "length" and (limited := call.quote.candidates[0].limited_by):
            extras["tollgate"] = {"limited_by": limited}
        return extras

    def _live(self, call: Call, opened: Opened) -> LiveStream:
        target = opened.route.target
        live = LiveStream(
            id=call.exchange.request_id + "00000000",
            tenant_id=call.grant.tenant_id,
            api_key_id=call.grant.api_key_id,
            drain=call.grant.drain if target.drain is None else target.drain,
            idle_timeout_s=target.idle_timeout_s,
            send=call.exchange.send,
            translator=opened.translator,
        )
        live.keepalive = call.surface.keepalive
        answering = call.answering()
        live.output_factor = answering.entry.factors.output
        live.most_output = answering.output_limit * call.chat.choices
        if call.exchange.recorded:  # whoever sends an idempotency key means to come back for the answer
            live.drain = live.tell_on = True
        return live

    def _settle_stream(self, chat: ChatRequest, meter: UsageMeter, live: LiveStream) -> int:
        """Book a stream, complete or broken."""
        translator = live.translator
        meter.reported_model = translator.reported_model
        meter.service_tier = tier_to_bill(chat, translator.service_tier)
        error = translator.failure
        if error is None and not translator.done and not translator.complete():
            error = Unavailable(502, "The stream was broken off.", "bad_gateway")
        return meter.settle(
            Outcome(
                translator.usage,
                estimator.delivered(translator, live.output_factor, live.most_output),
                status=200 if error is None else error.status,
                error_code="" if error is None else error.code or "",
                finish_reason=translator.finish_reason,
                usage_ignored=translator.usage_ignored,
                output_bytes=translator.said(),
                partial=not translator.done and not translator.complete(),
            )
        )

    async def _end_stream(self, call: Call, live: LiveStream, translator: AnswerStream, cost: bytes) -> None:
        """The tail, or the error that broke it."""
        if live.client_gone_at and not live.tell_on:
            return
        if translator.failure is not None:
            tail = call.surface.error_event(translator.failure)
        else:
            tail = translator.tail(call.meter.usage, self._extras(call, translator.finish_reason, cost))
        await call.exchange.send({"type": "http.response.body", "body": tail, "more_body": False})


def named(raw: bytes, deployment: str) -> bytes:
    """A body with the model that its path names, unless it names one itself: of a name sent twice the last counts."""
    inner = raw.lstrip()
    if not inner.startswith(b"{"):
        return raw
    rest = inner[1:].lstrip()
    return b'{"model":' + orjson.dumps(deployment) + (b"" if rest.startswith(b"}") else b",") + rest


def tier_to_bill(chat: ChatRequest, served: str) -> str:
    """The service tier that was asked for, unless the upstream served another: nobody pays for a tier unasked."""
    return chat.service_tier if served in ("", chat.service_tier) else ""


def cost_json(usd: bytes) -> bytes:
    """``{"amount": 0.000061, "currency": "USD"}``: an exact decimal, written as a JSON number without a float."""
    return b'{"amount":%s,"currency":"USD"}' % usd
