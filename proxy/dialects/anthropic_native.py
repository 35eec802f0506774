"""Anthropic's Messages for clients that speak them, too: bodies and events pass, and are read on their way. Pure."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects import anthropic_answer as answers
from proxy.dialects import decoding
from proxy.dialects.anthropic import PATH, VERSION
from proxy.dialects.anthropic_thinking import LEAST_BUDGET
from proxy.dialects.chunks import MOST_GARBAGE
from proxy.dialects.openai import bend, path_of
from proxy.dialects.shape import ANTHROPIC, UNBOUNDED, Answer, Asked, FailureMessage, UpstreamCall
from proxy.dialects.stream_state import StreamState
from proxy.errors import Unavailable
from proxy.sse import TooLong

logger = logging.getLogger(__name__)

BY_RULES = ("refuse", "most", "drop", "sampling", "rename", "set")
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
MOST_BUFFERED = 64 * 1024

_DELTA = b"event: content_block_delta\n"
_DELTAS = re.compile(rb"(?:event: content_block_delta\ndata: \{[^\r\n]+\}\n\n)+")


class AnthropicNative:
    """The dialect: the client's own body under the upstream's model name and our output limit."""

    speaks = ANTHROPIC

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The body as it came; what the limit and the upstream's rules leave no room for is dropped."""
        native: dict[str, Any] = chat.native or {}
        body: dict[str, Any] = {**native, "model": upstream_model, "max_tokens": output_limit}
        dropped = bend(body, {name: rules[name] for name in BY_RULES if name in rules})
        dropped += _fit_thinking(body, output_limit)
        choice = body.get("tool_choice")
        if rules.get("forced_tool_choice") is False and type(choice) is dict and choice.get("type") in ("any", "tool"):
            body["tool_choice"] = {"type": "auto"}
            dropped += ("tool_choice",)
        headers = (VERSION, *chat.native_headers)
        return UpstreamCall(path_of(rules, upstream_model, PATH), orjson.dumps(body), headers, dropped)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """The upstream's message under our id and the model name that was asked for."""
        body = answers.parsed(raw)
        usage, ignored = answers.read_usage(body.get("usage"), asked.context_window)
        reported = body.get("model")
        body["id"], body["model"] = asked.answer_id, asked.model
        return Answer(
            body,
            usage,
            ignored,
            answers.finish_reason(body.get("stop_reason")),
            answers.size_of(body["content"]),
            reported_model=reported if type(reported) is str else "",
            service_tier=answers.service_tier(body.get("usage")),
            speaks=ANTHROPIC,
        )

    def stream(self, asked: Asked) -> NativeStream:
        """A reader for one stream."""
        return NativeStream(asked)

    def failure_message(self, raw: bytes) -> FailureMessage:
        """What an error body says."""
        return answers.failure_message(raw)


def _fit_thinking(body: dict[str, Any], output_limit: int) -> tuple[str, ...]:
    """A thinking budget stays below the output limit, which may be lower than what the client asked for."""
    thinking = body.get("thinking")
    if type(thinking) is not dict:
        return ()
    budget = thinking.get("budget_tokens")
    if type(budget) is not int or budget < output_limit:
        return ()
    if output_limit <= LEAST_BUDGET:
        del body["thinking"]
        return ("thinking",)
    body["thinking"] = {**thinking, "budget_tokens": output_limit - 1}
    return ()


