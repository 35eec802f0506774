"""Answers of ``sandbox/fixed`` and ``sandbox/paced`` encoded ahead, for benchmarks: no charge, hardly any CPU."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from proxy.sandbox import answers
from proxy.sandbox.answers import Call, Envelope
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import JSON
from proxy.sandbox.plans import Plan
from proxy.sandbox.voices import DONE
from proxy.sandbox.wire import STREAM_HEAD, Connection

CREATED = 1735689600
IDENT = "chatcmpl-000000000000000000000000"


class FastAnswers:
    """Sends answers that differ only by model, prompt tokens, token limit and form, each encoded once."""

    def __init__(self) -> None:
        self.served = 0

    def takes(self, asked: Behaviour) -> bool:
        """Whether this kind has answers encoded ahead."""
        return asked.kind in ("fixed", "paced")

    def answer(self, call: Call, asked: Behaviour, connection: Connection) -> None:
        """Send the answer now or, timed by the event loop, later."""
        self.served += 1
        plan = answers.plan(call, asked)
        if not call.stream:
            whole_ms = asked.first if asked.kind == "fixed" else asked.first * asked.second
            _later(connection, whole_ms, encoded(call.model, plan))
            return
        chunks = encoded_stream(call.model, plan, call.wants_usage)
        if asked.kind == "fixed":
            _later(connection, asked.first, b"".join(chunks))
        else:
            Pacer(connection, chunks, asked.second / 1000).start()


@lru_cache(maxsize=256)
def encoded(model: str, plan: Plan) -> bytes:
    """A whole HTTP answer."""
    body = msgspec.json.encode(Envelope(IDENT, model, CREATED).whole(plan))
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (JSON, len(body), body)


@lru_cache(maxsize=256)
def encoded_stream(model: str, plan: Plan, with_usage: bool) -> tuple[bytes, ...]:
    """The HTTP answer of a stream, cut where its pace waits: before each token."""
    parts = [STREAM_HEAD + b"\r\n"]
    for frame, weight in Envelope(IDENT, model, CREATED).frames(plan, with_usage=with_usage):
        event = _chunk(b"data: " + msgspec.json.encode(frame) + b"\n\n")
        if weight.tokens:
            parts.append(event)
        else:
            parts[-1] += event
    parts[-1] += _chunk(DONE + b"\n\n") + b"0\r\n\r\n"
    return tuple(parts)


class Pacer:
    """Writes the parts of a stream at fixed times, whatever the lateness of the one before."""

    __slots__ = ("connection", "due", "index", "parts", "seconds")

    def __init__(self, connection: Connection, parts: tuple[bytes, ...], seconds: float) -> None:
        self.connection = connection
        self.parts = parts
        self.seconds = seconds
        self.index = 0
        self.due = connection.loop.time()

    def start(self) -> None:
        """Write the first part now and the others as they fall due."""
        while not self.connection.closed:
            self.connection.write(self.parts[self.index])
            self.index += 1
            if self.index == len(self.parts):
                self.connection.finish()
                return
            if self.seconds:
                self.due += self.seconds
                self.connection.loop.call_at(self.due, self.start)
                return


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _later(connection: Connection, milliseconds: int, data: bytes) -> None:
    if milliseconds:
        connection.loop.call_later(milliseconds / 1000, _write_and_finish, connection, data)
    else:
        _write_and_finish(connection, data)


def _write_and_finish(connection: Connection, data: bytes) -> None:
    connection.write(data)
    connection.finish()
