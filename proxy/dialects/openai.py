"""The OpenAI chat-completions dialect, spoken by OpenAI and by everybody compatible with it. Bytes pass with a tee."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects.shape import Answer, Asked, FailureMessage, MalformedAnswer, UpstreamCall
from proxy.errors import GatewayError, Unavailable, excerpt
from proxy.sse import EventDecoder, TooLong

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
MOST_BUFFERED = 64 * 1024
DONE = b"data: [DONE]\n\n"

_PLAIN_BLOCK = re.compile(rb"(?:data: \{[^\r\n]+\}\n\n)+")
_SPECIAL = re.compile(rb'"usage":\s*[^n\s]|"finish_reason":\s*[^n\s]|"error":')
_SECRETS = re.compile(r"https?://\S+|\b(?:sk|pk|key|AIza)[-_A-Za-z0-9*]{6,}", re.ASCII)


class OpenAI:
    """The dialect."""

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The client's parameters under the upstream's model name, usage always asked for, output always limited."""
        body = dict(chat.body)
        body["model"] = upstream_model
        wanted = rules.get("max_tokens_param")
        if wanted is None:
            wanted = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        body.pop("max_tokens", None)
        body.pop("max_completion_tokens", None)
        body[wanted] = output_limit
        if chat.stream:
            body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
        for name in rules.get("drop", ()):
            body.pop(name, None)
        return UpstreamCall("/chat/completions", orjson.dumps(body))

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """A whole answer: the upstream's own, under our id and the model name that was asked for."""
        try:
            body = orjson.loads(raw)
        except ValueError:
            raise MalformedAnswer("not JSON") from None
        if type(body) is not dict:
            raise MalformedAnswer("not an object")
        if body.get("error"):
            raise embedded_failure(body)
        choices = body.get("choices")
        if type(choices) is not list or not choices:
            raise MalformedAnswer("no choices")
        finish, size = "", 0
        for index, choice in enumerate(choices):
            if type(choice) is not dict or type(choice.get("message")) is not dict:
                raise MalformedAnswer("a choice without a message")
            choice.setdefault("index", index)
            choice["finish_reason"] = finish = finish_reason(choice.get("finish_reason"))
            size += message_size(choice["message"])
        usage, ignored = read_usage(body.get("usage"), asked.context_window)
        body["id"] = asked.answer_id
        body["object"] = "chat.completion"
        body["model"] = asked.model
        return Answer(body, usage, ignored, finish, size)

    def stream(self, asked: Asked) -> OpenAIStream:
        """A translator for one stream."""
        return OpenAIStream(asked)

    def failure_message(self, raw: bytes) -> FailureMessage:
        """``{"error": {…}}``, ``{"error": "…"}``, ``{"message"}``, ``{"detail"}``; HTML and the rest say nothing."""
        try:
            body = orjson.loads(raw)
        except ValueError:
            return FailureMessage()
        if type(body) is list and body:
            body = body[0]
        error = body.get("error", body) if type(body) is dict else body
        if type(error) is str:
            return FailureMessage(bounded(error))
        if type(error) is not dict:
            return FailureMessage()
        text = error.get("message") or error.get("detail") or ""
        code, param = error.get("code"), error.get("param")
        return FailureMessage(
            bounded(text) if type(text) is str else "",
            excerpt(code) if type(code) is str else "",
            excerpt(param) if type(param) is str else None,
        )


