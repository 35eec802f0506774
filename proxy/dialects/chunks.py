"""What translated streams share: the upstream's events in, OpenAI chunks out, and their count."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.dialects import decoding
from proxy.dialects.shape import UNBOUNDED, Asked
from proxy.dialects.stream_state import StreamState
from proxy.errors import GatewayError, Unavailable
from proxy.sse import TooLong

logger = logging.getLogger(__name__)

MOST_GARBAGE = 16
DONE = b"data: [DONE]\n\n"


class TranslatedStream(StreamState):
    """One stream of another dialect. A subclass reads events in ``event`` and calls ``say``, ``finish`` and ``fail``.

    Events that are no JSON objects are left out, up to MOST_GARBAGE. A broken one, or an end that gives no reason, is
    a failure.
    """

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.counted: Usage | None = None
        self.most_bytes = UNBOUNDED
        self._out: list[bytes] = []
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._chunks = 0
        self._bytes = 0
        self._head = orjson.dumps(
            {
                "id": asked.answer_id,
                "object": "chat.completion.chunk",
                "created": asked.created,
                "model": asked.model,
            }
        )[:-1]

    @property
    def usage(self) -> Usage | None:
        """See AnswerStream."""
        return self.counted

    def feed(self, chunk: bytes) -> bytes:
        """See AnswerStream."""
        if self.done or self.failure is not None:
            return b""
        try:
            return self._read(self._decoder.feed(chunk))
        except TooLong:
            self.fail("The upstream sent an event that is too long.")
            return b""

    def close(self) -> bytes:
        """See AnswerStream."""
        out = b"" if self.done or self.failure is not None else self._read(self._decoder.flush())
        if self.failure is None and not self.done and not self.complete():
            self.fail("The upstream ended its stream too soon.")
        return out

    def delivered(self) -> int:
        """At least one token a chunk; more where chunks are long, at four bytes each."""
        return max(self._chunks, self._bytes // 4)

    def said(self) -> int:
        """See AnswerStream."""
        return self._bytes

    def complete(self) -> bool:
        """See AnswerStream."""
        return len(self._finished) >= self.asked.choices

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """See AnswerStream."""
        if not self.asked.include_usage:
            return DONE
        return self._written({"choices": [], "usage": meters.as_openai(usage), **extras}) + DONE

    def event(self, event: dict[str, Any]) -> None:
        """One event of the upstream."""
        raise NotImplementedError

    def say(self, delta: dict[str, Any], *, size: int, index: int = 0, logprobs: dict[str, Any] | None = None) -> None:
        """A delta for the client; ``size`` is how many bytes of the model's own words are in it."""
        if index not in self._begun:
            self._begun.add(index)
            delta = {"role": "assistant", "content": "", **delta}
        if size:
            self._chunks += 1
            self._bytes += size
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
        self._out.append(self._written({"choices": [choice]}))

    def finish(self, reason: str, *, index: int = 0) -> None:
        """A choice has ended; ``reason`` is one that OpenAI knows."""
        if index in self._finished:
            return
        if index not in self._begun:
            self.say({}, size=0, index=index)
        self._finished.add(index)
        self.finish_reason = reason
        choice: dict[str, Any] = {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}
        self._out.append(self._written({"choices": [choice]}))

    def fail(self, message: str, error: GatewayError | None = None) -> None:
        """The stream broke: the client gets ``error``, or 502 with ``message``."""
        self.failure = error or Unavailable(502, message, "bad_gateway")

    def _read(self, events: list[bytes]) -> bytes:
        for data in events:
            if self.done or self.failure is not None:
                break
            if data.strip() == b"[DONE]":
                self.done = True
                break
            event = decoding.event(data)
            if type(event) is dict:
                self.event(event)
                if self._bytes > self.most_bytes and not self.done and self.failure is None:
                    self._cut_short()
            elif not self.complete():
                self._garbage += 1
                if self._garbage > MOST_GARBAGE or data.lstrip().startswith(b"{"):  # a part of the answer is lost
                    self.fail("The upstream sent something that is no event.")
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _cut_short(self) -> None:
        """End as if the output limit was reached: it was, and the upstream goes on."""
        logger.warning("a stream was cut: the upstream says more than its output limit allows")
        for index in range(self.asked.choices):
            self.finish("length", index=index)
        self.done = True

    def _written(self, rest: dict[str, Any]) -> bytes:
        return b"data: %s,%s\n\n" % (self._head, orjson.dumps(rest)[1:])
