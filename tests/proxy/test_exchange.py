"""What can't be waited for over HTTP: a body that never ends arriving, and clients that read too slowly."""

from __future__ import annotations

import asyncio
import gzip
import sys
from contextlib import nullcontext, suppress
from typing import Any
from zlib import compress

import brotli
import pytest

from proxy import live
from proxy.app import App
from proxy.errors import BadRequest, RequestTimeout, TooLarge
from proxy.exchange import Exchange, HungUp
from proxy.live import LiveStream, LiveStreams
from proxy.patience import Patience
from proxy.sse import KEEPALIVE

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


async def never(*_: object) -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


async def nowhere(_: dict[str, Any]) -> None:
    return None


def exchange_of(*messages: dict[str, Any], most_body: int = 100, encoding: bytes = b"") -> Exchange:
    left = list(messages)
    headers = [(b"content-encoding", encoding)] if encoding else []

    async def receive() -> dict[str, Any]:
        return left.pop(0) if left else await never()

    scope = {"headers": headers, "query_string": b""}
    return Exchange(scope, receive, nowhere, request_id="0" * 24, most_body=most_body, patience=Patience(0.05))


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_has_to_arrive_in_time() -> None:
    for messages in ((), (part(b"{", more=True),)):
        with pytest.raises(RequestTimeout):
            await exchange_of(*messages).body()


async def test_a_body_may_come_in_parts() -> None:
    assert await exchange_of(part(b"a", more=True), part(b"b", more=True), part(b"")).body() == b"ab"
    with pytest.raises(HungUp):
        await exchange_of(part(b"a", more=True), {"type": "http.disconnect"}).body()


async def longest_hold(exchange: Exchange) -> float:
    """Seconds for which nothing else ran on the loop while a body was opened, or refused."""
    loop = asyncio.get_running_loop()
    longest, done = 0.0, False

    async def tick() -> None:
        nonlocal longest
        before = loop.time()
        while not done:
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before)
            before = loop.time()

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    with suppress(BadRequest):
        await exchange.body()
    done = True
    await ticking
    return longest


BOMB = b"{%s}" % b",".join(b'"key%07d":1' % number for number in range(1_000_000))
WORDS = b'{"text":"%s"}' % (b"one, two [three] " * 800_000)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(BOMB, b""), (WORDS, b""), (gzip.compress(BOMB, 1), b"gzip"), (gzip.compress(BOMB, 1), b"gzip, identity")],
    ids=["a million keys", "plain text", "compressed", "among others"],
)
async def test_a_large_body_holds_nobody_up(body: bytes, encoding: bytes) -> None:
    held = [await longest_hold(exchange_of(part(body), most_body=50 * 2**20, encoding=encoding)) for _ in range(3)]
    assert min(held) < 0.1, "parsing the million keys alone would take several times that"


@pytest.mark.parametrize("encoding", [b"", b"gzip", b"zstd", b"br", b"deflate"])
async def test_a_small_body_needs_no_thread(monkeypatch: pytest.MonkeyPatch, encoding: bytes) -> None:
    def no_thread(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(asyncio, "to_thread", no_thread)
    packed = {b"": bytes, b"gzip": gzip.compress, b"zstd": zstd.compress, b"br": brotli.compress, b"deflate": compress}
    data = b'{"a":"%s"}' % (b"x" * 5000)
    assert await exchange_of(part(packed[encoding](data)), most_body=10_000, encoding=encoding).body() == data


@pytest.mark.parametrize(("length", "refused"), [(b"1" * 5000, True), (b"101", True), (b"100", False), (b"x", False)])
async def test_it_believes_a_length_that_is_too_large(length: bytes, refused: bool) -> None:
    one = exchange_of(part(b"{}"))
    one.headers[b"content-length"] = length
    with pytest.raises(TooLarge) if refused else nullcontext():
        assert await one.body() == b"{}"


class Silent:
    """A translator nothing comes from."""

    usage, usage_ignored, finish_reason, failure, done = None, False, "", None, False

    def delivered(self) -> int:
        return 0


def stream_of(send: live.Send) -> LiveStream:
    one = LiveStream(
        id="1",
        tenant_id=1,
        api_key_id=1,
        drain=True,
        idle_timeout_s=60,
        send=send,
        translator=Silent(),  # type: ignore[arg-type]
    )
    one.started = True
    one.task = None
    return one


async def test_a_client_that_stopped_reading_counts_as_gone() -> None:
    streams, stream = LiveStreams(), stream_of(nowhere)
    now = asyncio.get_running_loop().time()
    stream.sending_since = now - live.SEND_S - 1
    await streams._look_after(stream, now)
    assert stream.reason is not None
    assert stream.client_gone_at, "nothing more is sent to it"


async def test_one_client_that_does_not_read_keeps_no_other_waiting() -> None:
    async def stuck(_: dict[str, Any]) -> None:
        await never()

    streams, told = LiveStreams(), asyncio.Event()

    async def reads(_: dict[str, Any]) -> None:
        told.set()

    now = asyncio.get_running_loop().time()
    for send in (stuck, reads):
        stream = stream_of(send)
        stream.spoke_at = stream.upstream_at = now - live.KEEPALIVE_S - 1
        async with asyncio.timeout(1):
            await streams._look_after(stream, now)
    async with asyncio.timeout(1):
        await told.wait()
    await streams.stop()


async def test_keepalives_go_out_only_in_silence() -> None:
    told: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        told.append(message["body"])

    streams, stream = LiveStreams(), stream_of(send)
    now = asyncio.get_running_loop().time()
    for silence in (0.0, live.KEEPALIVE_S - 1):
        stream.spoke_at = now - silence
        await streams._look_after(stream, now)
    stream.spoke_at = now - live.KEEPALIVE_S - 1
    await streams._look_after(stream, now)
    await streams._look_after(stream, now + 1)
    await asyncio.sleep(0)
    assert told == [KEEPALIVE]
    stream.upstream_at = now - 61
    await streams._look_after(stream, now)
    assert stream.reason is not None
    assert stream.reason.status == 504
    await streams.stop()


@pytest.mark.parametrize(("charged", "said"), [(False, "was not charged"), (True, "was charged")])
async def test_a_fault_of_ours_says_whether_the_call_was_charged(charged: bool, said: str) -> None:
    sent: list[dict[str, Any]] = []

    class Tripping:
        def new_id(self) -> str:
            return "0" * 24

        async def serve(self, exchange: Exchange, *_: object) -> None:
            exchange.charged = charged
            raise KeyError("a fault")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = App(Tripping(), None, most_body=100)  # type: ignore[arg-type]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": []}
    await app(scope, never, send)
    assert sent[0]["status"] == 500
    assert said in sent[1]["body"].decode()
