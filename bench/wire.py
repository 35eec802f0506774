"""A client for open loops and paced streams: HTTP/1.1 on uvloop, as little work per byte as Python allows."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from bench.product import BenchProblem

PROMPT = (
    ("system", "You are a helpful assistant of a travel agency. Answer briefly."),
    (
        "user",
        "Which three towns between Lyon and Marseille are worth a stop of half a day, "
        "and how do I get from one to the next by train?",
    ),
)
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send what: ``data`` is one whole HTTP request."""

    host: str
    port: int
    data: bytes


def target(url: str, key: str, model: str, *, stream: bool = False) -> Target:
    """A call with the small prompt of ``wrk.lua``."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    messages = [{"role": role, "content": content} for role, content in PROMPT]
    body = json.dumps({"model": model, "stream": stream, "temperature": 0.7, "messages": messages}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return Target(host, port, head.encode() + body)


class Line(asyncio.Protocol):
    """A connection that is kept, for one whole answer at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._buffer = b""
        self._answer: asyncio.Future[float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchProblem("a connection was closed before its answer"))

    def call(self, data: bytes) -> asyncio.Future[float]:
        """Send a request; the future is the moment its answer was complete (``time.perf_counter``)."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        at = self._buffer.lower().find(LENGTH, 0, end)
        if end < 0 or at < 0 or self._answer is None:
            return
        length = int(self._buffer[at + len(LENGTH) : self._buffer.index(b"\r", at)])
        if len(self._buffer) < end + len(HEAD_END) + length:
            return
        if self._buffer.startswith(b"HTTP/1.1 200"):
            self._answer.set_result(time.perf_counter())
        else:
            self._answer.set_exception(BenchProblem(f"not a 200: {self._buffer[:400]!r}"))
        self._buffer = b""


class Stream(asyncio.Protocol):
    """One paced stream. ``arrivals`` are (time, chunks so far), one per read."""

    TICK = b'" tick"'

    def __init__(self, data: bytes) -> None:
        self.arrivals: list[tuple[float, int]] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ticks = 0
        self._data = data
        self._tail = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.arrivals and not data.startswith(b"HTTP/1.1 200"):
            self._end(BenchProblem(f"not a 200: {data[:400]!r}"))
            return
        block = self._tail + data
        self.ticks += block.count(self.TICK)
        self._tail = block[-(len(self.TICK) - 1) :]
        self.arrivals.append((now, self.ticks))
        if b"data: [DONE]" in data:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(BenchProblem("a stream was cut"))

    def _end(self, problem: BenchProblem | None) -> None:
        if not self.ended.done():
            if problem is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(problem)
            self._transport.close()
