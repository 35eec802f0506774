"""A small HTTP/1.1 server on asyncio: one connection, its requests in order, and answers that are cheap to send.

It is made for the sandbox, where the benchmark measures somebody else's CPU, and it lets an answer go wrong on purpose.
A client that closes its side, or half of it, is gone: the running answer is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
PAUSE_READING_AT = 256 * 1024
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n"
)


class BadRequest(Exception):
    """Bytes that are no HTTP request this server reads; the connection is closed after a 400."""


@dataclass(slots=True)
class Request:
    """One request; header names are lower case, the body is complete."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes = b""
    arrived: float = field(default=0.0)

    def header(self, name: bytes, default: str = "") -> str:
        """A header as text."""
        value = self.headers.get(name)
        return default if value is None else value.decode("latin-1")


def parse_head(head: bytes) -> Request:
    """A request without its body from the bytes before the blank line."""
    lines = head.split(b"\r\n")
    try:
        method, target, _version = lines[0].decode("ascii").split(" ")
    except ValueError as error:
        raise BadRequest("The request line cannot be read.") from error
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            raise BadRequest("A header has no colon.")
        headers[name.lower()] = value.strip()
    path, _, query = target.partition("?")
    return Request(method, path, query, headers)


def read_chunked(buffer: bytes | bytearray, start: int) -> tuple[bytes, int] | None:
    """A chunked body that begins at ``start`` and the position after it; None while it is incomplete."""
    parts: list[bytes] = []
    while True:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        try:
            size = int(bytes(buffer[start:line_end]).partition(b";")[0], 16)
        except ValueError as error:
            raise BadRequest("A chunk size cannot be read.") from error
        start = line_end + 2
        if len(buffer) < start + size + 2:
            return None
        if size == 0:
            return b"".join(parts), start + 2
        parts.append(bytes(buffer[start : start + size]))
        start += size + 2


class Connection(asyncio.Protocol):
    """One client connection. ``answer`` is called per request and may return work that goes on."""

    def __init__(self, answer: Callable[[Request, Connection], Awaitable[None] | None]) -> None:
        self.answer = answer
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.buffer = bytearray()
        self.pending: Request | None = None
        self.task: asyncio.Future[None] | None = None
        self.busy = False
        self.closed = False
        self.on_close: Callable[[], None] | None = None
        self.writable: asyncio.Future[None] | None = None

    # -- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one without the inheritance

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.busy:
            self.advance()
        elif len(self.buffer) > PAUSE_READING_AT:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.on_close is not None:
            self.on_close()
        if self.task is not None:
            self.task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        self.writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None

    # -- requests

    def advance(self) -> None:
        """Answer the complete requests in the buffer, one at a time."""
        while not self.busy and not self.closed:
            try:
                request = self.take_request()
            except BadRequest as problem:
                self.send(400, str(problem).encode(), b"text/plain")
                self.transport.close()
                return
            if request is None:
                return
            self.busy = True
            work = self.answer(request, self)
            if work is not None:
                self.task = asyncio.ensure_future(work)
                self.task.add_done_callback(self.task_done)

    def take_request(self) -> Request | None:
        """The next complete request, cut off the buffer."""
        if self.pending is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self.buffer) > MAX_HEAD_BYTES:
                    raise BadRequest("The headers are too large.")
                return None
            self.pending = parse_head(bytes(self.buffer[:end]))
            del self.buffer[: end + 4]
        request = self.pending
        if request.headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            chunked = read_chunked(self.buffer, 0)
            if chunked is None:
                return None
            request.body, used = chunked
        else:
            length = request.headers.get(b"content-length", b"0")
            used = int(length) if length.isdigit() else MAX_BODY_BYTES + 1
            if used > MAX_BODY_BYTES:
                raise BadRequest("The body is too large.")
            if len(self.buffer) < used:
                return None
            request.body = bytes(self.buffer[:used])
        del self.buffer[:used]
        self.pending = None
        request.arrived = self.loop.time()
        return request

    def task_done(self, task: asyncio.Future[None]) -> None:
        """An answer is complete, or failed: then the connection is of no more use."""
        self.task = None
        if task.cancelled() or task.exception() is not None:
            self.transport.abort()
            if not task.cancelled():
                self.loop.call_exception_handler({"message": "An answer failed.", "exception": task.exception()})
            return
        self.finish()

    def finish(self) -> None:
        """The answer is sent: go on with the next request."""
        self.busy = False
        self.on_close = None
        if self.closed:
            return
        self.transport.resume_reading()
        if self.buffer:
            self.advance()

    # -- answers

    def send(self, status: int, body: bytes, content_type: bytes, extra: bytes = b"") -> None:
        """A whole answer. ``extra`` is further header lines, each with its line end."""
        self.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s\r\n%s"
            % (status, _phrase(status), content_type, len(body), extra, body)
        )

    def write(self, data: bytes) -> None:
        """Raw bytes, dropped when the client is gone."""
        if not self.closed:
            self.transport.write(data)

    def write_chunk(self, data: bytes) -> None:
        """One HTTP chunk."""
        self.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def drain(self) -> None:
        """Wait while the client reads slower than we write."""
        if self.writable is not None:
            await self.writable


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Overloaded"
