"""The client of upstreams, against servers that speak raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.addresses import AddressProblem
from proxy.http_client import BrokenOff, ClientProblem, Connection, NotConnected, Pool, TimedOut

REQUEST = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def use(script: Script, work: Callable[[Pool], Awaitable[None]], *, silent_s: float = 5.0) -> int:
    """Run ``work`` with a pool whose server follows ``script`` for each request; returns how often it was connected."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(b"{}"):
                await script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(f"http://127.0.0.1:{port}/v1", connect_s=2, silent_s=silent_s, check_peer=lambda address: None)
    try:
        await work(pool)
    finally:
        await pool.close()
        server.close()
    return connections


def saying(*pieces: bytes, close: bool = False) -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return script


async def ask(pool: Pool) -> tuple[int, bytes]:
    connection = await pool.send(REQUEST, 10)
    body = await connection.whole()
    status = connection.status
    await pool.release(connection)
    return status, body


async def test_it_keeps_a_connection_for_the_next_call() -> None:
    async def work(pool: Pool) -> None:
        for _ in range(3):
            assert await ask(pool) == (200, b"hello")

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert await use(saying(answer), work) == 1


async def test_it_reads_chunks_split_at_every_byte() -> None:
    whole = CHUNKED + b"5;note=x\r\nhello\r\n6\r\n world\r\n0\r\ntrailer: 1\r\n\r\n"

    async def work(pool: Pool) -> None:
        assert await ask(pool) == (200, b"hello world")
        assert await ask(pool) == (200, b"hello world")

    assert await use(saying(*(whole[i : i + 1] for i in range(len(whole)))), work) == 1


async def test_it_skips_interim_answers() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"

    async def work(pool: Pool) -> None:
        connection = await pool.send(REQUEST, 10)
        assert connection.status == 429
        assert connection.header(b"retry-after") == "7"
        assert connection.header(b"link") is None

    await use(saying(interim + b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"), work)


async def test_it_reads_an_answer_that_ends_with_its_connection() -> None:
    async def work(pool: Pool) -> None:
        assert await ask(pool) == (200, b"to the end")
        assert await ask(pool) == (200, b"to the end")

    assert await use(saying(b"HTTP/1.0 200 OK\r\n\r\nto the ", b"end", close=True), work) == 2


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhe",
        b"HTTP/1.1 200",
        b"",
    ],
)
async def test_it_takes_no_half_for_a_whole(cut: bytes) -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(BrokenOff):
            await ask(pool)

    await use(saying(cut, close=True), work)


@pytest.mark.parametrize("junk", [b"\x16\x03\x01 TLS?\r\n\r\n", b"HTTP/9.9 abc\r\n\r\n", CHUNKED + b"zz\r\n"])
async def test_it_refuses_what_is_no_http(junk: bytes) -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(ClientProblem):
            await ask(pool)

    await use(saying(junk), work)


async def test_it_bounds_the_head() -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(BrokenOff):
            await ask(pool)

    await use(saying(b"HTTP/1.1 200 OK\r\n" + b"x-long: %s\r\n" % (b"a" * 8000) * 20), work)


@pytest.mark.parametrize("trailer", [b"x-long: %s\r\n" % (b"a" * 8000), b"x: " + b"a" * 8000])
async def test_it_bounds_the_trailers(trailer: bytes) -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(BrokenOff):
            await ask(pool)

    await use(saying(CHUNKED + b"5\r\nhello\r\n0\r\n", *[trailer] * 20), work)


async def test_it_never_reuses_a_connection_that_said_too_much() -> None:
    async def work(pool: Pool) -> None:
        assert await ask(pool) == (200, b"a")
        assert await ask(pool) == (200, b"a")

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
    assert await use(saying(answer + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), work) == 2


async def test_it_drops_a_connection_whose_answer_was_left_unread() -> None:
    async def work(pool: Pool) -> None:
        connection = await pool.send(REQUEST, 10)
        await connection.read_chunk()
        await pool.release(connection)
        assert connection.lost or not connection.usable()

    await use(saying(CHUNKED + b"5\r\nhello\r\n"), work)


async def test_it_gives_up_on_silence_and_on_the_whole() -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(TimedOut):
            await pool.send(REQUEST, 10)
        with pytest.raises(TimedOut):
            await pool.send(REQUEST, 0.1)

    await use(saying(), work, silent_s=0.5)


async def test_it_says_when_a_request_was_never_sent() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    pool = Pool(f"http://127.0.0.1:{port}", connect_s=2, silent_s=5, check_peer=lambda address: None)
    with pytest.raises(NotConnected):
        await pool.send(REQUEST, 10)
    await pool.close()


async def test_it_sends_nothing_to_an_address_that_is_refused() -> None:
    seen = []

    def refuse(address: str) -> None:
        assert address == "127.0.0.1"
        raise AddressProblem("private")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(f"http://127.0.0.1:{port}", connect_s=2, silent_s=5, check_peer=refuse)
    with pytest.raises(AddressProblem):
        await pool.send(REQUEST, 10)
    await pool.close()
    server.close()
    assert b"".join(seen) == b""


async def test_it_stops_reading_what_nobody_takes() -> None:
    total = 8 * 1024 * 1024
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async def work(pool: Pool) -> None:
        connection: Connection = await pool.send(REQUEST, 10)
        for _ in range(50):
            await asyncio.sleep(0.01)
        assert connection.waiting < 1024 * 1024
        assert sent < total
        assert len(await connection.whole()) == total

    await use(flood, work)