class OpenAIStream:
    """One stream. Blocks of plain content chunks pass as they are but for id and model; anything else is parsed."""

    __slots__ = (
        "_asked",
        "_buffer",
        "_bytes",
        "_decoder",
        "_events",
        "_finished",
        "_ours",
        "_overhead",
        "_raw_usage",
        "_theirs",
        "_told",
        "done",
        "failure",
        "finish_reason",
        "usage",
        "usage_ignored",
    )

    def __init__(self, asked: Asked) -> None:
        self.usage: Usage | None = None
        self.usage_ignored = False
        self.finish_reason = ""
        self.failure: GatewayError | None = None
        self.done = False
        self._asked = asked
        self._decoder = EventDecoder()
        self._buffer = b""
        self._raw_usage: dict[str, Any] | None = None
        self._theirs: tuple[bytes, bytes] | None = None
        self._ours = (_member("id", asked.answer_id), _member("model", asked.model))
        self._told: dict[str, Any] = {}
        self._finished: set[int] = set()
        self._events = 0
        self._bytes = 0
        self._overhead = 0

    def feed(self, chunk: bytes) -> bytes:
        """See AnswerStream."""
        if self.done or self.failure is not None:
            return b""
        if self._buffer:
            chunk = self._buffer + chunk
            self._buffer = b""
        if self._theirs is not None and not self._decoder.pending:
            end = chunk.rfind(b"\n\n") + 2
            if end == 1 and b"\r" not in chunk and len(chunk) < MOST_BUFFERED:
                self._buffer = chunk
                return b""
            plain = self._pass(chunk if end == len(chunk) else chunk[:end])
            if plain is not None:
                self._buffer = chunk[end:]
                return plain
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
        """At least one token a chunk; more where chunks are long: four bytes each, beyond what every chunk repeats."""
        if not self._events:
            return 0
        return max(self._events, (self._bytes - self._events * self._overhead) // 4)

    def complete(self) -> bool:
        """See AnswerStream."""
        return len(self._finished) >= self._asked.choices

    def tail(self, usage: dict[str, Any], cost: bytes | None) -> bytes:
        """See AnswerStream."""
        if not self._asked.include_usage:
            return DONE
        chunk = {**self._told, "choices": [], "usage": self._raw_usage or usage}
        if cost is not None:
            chunk["cost"] = orjson.Fragment(cost)
        return b"data: " + orjson.dumps(chunk) + b"\n\n" + DONE

    def _pass(self, block: bytes) -> bytes | None:
        """A block of nothing but plain content chunks, renamed; None where any of it needs parsing."""
        events = block.count(b'"delta":{')
        if (
            events == 0
            or events != block.count(b"\n\n")
            or _SPECIAL.search(block) is not None
            or _PLAIN_BLOCK.fullmatch(block) is None
        ):
            return None
        theirs, ours = self._theirs, self._ours
        if theirs is None or block.count(theirs[0]) != events or block.count(theirs[1]) != events:
            return None
        self._events += events
        self._bytes += len(block)
        # A quote inside a JSON text is always escaped, so these members can only be the chunk's own.
        return block.replace(theirs[0], ours[0]).replace(theirs[1], ours[1])

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
            if data.strip() == b"[DONE]":
                self.done = True
                break
            out.append(self._event(data))
        return b"".join(out)

    def _event(self, data: bytes) -> bytes:
        """One event, parsed, taken note of and written anew; nothing for one that only brings usage."""
        try:
            chunk = orjson.loads(data)
        except ValueError:
            chunk = None
        if type(chunk) is not dict:
            self.failure = Unavailable(502, "The upstream sent something that is no chunk.", "bad_gateway")
            return b""
        if chunk.get("error"):
            self.failure = embedded_failure(chunk)
            return b""
        if chunk.get("usage") is not None:
            self._note_usage(chunk.pop("usage"))
        choices = chunk.get("choices")
        if type(choices) is not list or not choices:
            return b""
        return self._content(chunk, choices, data)

    def _content(self, chunk: dict[str, Any], choices: list[Any], data: bytes) -> bytes:
        """A chunk with choices: our id and model, a delta in each, a finish reason OpenAI knows."""
        size = 0
        for place, choice in enumerate(choices):
            if type(choice) is not dict:
                self.failure = Unavailable(502, "The upstream sent something that is no chunk.", "bad_gateway")
                return b""
            delta = choice.get("delta")
            if type(delta) is not dict:
                choice["delta"] = delta = {}
            index = choice.setdefault("index", place)
            size += message_size(delta)
            reason = choice.get("finish_reason")
            if reason == "error":
                self.failure = Unavailable(502, "The upstream failed in the middle of its answer.", "bad_gateway")
                return b""
            if reason:
                choice["finish_reason"] = self.finish_reason = finish_reason(reason)
                self._finished.add(index)
            else:
                choice["finish_reason"] = None
        if self._theirs is None:
            self._learn(chunk, data, size)
        chunk["id"], chunk["object"], chunk["model"] = self._asked.answer_id, "chat.completion.chunk", self._asked.model
        if not self._told:
            self._told = {name: value for name, value in chunk.items() if name != "choices"}
        if size:
            self._events += 1
            self._bytes += self._overhead + size
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def _learn(self, chunk: dict[str, Any], data: bytes, size: int) -> None:
        """How the upstream writes its id and model in every chunk, so that later blocks need no parsing."""
        self._overhead = len(data) + 8 - size
        theirs = chunk.get("id"), chunk.get("model")
        if type(theirs[0]) is str and type(theirs[1]) is str:
            members = _member("id", theirs[0]), _member("model", theirs[1])
            if data.count(members[0]) == 1 and data.count(members[1]) == 1:
                self._theirs = members

    def _note_usage(self, usage: object) -> None:
        """Usage is cumulative: the last that can be true wins."""
        read, ignored = read_usage(usage, self._asked.context_window)
        if read is not None:
            self.usage = read
            self._raw_usage = usage if type(usage) is dict else None
            self.usage_ignored = False
        elif self.usage is None:
            self.usage_ignored = self.usage_ignored or ignored


def read_usage(usage: object, context_window: int) -> tuple[Usage | None, bool]:
    """The token classes, or None and whether counts were there that cannot be true."""
    if type(usage) is not dict:
        return None, False
    try:
        return meters.from_openai(usage, context_window=context_window), False
    except meters.UsageProblem:
        given = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        return None, any(value not in (None, 0) for value in given)


def usage_body(usage: Usage) -> dict[str, Any]:
    """Our own counts in OpenAI's shape: prompt_tokens include cached ones, completion_tokens include reasoning."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": usage.input_audio},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.output_audio},
    }


def finish_reason(reason: object) -> str:
    """A reason OpenAI's clients know; others mean that it stopped."""
    return reason if type(reason) is str and reason in FINISH_REASONS else "stop"


def message_size(message: dict[str, Any]) -> int:
    """UTF-8 bytes of what a message or delta says, arguments of tool calls included."""
    size = 0
    for name in ("content", "reasoning_content", "reasoning", "refusal"):
        text = message.get(name)
        if type(text) is str:
            size += len(text.encode())
    calls = message.get("tool_calls")
    return size + len(orjson.dumps(calls)) if calls else size


def embedded_failure(body: dict[str, Any]) -> GatewayError:
    """An error inside a successful answer or a stream: the upstream's fault, in its own bounded words."""
    error = body["error"]
    text = error.get("message") if type(error) is dict else error
    said = f": {bounded(text)}" if type(text) is str and text else "."
    return Unavailable(502, f"The upstream failed{said}", "bad_gateway")


def bounded(text: str) -> str:
    """At most 400 characters of an upstream's words, addresses and keys blotted out, NUL left out."""
    return _SECRETS.sub("…", text[:4000]).replace("\0", "")[:400]


def _member(name: str, value: str) -> bytes:
    """A member as compact JSON writes it."""
    return orjson.dumps({name: value})[1:-1]