class NativeStream(StreamState):
    """One stream: blocks of plain deltas pass as they are, the events around them are parsed.

    message_stop is kept for the tail, so that a call is settled before its client may leave.
    """

    __slots__ = (
        "_block",
        "_buffer",
        "_bytes",
        "_ending",
        "_events",
        "_overhead",
        "_usage",
        "most_bytes",
        "usage",
    )

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.usage: Usage | None = None
        self._buffer = b""
        self._usage: dict[str, Any] = {}
        self._ending: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": None, "stop_sequence": None}}
        self.most_bytes = UNBOUNDED
        self._block = 0
        self._events = 0
        self._bytes = 0
        self._overhead = 0

    def feed(self, chunk: bytes) -> bytes:
        """See AnswerStream."""
        if self.done or self.failure is not None:
            return b""
        if self._buffer:
            chunk, self._buffer = self._buffer + chunk, b""
        if self._overhead and not self._decoder.pending:
            end = chunk.rfind(b"\n\n") + 2
            if end == 1 and b"\r" not in chunk and len(chunk) < MOST_BUFFERED:
                self._buffer = chunk
                return b""
            block = chunk if end == len(chunk) else chunk[:end]
            if _DELTAS.fullmatch(block) is not None and decoding.readable(block):
                self._buffer = chunk[end:]
                self._events += block.count(_DELTA)  # a line of its own, which no JSON text can hold
                self._bytes += len(block)
                return block if self._bytes < self.most_bytes or self._in_bounds() else block + self._cut_short()
        return self._translate(chunk)

    def close(self) -> bytes:
        """See AnswerStream."""
        rest, self._buffer = self._buffer, b""
        out = self._translate(rest) if rest and not self.done and self.failure is None else b""
        if not self.done and self.failure is None:
            out += self._events_out(self._decoder.flush())
        if self.failure is None and not self.done and not self.complete():
            self.failure = Unavailable(502, "The upstream ended its stream too soon.", "bad_gateway")
        return out

    def delivered(self) -> int:
        """At least one token a delta; more where they are long: four bytes each, beyond what every one repeats."""
        return max(self._events, self.said() // 4) if self._events else 0

    def said(self) -> int:
        """See AnswerStream."""
        return max(0, self._bytes - self._events * self._overhead)

    def complete(self) -> bool:
        """See AnswerStream."""
        return bool(self.finish_reason)

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """Why it stopped and what it used, which was kept back for what we add; and the last event.

        The upstream's own words for its usage stay, if they can be true.
        """
        believed = self.usage is not None and not self.usage_ignored and "usage" in self._ending
        ending = (
            {**self._ending, **extras} if believed else {**self._ending, "usage": meters.as_anthropic(usage), **extras}
        )
        return b"event: message_delta\ndata: " + orjson.dumps(ending) + b"\n\n" + STOP

    def _translate(self, chunk: bytes) -> bytes:
        try:
            return self._events_out(self._decoder.feed(chunk))
        except TooLong:
            self.failure = Unavailable(502, "The upstream sent an event that is too long.", "bad_gateway")
            return b""

    def _events_out(self, events: list[bytes]) -> bytes:
        out = []
        for data in events:
            if self.done or self.failure is not None:
                break
            out.append(self._event(data))
            if self._bytes > self.most_bytes and not self.done and not self._in_bounds():
                out.append(self._cut_short())
        return b"".join(out)

    def _in_bounds(self) -> bool:
        """Whether the model may go on: half of what was counted, since some deltas repeat more, and escape much."""
        return self.said() // 2 <= self.most_bytes or self.failure is not None

    def _cut_short(self) -> bytes:
        """End as if the output limit was reached: it was, and the upstream goes on. The block being written ends."""
        logger.warning("a stream was cut: the upstream says more than its output limit allows")
        self.finish_reason, self.done = "length", True
        self._ending = {"type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": None}}
        stop = {"type": "content_block_stop", "index": self._block}
        return b"event: content_block_stop\ndata: " + orjson.dumps(stop) + b"\n\n"

    def _event(self, data: bytes) -> bytes:
        """One event, parsed and taken note of; its data stays as it came, but for our id and model."""
        event = decoding.event(data)
        kind = event.get("type") if type(event) is dict else None
        if type(event) is not dict or type(kind) is not str or not kind.isidentifier():
            self._garbage += 1
            if self._garbage > MOST_GARBAGE or data.lstrip().startswith(b"{"):  # a part of the answer is lost
                self.failure = Unavailable(502, "The upstream sent something that is no event.", "bad_gateway")
            return b""
        if kind == "error":
            self.failure = answers.error_of(event)
            return b""
        if kind == "message_stop":
            self.done = True
            return b""
        if kind == "message_start" and type(event.get("message")) is dict:
            data = self._begin(event)
        elif kind == "message_delta":
            self._note_usage(event.get("usage"))
            delta = event.get("delta")
            reason = delta.get("stop_reason") if type(delta) is dict else None
            if reason:
                self.finish_reason = answers.finish_reason(reason)
                self._ending = event
                return b""
        if not decoding.readable(data):
            data = orjson.dumps(event)
        written = b"event: %s\ndata: %s\n\n" % (kind.encode(), data.replace(b"\n", b" "))
        if kind == "content_block_start":
            self._block = event.get("index", 0)
        elif kind == "content_block_delta":
            self._learn(event, written)
        return written

    def _begin(self, event: dict[str, Any]) -> bytes:
        message = event["message"]
        model = message.get("model")
        self.reported_model = model if type(model) is str else ""
        self._note_usage(message.get("usage"))
        message["id"], message["model"] = self.asked.answer_id, self.asked.model
        return orjson.dumps(event)

    def _learn(self, event: dict[str, Any], written: bytes) -> None:
        """How much of a delta's bytes every delta repeats."""
        delta = event.get("delta")
        said = [delta.get(name) for name in ("text", "thinking", "partial_json")] if type(delta) is dict else []
        size = sum(len(text.encode()) for text in said if type(text) is str)
        if not self._overhead:
            self._overhead = len(written) - size
        if size:
            self._events += 1
            self._bytes += self._overhead + size

    def _note_usage(self, usage: object) -> None:
        """Counts are cumulative: later ones replace earlier ones, and what is missing stays."""
        if type(usage) is not dict:
            return
        self._usage.update((name, value) for name, value in usage.items() if value is not None)
        read, ignored = answers.read_usage(self._usage, self.asked.context_window)
        if read is not None:
            self.usage, self.usage_ignored = read, False
        elif self.usage is None:
            self.usage_ignored = self.usage_ignored or ignored
        self.service_tier = answers.service_tier(self._usage) or self.service_tier
