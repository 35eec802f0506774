"""Signed reasoning on a real Redis: kept by tool call for an hour, sealed, and never in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from portal.stack.sockets import free_port
from proxy import chat, recollection, thoughts
from proxy.thoughts import Thoughts

KEY = thoughts.key_from("m" * 32)
DETAILS = [{"type": "reasoning.text", "text": "Hm, 漢字.", "signature": "c2ln", "index": 0}]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def store(redis_url: str, redis: Redis) -> AsyncIterator[Thoughts]:
    one = Thoughts(Redis.from_url(redis_url), KEY)
    yield one
    await one.stop()


async def test_it_finds_what_another_process_kept(store: Thoughts, redis: Redis, redis_url: str) -> None:
    store.remember(1, {"a": DETAILS, "b": DETAILS})
    await store.written()
    other = Thoughts(Redis.from_url(redis_url), KEY)
    assert await other.recall(1, ["a", "missing", "b", "a"]) == {"a": DETAILS, "b": DETAILS}
    assert await other.recall(1, []) == {}
    assert (store.lost, other.lost) == (0, 0)
    await other.stop()


async def test_it_finds_what_is_not_written_yet(store: Thoughts) -> None:
    store.remember(1, {"a": DETAILS})
    assert await store.recall(1, ["a"]) == {"a": DETAILS}


async def test_it_keeps_it_for_an_hour_and_unreadable(store: Thoughts, redis: Redis) -> None:
    store.remember(7, {"call_secret": DETAILS})
    await store.written()
    name = (await redis.keys("*"))[0]
    assert 3500 < await redis.ttl(name) <= 3600
    assert b"secret" not in name
    box = await redis.get(name)
    assert box is not None
    assert b"c2ln" not in box


async def test_it_opens_nothing_of_another_tenant_call_or_key(store: Thoughts, redis: Redis, redis_url: str) -> None:
    store.remember(1, {"a": DETAILS})
    await store.written()
    name = (await redis.keys("*"))[0]
    box = await redis.get(name)
    assert box is not None
    assert await store.recall(2, ["a"]) == {}
    await redis.set(thoughts._name(2, "a"), box)
    await redis.set(thoughts._name(1, "b"), box)
    await redis.set(thoughts._name(1, "c"), b"\x01short")
    assert await store.recall(2, ["a"]) == {}
    assert await store.recall(1, ["b", "c"]) == {}
    other = Thoughts(Redis.from_url(redis_url), thoughts.key_from("n" * 32))
    assert await other.recall(1, ["a"]) == {}
    assert (store.lost, other.lost) == (3, 1)
    await other.stop()


async def test_it_keeps_nothing_that_is_too_large(store: Thoughts) -> None:
    store.remember(1, {"large": [{"text": "x" * thoughts.MOST_BYTES}], "small": DETAILS})
    await store.written()
    assert await store.recall(1, ["large", "small"]) == {"small": DETAILS}
    assert store.lost == 1


async def test_it_waits_with_no_more_than_its_bound(store: Thoughts) -> None:
    store.remember(1, {f"call {number}": DETAILS for number in range(thoughts.MOST_WAITING + 5)})
    assert store.lost == 5
    await store.stop()
    assert store._waiting == {}
    assert store._size == 0


async def test_it_goes_on_without_redis() -> None:
    store = Thoughts(Redis.from_url(f"redis://127.0.0.1:{free_port()}", socket_connect_timeout=1), KEY)
    assert await store.recall(1, ["a"]) == {}
    assert store.lost == 1
    store.remember(1, {"a": DETAILS})
    await store.stop()
    assert store.lost == 2
    assert await store.recall(1, ["a"]) == {}
    assert store.lost == 2  # it is left alone for a while


def test_it_looks_for_what_the_client_did_not_bring() -> None:
    def turn(identifier: str, **more: object) -> dict[str, object]:
        call = {"id": identifier, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call], **more}

    asked = {"role": "user", "content": "Go on."}
    messages = [asked, turn("a"), turn("b", reasoning_details=DETAILS), turn("c")]
    request = chat.request({"model": "m", "messages": messages}, size=1)
    request.thoughts = {"c": DETAILS}
    assert recollection.call_ids(request, "reasoning_details") == ["a"]
