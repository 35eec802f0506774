"""What one OpenAI-compatible provider does its own way; by itself it is OpenAI's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.sandbox import answers, failures
from proxy.sandbox.answers import Weight
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.plans import Event, Plan
from proxy.sandbox.voices import DONE, OpenAIVoice, Refusal

Frame = dict[str, Any]
Frames = Iterator[tuple[Frame, Weight]]

encode = msgspec.json.Encoder().encode


class Style:
    """The deviations; a provider overrides those that it has.

    ``thinking`` is the member of a message that shows thoughts, ``opening`` what a stream starts with, ``before`` what
    a whole answer does. ``always_usage`` sends usage in streams whether it was asked for or not.
    """

    thinking = "reasoning_content"
    opening: tuple[bytes, ...] = ()
    before = b""
    always_usage = False

    def check(self, body: Frame, asked: Behaviour) -> None:
        """Raise the Refusal of what the provider does not take."""

    def body(self, body: Frame, plan: Plan) -> Frame:
        """A whole answer, bent."""
        return body

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """The chunks of a stream, bent."""
        yield from frames

    def error(self, status: int, message: str, kind: str, code: str | None) -> Frame:
        """An error body."""
        return answers.error(message, kind, code)

    def broken(self, first: Frame) -> Frame:
        """The event of a failure within a stream; ``first`` is what every chunk repeats."""
        return self.error(500, "The server had an error while processing your request.", "server_error", None)

    def failure(self, asked: Behaviour) -> Failure | None:
        """See Face."""
        if asked.kind not in failures.STATUSES:
            return failures.failure(asked)
        status, message, kind, code = failures.STATUSES[asked.kind]
        headers = b"retry-after: %d\r\n" % asked.first if asked.kind in ("429", "503") and asked.first else b""
        return Failure(status, encode(self.error(status, message, kind, code)), headers=headers)

    def refused(self, status: int, message: str, code: str | None = None) -> Refusal:
        """A refusal in the provider's words."""
        return Refusal(Failure(status, encode(self.error(status, message, "invalid_request_error", code))))


@dataclass(frozen=True, slots=True)
class StyleVoice:
    """OpenAI's words, bent by a style. See Voice."""

    plain: OpenAIVoice
    style: Style
    newline: bytes = b"\n"

    @property
    def head(self) -> bytes:
        """See Voice."""
        return self.plain.head

    def whole(self, plan: Plan) -> bytes:
        """See Voice."""
        return self.style.before + encode(self.style.body(self.plain.envelope.whole(plan), plan))

    def events(self, plan: Plan) -> Iterator[Event]:
        """See Voice."""
        for data in self.style.opening:
            yield Event(data)
        with_usage = self.plain.with_usage or self.style.always_usage
        for frame, weight in self.style.frames(self.plain.envelope.frames(plan, with_usage=with_usage), plan):
            yield Event(b"data: " + encode(frame), *weight)

    def ending(self) -> bytes:
        """See Voice."""
        return DONE

    def failing(self) -> bytes:
        """See Voice."""
        envelope = self.plain.envelope
        first = {"id": envelope.ident, "object": "chat.completion.chunk", "created": envelope.created}
        return b"data: " + encode(self.style.broken({**first, "model": envelope.model}))

    def garbage(self) -> bytes:
        """See Voice."""
        return self.plain.garbage()


def whole_calls(frames: Frames) -> Frames:
    """Chunks in which every tool call comes in one piece."""
    pending: dict[tuple[int, int], tuple[Frame, Weight]] = {}
    for frame, weight in frames:
        delta = frame["choices"][0]["delta"] if frame["choices"] else {}
        if "tool_calls" not in delta:
            yield from pending.values()
            pending.clear()
            yield frame, weight
            continue
        call = delta["tool_calls"][0]
        key = frame["choices"][0]["index"], call["index"]
        if key not in pending:
            pending[key] = frame, weight
            continue
        known, before = pending[key]
        known["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] += call["function"]["arguments"]
        pending[key] = known, Weight(*(one + other for one, other in zip(before, weight, strict=True)))
    yield from pending.values()


def usage_with_finish(frames: Frames) -> Frames:
    """Chunks in which the usage is in the last one that has a choice; none comes after it."""
    held: tuple[Frame, Weight] | None = None
    for frame, weight in frames:
        if held is not None:
            if not frame["choices"]:
                held[0]["usage"] = frame["usage"]
                continue
            yield held
        held = frame, weight
        if frame.get("usage", 0) is None:
            del frame["usage"]
    if held is not None:
        yield held


def unknown(body: Frame, known: Iterable[str]) -> list[str]:
    """Members of the body that the provider has no place for."""
    return [name for name in body if name not in known]
