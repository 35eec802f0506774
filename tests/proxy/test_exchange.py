"""What can't be waited for over HTTP: a body that never ends arriving, and clients that read too slowly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy import exchange, live
from proxy.errors import RequestTimeout
from proxy.exchange import Exchange, HungUp
from proxy.live import LiveStream, LiveStreams


async def never(*_: object) -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


async def nowhere(_: dict[str, Any]) -> None:
    return None


def exchange_of(*messages: dict[str, Any]) -> Exchange:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0) if left else await never()

    return Exchange({"headers": []}, receive, nowhere, request_id="0" * 24, most_body=100)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_has_to_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BODY_S", 0.05)
    for messages in ((), (part(b"{", more=True),)):
        with pytest.raises(RequestTimeout):
            await exchange_of(*messages).body()


async def test_a_body_may_come_in_parts() -> None:
    assert await exchange_of(part(b"a", more=True), part(b"b", more=True), part(b"")).body() == b"ab"
    with pytest.raises(HungUp):
        await exchange_of(part(b"a", more=True), {"type": "http.disconnect"}).body()


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
    assert told == [live.KEEPALIVE]
    stream.upstream_at = now - 61
    await streams._look_after(stream, now)
    assert stream.reason is not None
    assert stream.reason.status == 504
    await streams.stop()
