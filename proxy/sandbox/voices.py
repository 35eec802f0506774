"""How one answer is worded on the wire, and the OpenAI way of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from proxy.sandbox import answers
from proxy.sandbox.answers import Envelope
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.plans import Event, Plan
from proxy.sandbox.wire import Request

DONE = b"data: [DONE]"
BENT_USAGE = ("no-usage", "zero-usage", "negative-usage", "huge-usage", "usage-twice", "usage-each")

encode = msgspec.json.Encoder().encode


class Voice(Protocol):
    """One answer's words. Events are bytes without the line ends after them, of which ``newline`` is half."""

    @property
    def newline(self) -> bytes:
        """What ends a line."""

    @property
    def head(self) -> bytes:
        """Header lines of the answer, each with its line end."""

    def whole(self, plan: Plan) -> bytes:
        """The answer in one piece."""

    def events(self, plan: Plan) -> Iterator[Event]:
        """The stream, up to what ``ending`` adds."""

    def ending(self) -> bytes:
        """The last event of a stream that went well; may be nothing."""

    def failing(self) -> bytes:
        """The event of a failure within a stream."""

    def garbage(self) -> bytes:
        """An event that is cut in the middle of its JSON."""


class Refusal(Exception):
    """A request that the face refuses, with the answer that says so."""

    def __init__(self, failure: Failure, model: str = "") -> None:
        super().__init__(failure.status)
        self.failure = failure
        self.model = model


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted request: what to answer, and in whose words; ``voice`` takes the request id."""

    model: str
    asked: Behaviour
    plan: Plan
    stream: bool
    voice: Callable[[str], Voice]
    who: str = ""


class Face(Protocol):
    """One provider's likeness: how its requests are read, and its failures worded."""

    def read(self, request: Request) -> Job | Failure:
        """What to do for a request; a Failure is an answer without a charge. Raises Refusal."""

    def failure(self, asked: Behaviour) -> Failure | None:
        """The failure that a behaviour is at once; None for those that answer, or fail later."""


@dataclass(frozen=True, slots=True)
class OpenAIVoice:
    """The words of OpenAI."""

    envelope: Envelope
    head: bytes
    with_usage: bool = False
    newline: bytes = b"\n"

    def whole(self, plan: Plan) -> bytes:
        """See Voice."""
        return encode(self.envelope.whole(plan))

    def events(self, plan: Plan) -> Iterator[Event]:
        """See Voice."""
        for frame, weight in self.envelope.frames(plan, with_usage=self.with_usage):
            yield Event(b"data: " + encode(frame), *weight)

    def ending(self) -> bytes:
        """See Voice."""
        return DONE

    def failing(self) -> bytes:
        """See Voice."""
        body = answers.error("The server had an error while processing your request.", "server_error", None)
        return b"data: " + encode(body)

    def garbage(self) -> bytes:
        """See Voice."""
        return b'data: {"id":"chatcmpl-broken","choices":[{"delta":{"content":'
