"""Rates on a real Redis: one script for requests, tokens and calls at once, all scopes; and the share without it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from portal.stack.sockets import free_port
from proxy import rates
from proxy.directory import KeyGrant, Rates
from proxy.rates import UNLIMITED, Exceeded, Limiter, LocalShare, Taken

_tenants = itertools.count(1)
SECONDS = 60


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def limiter(redis_url: str, redis: Redis) -> AsyncIterator[Limiter]:
    one = Limiter(Redis.from_url(redis_url), processes=1)
    one.start()
    yield one
    await one.stop()


class Caller:
    """Calls of a tenant of its own."""

    def __init__(self, limiter: Limiter, *rates: Rates) -> None:
        self.limiter = limiter
        self.tenant = next(_tenants)
        self.grant = KeyGrant(self.tenant, 1, 1, "tg", None, None, rates, (), None, True)
        self.calls = itertools.count()

    async def take(self, tokens: int = 1, *, seconds: int = SECONDS, name: str = "") -> Taken | Exceeded:
        name = name or f"call {next(self.calls)}"
        return await self.limiter.take(name, self.grant, tokens=tokens, seconds=seconds)

    def finish(self, name: str, taken: int = 0, used: int = 0) -> None:
        self.limiter.finish(name, self.grant, taken=taken, used=used)


def scope(name: str = "api_key", *, requests: int = 0, tokens: int = 0, concurrency: int = 0) -> Rates:
    return Rates(name, f"{name}:1", requests or None, tokens or None, concurrency or None)


async def test_it_admits_a_minutes_requests_at_once_and_then_one_by_one(limiter: Limiter) -> None:
    caller = Caller(limiter, scope(requests=600))  # one each 100 ms
    results = [await caller.take() for _ in range(600)]
    assert all(isinstance(result, Taken) for result in results)
    assert results[0][:2] == (600, 599)
    refused = None
    while not isinstance(refused, Exceeded):
        refused = await caller.take()
    assert (refused.place, refused.kind, refused.limit) == (0, "requests", 600)
    assert 0 < refused.wait_ms <= 100
    async with asyncio.timeout(5):
        while isinstance(await caller.take(), Exceeded):
            pass


async def test_it_says_what_is_left(limiter: Limiter) -> None:
    caller = Caller(limiter, scope(requests=60, tokens=6_000))
    first = await caller.take(1_000)
    assert isinstance(first, Taken)
    assert (first.requests_limit, first.requests_left) == (60, 59)
    assert (first.tokens_limit, first.tokens_left) == (6_000, 5_000)
    assert first.requests_reset_ms == 1_000
    assert first.tokens_reset_ms == 10_000


async def test_it_corrects_tokens_by_what_was_used(limiter: Limiter) -> None:
    caller = Caller(limiter, scope(tokens=1_000))
    assert isinstance(await caller.take(900, name="a"), Taken)
    assert isinstance(await caller.take(900), Exceeded)
    caller.finish("a", 900, 10)
    assert isinstance(await caller.take(900, name="b"), Taken)
    caller.finish("b", 900, 1_500)
    refused = await caller.take(1)
    assert isinstance(refused, Exceeded)
    assert (refused.kind, refused.limit) == ("tokens", 1_000)
    assert refused.wait_ms > 25_000  # used more than was taken: the debt is waited off


async def test_it_lets_a_call_larger_than_the_limit_pass_only_when_all_is_free(limiter: Limiter) -> None:
    caller = Caller(limiter, scope(tokens=100))
    assert isinstance(await caller.take(10_000), Taken)
    assert isinstance(await caller.take(1), Exceeded)


async def test_a_call_larger_than_the_limit_gives_back_no_more_than_it_took(limiter: Limiter) -> None:
    caller = Caller(limiter, scope(tokens=100), scope("tenant", tokens=20_000))
    assert isinstance(await caller.take(15_000, name="large"), Taken)
    assert isinstance(await caller.take(1), Exceeded)
    caller.finish("large", 15_000, 90)
    first = await caller.take(5)
    assert isinstance(first, Taken)
    assert first.tokens_left < 10
    assert isinstance(await caller.take(50), Exceeded)


async def test_it_counts_calls_at_once(limiter: Limiter) -> None:
    caller = Caller(limiter, scope(concurrency=2))
    for name in "ab":
        assert isinstance(await caller.take(name=name), Taken)
    refused = await caller.take()
    assert isinstance(refused, Exceeded)
    assert (refused.kind, refused.limit) == ("concurrency", 2)
    caller.finish("a")
    assert isinstance(await caller.take(name="c"), Taken)
    caller.finish("a")  # given back once already
    assert isinstance(await caller.take(), Exceeded)


async def test_a_short_call_does_not_shorten_the_lease_of_a_long_one(limiter: Limiter, redis: Redis) -> None:
    caller = Caller(limiter, scope(concurrency=3))
    assert isinstance(await caller.take(seconds=3_600), Taken)
    assert isinstance(await caller.take(seconds=60), Taken)
    assert await redis.ttl(f"tg:{{{caller.tenant}}}:api_key:1:c") > 3_600


async def test_a_caller_that_leaves_while_it_is_admitted_keeps_no_place(limiter: Limiter) -> None:
    caller = Caller(limiter, scope(concurrency=1))
    leaving = asyncio.create_task(caller.take())
    await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(5):
        while isinstance(await caller.take(), Exceeded):
            pass


async def test_it_frees_the_place_of_a_call_whose_process_died(limiter: Limiter, redis: Redis) -> None:
    caller = Caller(limiter, scope(concurrency=1))
    assert isinstance(await caller.take(seconds=1, name="lost"), Taken)
    assert isinstance(await caller.take(), Exceeded)
    key = f"tg:{{{caller.tenant}}}:api_key:1:c"
    await redis.zadd(key, {"lost": 1})  # its lease ended
    assert isinstance(await caller.take(), Taken)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", ["requests", "tokens", "concurrency"])
async def test_it_takes_from_all_scopes_or_from_none(limiter: Limiter, redis: Redis, place: int, kind: str) -> None:
    wide = {"requests": 1_000, "tokens": 100_000, "concurrency": 100}
    names = ("api_key", "project", "tenant")
    tight = [scope(name, **({**wide, kind: 1} if n == place else wide)) for n, name in enumerate(names)]
    caller = Caller(limiter, *tight)
    assert isinstance(await caller.take(name="first"), Taken)

    async def state() -> dict[str, object]:
        kept: dict[str, object] = {}
        for key in sorted(
            each if isinstance(each, str) else each.decode() for each in await redis.keys(f"tg:{{{caller.tenant}}}:*")
        ):
            kept[key] = await (redis.zrange(key, 0, -1) if key.endswith(":c") else redis.hgetall(key))
        return kept

    before = await state()
    refused = await caller.take(name="second")
    assert isinstance(refused, Exceeded)
    assert (refused.place, refused.kind, refused.limit) == (place, kind, 1)
    assert await state() == before


async def test_a_batch_is_admitted_as_its_calls_would_be_singly(limiter: Limiter) -> None:
    for tokens in (1, 70):
        rates = (scope(requests=50, tokens=2_000, concurrency=30), scope("tenant", requests=40))
        together, singly = Caller(limiter, *rates), Caller(limiter, *rates)
        batch = await asyncio.gather(*(together.take(tokens) for _ in range(100)))
        one_by_one = [await singly.take(tokens) for _ in range(100)]
        kinds = [[type(r).__name__ for r in results] for results in (batch, one_by_one)]
        assert kinds[0] == kinds[1]
        assert kinds[0].count("Taken") == min(30, 2_000 // tokens)


async def test_batches_of_several_tenants_stay_apart(limiter: Limiter) -> None:
    callers = [Caller(limiter, scope(requests=5)) for _ in range(7)]
    results = await asyncio.gather(*(caller.take() for _ in range(10) for caller in callers))
    for number in range(7):
        assert sum(isinstance(result, Taken) for result in results[number::7]) == 5


async def test_two_processes_share_one_limit(limiter: Limiter, redis_url: str) -> None:
    other = Limiter(Redis.from_url(redis_url), processes=2)
    other.start()
    here, there = Caller(limiter, scope(requests=10)), Caller(other, scope(requests=10))
    there.grant = here.grant
    results = await asyncio.gather(*(caller.take() for _ in range(10) for caller in (here, there)))
    await other.stop()
    assert sum(isinstance(result, Taken) for result in results) == 10


async def test_it_has_no_limit_where_none_is_set(limiter: Limiter) -> None:
    assert await Caller(limiter).take() == UNLIMITED


async def test_it_loads_its_script_again_after_a_restart_of_redis(limiter: Limiter, redis: Redis) -> None:
    caller = Caller(limiter, scope(requests=5))
    await caller.take()
    await redis.script_flush()
    assert isinstance(await caller.take(), Taken)


# -- without Redis


async def test_it_keeps_to_its_share_while_redis_is_away() -> None:
    nowhere = Redis.from_url(f"redis://127.0.0.1:{free_port()}/0", socket_connect_timeout=0.2)
    limiter = Limiter(nowhere, processes=2)
    limiter.start()
    caller = Caller(limiter, scope(requests=10))
    results = await asyncio.gather(*(caller.take() for _ in range(20)))
    await limiter.stop()
    assert sum(not isinstance(result, Exceeded) for result in results) == 5


async def test_it_gives_places_back_once_redis_is_there_again(
    redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "REST_S", 0.1)
    limiter = Limiter(Redis.from_url(redis_url), processes=1)
    limiter.start()
    caller = Caller(limiter, scope(concurrency=1))
    assert isinstance(await caller.take(name="a"), Taken)
    call, lost = limiter._call, asyncio.Event()

    async def away(operations: object) -> list[bytes]:
        monkeypatch.setattr(limiter, "_call", call)
        lost.set()
        raise ConnectionResetError

    monkeypatch.setattr(limiter, "_call", away)
    caller.finish("a")
    async with asyncio.timeout(5):
        await lost.wait()
        while await redis.zcard(f"tg:{{{caller.tenant}}}:api_key:1:c"):
            pass
    await limiter.stop()


def test_a_share_is_an_nth_of_every_limit_and_at_least_one() -> None:
    for processes, admitted in ((1, 12), (4, 3), (50, 1)):
        share = LocalShare(processes)
        results = [share.take(str(n), (scope(requests=12),), 1) for n in range(20)]
        assert sum(not isinstance(result, Exceeded) for result in results) == admitted


def test_a_share_counts_tokens_and_calls_at_once() -> None:
    share = LocalShare(2)
    rates = (scope(tokens=1_000, concurrency=4),)
    assert not isinstance(share.take("a", rates, 300), Exceeded)
    refused = share.take("b", rates, 300)
    assert isinstance(refused, Exceeded)
    assert (refused.kind, refused.limit) == ("tokens", 1_000)
    assert not isinstance(share.take("c", rates, 100), Exceeded)
    refused = share.take("d", rates, 1)
    assert isinstance(refused, Exceeded)
    assert refused.kind == "concurrency"
    share.finish("a")
    assert not isinstance(share.take("e", rates, 1), Exceeded)


def test_a_share_takes_from_all_scopes_or_from_none() -> None:
    share = LocalShare(1)
    rates = (scope(requests=3, concurrency=9), scope("tenant", requests=1))
    assert not isinstance(share.take("a", rates, 1), Exceeded)
    for _ in range(5):
        refused = share.take("b", rates, 1)
        assert isinstance(refused, Exceeded)
        assert refused.place == 1
    assert not isinstance(share.take("c", rates[:1], 1), Exceeded)
