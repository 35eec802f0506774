"""What a dialect is: how a request, an answer, a stream and a failure of one kind of upstream read. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.errors import GatewayError


class MalformedAnswer(Exception):
    """The upstream answered with success and something that is no answer."""


class Asked(NamedTuple):
    """What an answer must show: its id, the model name asked for, and in a stream usage, if that was asked for."""

    answer_id: str
    model: str
    include_usage: bool
    context_window: int
    choices: int = 1


class UpstreamCall(NamedTuple):
    """A request in the upstream's words: path below its base URL, headers besides its credential, and body."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Answer:
    """A whole answer in OpenAI's shape. ``usage`` is None where the upstream's counts are missing or cannot be true."""

    body: dict[str, Any]
    usage: Usage | None
    usage_ignored: bool
    finish_reason: str
    text_size: int = 0


class AnswerStream(Protocol):
    """A stream being translated: bytes of the upstream in, bytes for an OpenAI client out, whole events only."""

    usage: Usage | None
    usage_ignored: bool
    finish_reason: str
    failure: GatewayError | None
    done: bool

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets of ``chunk``, without the usage chunk and the end marker. May be empty."""

    def close(self) -> bytes:
        """The upstream ended: what was still held back. Sets ``failure`` where it ended too soon."""

    def delivered(self) -> int:
        """Output tokens that went to the client so far, estimated."""

    def complete(self) -> bool:
        """Whether every choice has said why it finished: then what is missing of the stream is no loss."""

    def tail(self, usage: dict[str, Any], cost: bytes | None) -> bytes:
        """The usage chunk, if it was asked for, with ``cost`` as JSON in it, and the end marker.

        ``usage`` stands in where the upstream's own is missing or cannot be true.
        """


class Dialect(Protocol):
    """One wire format."""

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The request for the upstream; the output limit is always in it, so that the hold is a real bound."""

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """A whole answer; raises MalformedAnswer, or GatewayError where the upstream put an error into a success."""

    def stream(self, asked: Asked) -> AnswerStream:
        """A translator for one stream."""

    def failure_message(self, raw: bytes) -> FailureMessage:
        """What an error body says."""


@dataclass(frozen=True, slots=True)
class FailureMessage:
    """An upstream's error in its own words, bounded and without hosts or keys."""

    message: str = ""
    code: str = ""
    param: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
