"""A pooled HTTP/1.1 client on the event loop's own transports, for the hot path: bytes out, bytes in, no thread.

llhttp (httptools) parses. One connection carries one exchange at a time and goes back to its pool when the answer was
read to its end. A client whose I/O lives in a thread of its own has to hand every chunk over under the interpreter's
lock; docs/decisions/0007 has what that cost.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httptools

from proxy.addresses import AddressProblem

IDLE_S = 30.0
TICK_S = 0.25
MOST_HEAD = 64 * 1024
MOST_ANSWER = 64 * 1024 * 1024
PAUSE_READING_AT = 256 * 1024
LATE_END_S = 0.05


class ClientProblem(Exception):
    """An exchange that brought no whole answer."""


class NotConnected(ClientProblem):
    """No connection could be made: the request was never sent."""


class TimedOut(ClientProblem):
    """The upstream fell silent, or took longer than the whole call may take."""


class BrokenOff(ClientProblem):
    """The connection ended, or what came over it is no HTTP."""


class Connection(asyncio.Protocol):
    """One connection, and the exchange it carries. ``chunks`` wait to be read; ``ended`` is a whole answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiter: asyncio.Future[None] | None = None
        self._transport: Any = None
        self._parser: Any = None
        self._paused = False
        self._tainted = False
        self._keep = True
        self.lost = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.chunks: list[bytes] = []
        self.waiting = 0
        self.ended = True
        self.problem: ClientProblem | None = None
        self.read_at = self.deadline = 0.0
        self._bare = 0

    # the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came. Bytes nobody asked for end the connection."""
        self.read_at = self._pool.now()
        if self.ended:
            self.abort()
            return
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(BrokenOff(f"not HTTP: {error}"))
        except httptools.HttpParserUpgrade:
            self.fail(BrokenOff("the upstream wants another protocol"))
        if self._bare > MOST_HEAD:  # heads, interim answers and trailers have no end of their own
            self.fail(BrokenOff("the answer says too much that is no body"))
        if self.waiting > PAUSE_READING_AT and not self._paused and not self.ended:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer without a length ends so; any other is cut off."""
        self.lost = True
        if not self.ended:
            unbounded = b"content-length" not in self.headers and b"transfer-encoding" not in self.headers
            if exc is None and self.status and unbounded:
                self.ended = True
            else:
                self.problem = self.problem or BrokenOff("the connection was lost")
                self.ended = True
        self._pool.forget(self)
        self._wake()

    # the parser calls these

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; of a name sent twice the last counts."""
        if self.ended:
            self._tainted = True  # a second answer that nobody asked for
        else:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is complete, unless it is an interim one."""
        status: int = self._parser.get_status_code()
        if status >= 200 and not self.ended:
            self.status = status

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        if not self.ended:
            self.chunks.append(body)
            self.waiting += len(body)
            self._bare = 0

    def on_message_complete(self) -> None:
        """The whole answer is there, or an interim one that says nothing."""
        if not self.status:
            self.headers.clear()
        elif not self.ended:
            self.ended = True
            self._keep = bool(self._parser.should_keep_alive())

    # its user calls these

    def begin(self, request: bytes, seconds: float) -> None:
        """Send a request whose answer must be whole within ``seconds``."""
        self._parser = httptools.HttpResponseParser(self)
        self.status = self.waiting = self._bare = 0
        self.headers = {}
        self.chunks = []
        self.ended = False
        self.problem = None
        self.read_at = now = self._pool.now()
        self.deadline = now + seconds
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for the head of the answer."""
        while not self.status and not self.ended:
            await self._more()
        if self.problem is not None and not self.status:
            raise self.problem

    async def read_chunk(self) -> bytes | None:
        """All that has come and was not read; None at the end. Raises ClientProblem where the answer was cut off."""
        while not self.chunks:
            if self.ended:
                if self.problem is not None:
                    raise self.problem
                return None
            await self._more()
        out = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks = []
        self.waiting = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return out

    async def whole(self) -> bytes:
        """The whole body."""
        parts = []
        size = 0
        while (chunk := await self.read_chunk()) is not None:
            parts.append(chunk)
            size += len(chunk)
            if size > MOST_ANSWER:
                raise BrokenOff("the answer is too long")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def header(self, name: bytes) -> str | None:
        """A header of the answer, by lower-case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def usable(self) -> bool:
        """Whether it can carry another exchange: the last one is over, read, and nobody said it should close."""
        over = self.ended and self.problem is None and not self._tainted
        return over and self._keep and not self.lost and not self._transport.is_closing()

    def fail(self, problem: ClientProblem) -> None:
        """End the exchange without an answer."""
        if not self.ended:
            self.problem = problem
            self.ended = True
            self.abort()
            self._wake()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def peer(self) -> str:
        """The address it is connected to."""
        return str(self._transport.get_extra_info("peername")[0])

    async def _more(self) -> None:
        self._waiter = waiter = self._pool.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Pool:
    """The connections to one upstream. ``check_peer`` raises AddressProblem for an address that must not be called."""

    def __init__(self, base_url: str, *, connect_s: float, silent_s: float, check_peer: Callable[[str], None]) -> None:
        parts = urlsplit(base_url)
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._connect_s = connect_s
        self._silent_s = silent_s
        self._check_peer = check_peer
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self.path = parts.path.rstrip("/")
        self.authority = parts.netloc.rpartition("@")[2]
        self._task = asyncio.create_task(self._look_after(), name="upstream connections")

    async def send(self, request: bytes, seconds: float) -> Connection:
        """A connection that has sent a request and holds the head of its answer; give it back with ``release``."""
        connection = self._take() or await self._connect()
        try:
            connection.begin(request, seconds)
            await connection.head()
        except BaseException:
            connection.abort()
            raise
        return connection

    async def release(self, connection: Connection) -> None:
        """Take a connection back: kept if its answer was read to the end, else dropped, which tells the upstream."""
        if not connection.ended and connection.chunks == []:
            try:  # an end that is on its way saves the connection
                async with asyncio.timeout(LATE_END_S):
                    await connection.read_chunk()
            except (TimeoutError, ClientProblem):
                pass
        if connection.usable() and not connection.chunks:
            self._idle.append(connection)
        else:
            connection.abort()

    def drop(self, connection: Connection) -> None:
        """Leave an answer unread: the connection ends, which tells the upstream."""
        connection.abort()

    def forget(self, connection: Connection) -> None:
        """A connection was lost."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def close(self) -> None:
        """Drop every connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for connection in list(self._all):
            connection.abort()

    def _take(self) -> Connection | None:
        """The connection used last: the others grow old and are closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self), self._host, self._port, ssl=self._tls
                )
        except (OSError, TimeoutError) as error:
            raise NotConnected(str(error)) from error
        self._all.add(connection)
        try:
            self._check_peer(connection.peer())
        except AddressProblem:
            connection.abort()
            raise
        return connection

    async def _look_after(self) -> None:
        """One clock for all connections, rather than a timer for each exchange."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self.now()
            for connection in list(self._all):
                self._check(connection, now)

    def _check(self, connection: Connection, now: float) -> None:
        """End an exchange that is late, and a connection that has been idle for long."""
        if connection.ended:
            if connection in self._idle and now - connection.read_at > IDLE_S:
                connection.abort()
        elif now > connection.deadline:
            connection.fail(TimedOut("the call took too long"))
        elif now - connection.read_at > self._silent_s and not connection.chunks:
            connection.fail(TimedOut("the upstream fell silent"))
