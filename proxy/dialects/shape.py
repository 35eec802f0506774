"""What a dialect is: how a request, an answer, a stream and a failure of one kind of upstream read. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.errors import GatewayError

OPENAI = "openai"
ANTHROPIC = "anthropic"
UNBOUNDED = 2**31 - 1


class MalformedAnswer(Exception):
    """The upstream answered with success and something that is no answer."""


class ChunkWriter(Protocol):
    """A surface's way to write a stream: OpenAI chunks in, the client's own events out."""

    def chunk(self, chunk: dict[str, Any]) -> bytes:
        """One chunk that has choices."""

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """Everything after the last chunk, with what was used. ``extras``: see AnswerStream."""


class Asked(NamedTuple):
    """What an answer must show: its id, the model name asked for, and in a stream usage, if that was asked for.

    ``writer`` makes the writer of a surface that does not speak OpenAI; ``created`` is in seconds since 1970.
    ``encoding`` is how embeddings were asked for: base64, or float where it is empty.
    """

    answer_id: str
    model: str
    include_usage: bool
    context_window: int
    choices: int = 1
    created: int = 0
    writer: Callable[[], ChunkWriter] | None = None
    encoding: str = ""


class UpstreamCall(NamedTuple):
    """A request in the upstream's words: path below its base URL, headers besides its credential, and body.

    ``dropped`` are the client's parameters that this upstream has no way to be told.
    """

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(slots=True)
class Answer:
    """A whole answer in the words of ``speaks``. ``usage`` is None where the upstream's counts are missing or untrue.

    ``thoughts`` are the signed reasoning that must come back with a tool call, by the call's id.
    """

    body: dict[str, Any]
    usage: Usage | None
    usage_ignored: bool
    finish_reason: str
    text_size: int = 0
    reported_model: str = ""
    service_tier: str = ""
    speaks: str = OPENAI
    thoughts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class AnswerStream(Protocol):
    """A stream being translated: bytes of the upstream in, bytes for the client out, whole events only.

    Once the model has clearly said more than ``most_bytes``, the stream ends as if it had reached its output limit.
    """

    most_bytes: int
    failure: GatewayError | None

    @property
    def usage(self) -> Usage | None:
        """The upstream's counts; None while they are missing or cannot be true."""

    @property
    def usage_ignored(self) -> bool:
        """Whether there were counts that cannot be true."""

    @property
    def finish_reason(self) -> str:
        """The last choice's, in OpenAI's words; empty while there is none."""

    @property
    def done(self) -> bool:
        """Whether the upstream said that this was all."""

    @property
    def reported_model(self) -> str:
        """What the upstream calls the model that answers."""

    @property
    def service_tier(self) -> str:
        """The tier that the upstream says it served."""

    @property
    def thoughts(self) -> dict[str, list[dict[str, Any]]]:
        """Signed reasoning that must come back with a tool call, by the call's id."""

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets of ``chunk``, without the usage chunk and the end marker. May be empty."""

    def close(self) -> bytes:
        """The upstream ended: what was still held back. Sets ``failure`` where it ended too soon."""

    def delivered(self) -> int:
        """Output tokens that went to the client so far, estimated."""

    def said(self) -> int:
        """UTF-8 bytes of what the model said so far, reasoning and arguments of tool calls included; 0 if unknown."""

    def complete(self) -> bool:
        """Whether every choice has said why it finished: then what is missing of the stream is no loss."""

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """The usage chunk, if it was asked for, with the members of ``extras`` (cost, tollgate), and the end marker.

        ``usage`` stands in where the upstream's own words for it are missing or cannot be true.
        """


class Dialect(Protocol):
    """One wire format, for one operation. ``speaks`` are the words its answers and streams come in."""

    speaks: str

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The request for the upstream; the output limit is always in it, so that the hold is a real bound.

        ``rules`` are the upstream's and the model's, merged (proxy/rules.py). Raises BadRequest for what the
        upstream cannot do and must not be dropped.
        """

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
