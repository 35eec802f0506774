"""Rates in Redis: requests and tokens per minute (GCRA) and calls at once, for key, project and tenant in one script.

Calls of one process that come together share a round trip; each tenant's go in one script call, whose keys share the
tenant's hash slot. Without Redis each process keeps to its own share of the limits: there is no unlimited mode.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from proxy.directory import KeyGrant, Rates

logger = logging.getLogger(__name__)

MINUTE_MS = 60_000
TIMEOUT_S = 1.0
MOST_IN_BATCH = 256
MOST_WAITING = 100_000
REST_S = 1.0
LINGER_S = 0.005

# One tenant's operations in order: {1, call, tokens, lease ms, scopes} takes, {2, call, correction, taken, scopes}
# finishes. A take consumes on every scope or on none. Its answer is of the tightest scope: {1, requests limit, left,
# reset ms, tokens limit, left, reset ms}; or of the one without room: {0, place, kind, limit, wait ms}. No bucket takes
# more tokens than its limit, so a finish gives back no more than that either. Each bucket is read once and written
# once, however many operations touch it.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local buckets, answers = {}, {}
local function bucket(scope)
    local found = buckets[scope]
    if not found then
        local key = KEYS[1] .. ':' .. scope
        local full = redis.call('HMGET', key, 'r', 't')
        found = {key = key, r = tonumber(full[1] or 0), t = tonumber(full[2] or 0)}
        buckets[scope] = found
    end
    return found
end
local function running(found)
    if not found.running then
        redis.call('ZREMRANGEBYSCORE', found.key .. ':c', '-inf', now)
        found.running = redis.call('ZCARD', found.key .. ':c')
    end
    return found.running
end
local function after(full, limit, cost)
    local step = 60000 / limit
    local later = math.max(full, now) + math.min(cost, limit) * step
    return later, later - now - 60000, math.floor((60000 - (later - now)) / step + 0.0001)
end
local function take(op)
    local writes, best_r, best_t = {}, {-1, -1, 0}, {-1, -1, 0}
    for place, scope in ipairs(op[5]) do
        local found = bucket(scope[1])
        if scope[2] > 0 then
            local later, over, left = after(found.r, scope[2], 1)
            if over > 0.5 then return {0, place, 'requests', scope[2], math.ceil(over)} end
            writes[#writes + 1] = {found, 'r', later}
            if best_r[1] < 0 or left < best_r[2] then best_r = {scope[2], left, later - now} end
        end
        if scope[3] > 0 then
            local later, over, left = after(found.t, scope[3], op[3])
            if over > 0.5 then return {0, place, 'tokens', scope[3], math.ceil(over)} end
            writes[#writes + 1] = {found, 't', later}
            if best_t[1] < 0 or left < best_t[2] then best_t = {scope[3], left, later - now} end
        end
        if scope[4] > 0 and running(found) >= scope[4] then return {0, place, 'concurrency', scope[4], 1000} end
    end
    for _, write in ipairs(writes) do
        write[1][write[2]], write[1].written = write[3], true
    end
    for _, scope in ipairs(op[5]) do
        if scope[4] > 0 then
            local found = bucket(scope[1])
            found.running = found.running + redis.call('ZADD', found.key .. ':c', now + op[4], op[2])
            found.lease = math.max(found.lease or 0, op[4] + 60000)
        end
    end
    return {1, best_r[1], best_r[2], math.ceil(best_r[3]), best_t[1], best_t[2], math.ceil(best_t[3])}
end
local function finish(op)
    for _, scope in ipairs(op[5]) do
        local found = bucket(scope[1])
        local more = op[3]
        if op[4] > scope[3] then more = more + op[4] - scope[3] end
        if scope[3] > 0 and more ~= 0 then
            found.t, found.written = math.max(found.t, now) + more * 60000 / scope[3], true
        end
        if scope[4] > 0 and redis.call('ZREM', found.key .. ':c', op[2]) > 0 and found.running then
            found.running = found.running - 1
        end
    end
    return {1}
end
for place, op in ipairs(cmsgpack.unpack(ARGV[1])) do
    answers[place] = op[1] == 1 and take(op) or finish(op)
end
for _, found in pairs(buckets) do
    if found.written then
        redis.call('HSET', found.key, 'r', string.format('%.3f', found.r), 't', string.format('%.3f', found.t))
        redis.call('PEXPIRE', found.key, 120000)
    end
    local leases = found.key .. ':c'
    if found.lease and redis.call('PTTL', leases) < found.lease then redis.call('PEXPIRE', leases, found.lease) end
end
return cmsgpack.pack(answers)
"""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class Taken(NamedTuple):
    """Admitted by every rate: what the tightest has left, for the answer's headers. −1 is no limit."""

    requests_limit: int
    requests_left: int
    requests_reset_ms: int
    tokens_limit: int
    tokens_left: int
    tokens_reset_ms: int


class Exceeded(NamedTuple):
    """The rate that has no room: its place among the grant's rates, kind, limit, and when to come back."""

    place: int
    kind: str
    limit: int
    wait_ms: int


UNLIMITED = Taken(-1, -1, 0, -1, -1, 0)


class Limiter:
    """The rates of all tenants, as one process asks for them."""

    def __init__(self, redis: Redis, *, processes: int) -> None:
        self._redis = redis
        self._sha = ""
        self._waiting: list[tuple[int, list[Any], asyncio.Future[Any] | None]] = []
        self._wake = asyncio.Event()
        self._local = LocalShare(processes)
        self._away_until = 0.0
        self._lingering = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start asking."""
        self._task = asyncio.create_task(self._run(), name="rates")

    async def stop(self) -> None:
        """Stop asking and give the connections back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._redis.aclose()

    async def take(self, request_id: str, grant: KeyGrant, *, tokens: int, seconds: int) -> Taken | Exceeded:
        """Consume one request and ``tokens`` on every scope, and a place among the calls at once for ``seconds``."""
        if not grant.rates:
            return UNLIMITED
        if time.monotonic() < self._away_until:
            return self._local.take(request_id, grant.rates, tokens)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((grant.tenant_id, [1, request_id, tokens, seconds * 1000, grant.scopes], future))
        self._wake.set()
        try:
            answer = await future
        except RedisError:
            return self._local.take(request_id, grant.rates, tokens)
        return Taken(*answer[1:]) if answer[0] else Exceeded(answer[1] - 1, *answer[2:])

    def finish(self, request_id: str, grant: KeyGrant, *, taken: int, used: int) -> None:
        """Give the place back and correct the ``taken`` tokens by the difference to those really ``used``."""
        if not grant.rates:
            return
        self._local.finish(request_id)
        if len(self._waiting) < MOST_WAITING and (taken or used or any(rate.concurrency for rate in grant.rates)):
            self._waiting.append((grant.tenant_id, [2, request_id, used - taken, taken, grant.scopes], None))
            if not self._lingering:  # nobody waits for it: let it ride along with the next take
                self._lingering = True
                asyncio.get_running_loop().call_later(LINGER_S, self._wake.set)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch = self._waiting[:MOST_IN_BATCH]
            del self._waiting[:MOST_IN_BATCH]
            if not self._waiting:
                self._wake.clear()
                self._lingering = False
            if not batch:
                continue
            try:
                await self._ask(batch)
            except (RedisError, OSError, TimeoutError) as error:
                logger.warning("Redis is away, rates are kept locally: %s", error)
                await self._rest(batch)
            except Exception:
                logger.exception("a batch of rates failed, rates are kept locally")
                await self._rest(batch)

    async def _rest(self, batch: list[tuple[int, list[Any], asyncio.Future[Any] | None]]) -> None:
        """Ask nothing for a moment; whoever waits for an answer is sent to the local share.

        Places given back are given back again later: Redis may still hold them, for as long as a call could run.
        Corrections of tokens are not, since they may have come through.
        """
        self._away_until = time.monotonic() + REST_S
        again: list[tuple[int, list[Any], asyncio.Future[Any] | None]] = []
        for tenant_id, operation, future in batch + self._waiting:
            if future is None:
                again.append((tenant_id, [2, operation[1], 0, 0, operation[4]], None))
            elif not future.done():
                future.set_exception(RedisError("away"))
        self._waiting = again[:MOST_WAITING]
        await asyncio.sleep(REST_S)
        if self._waiting:
            self._wake.set()

    async def _ask(self, batch: list[tuple[int, list[Any], asyncio.Future[Any] | None]]) -> None:
        """One pipeline with one script call per tenant."""
        by_tenant: dict[int, list[tuple[list[Any], asyncio.Future[Any] | None]]] = {}
        for tenant_id, operation, future in batch:
            by_tenant.setdefault(tenant_id, []).append((operation, future))
        async with asyncio.timeout(TIMEOUT_S):
            try:
                replies = await self._call(by_tenant)
            except NoScriptError:
                self._sha = ""
                replies = await self._call(by_tenant)
        for (tenant_id, group), reply in zip(by_tenant.items(), replies, strict=True):
            for ((_, request_id, tokens, _, where), future), answer in zip(group, _decoder.decode(reply), strict=True):
                if future is None:
                    continue
                if not future.done():
                    future.set_result(answer)
                elif answer[0]:  # the caller left while it was being admitted
                    self._waiting.append((tenant_id, [2, request_id, -tokens, tokens, where], None))

    async def _call(self, by_tenant: dict[int, list[tuple[list[Any], asyncio.Future[Any] | None]]]) -> list[bytes]:
        if not self._sha:
            self._sha = await self._redis.script_load(SCRIPT)
        calls = [
            ("EVALSHA", self._sha, 1, f"tg:{{{tenant_id}}}", _encoder.encode([operation for operation, _ in group]))
            for tenant_id, group in by_tenant.items()
        ]
        if len(calls) == 1:
            return [await self._redis.execute_command(*calls[0])]  # type: ignore[no-untyped-call]
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call)
        replies: list[bytes] = await pipeline.execute()
        return replies


class LocalShare:
    """What one process may let through while Redis is away: its share of each limit, counted in memory."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._full: dict[tuple[str, str], float] = {}
        self._running: dict[str, set[str]] = {}
        self._places: dict[str, list[str]] = {}

    def take(self, request_id: str, rates: Sequence[Rates], tokens: int) -> Taken | Exceeded:
        """As Limiter.take, at 1/processes of every limit, but never less than one."""
        now = time.monotonic() * 1000
        writes: list[tuple[tuple[str, str], float]] = []
        for place, rate in enumerate(rates):
            for kind, limit, cost in (("requests", rate.requests, 1), ("tokens", rate.tokens, tokens)):
                if limit is None:
                    continue
                share = max(1, limit // self._processes)
                after = max(now, self._full.get((rate.key, kind), 0.0)) + min(cost, share) * MINUTE_MS / share
                if after - now > MINUTE_MS + 0.5:
                    return Exceeded(place, kind, limit, int(after - now - MINUTE_MS) + 1)
                writes.append(((rate.key, kind), after))
            if rate.concurrency is not None:
                running = self._running.get(rate.key, ())
                if len(running) >= max(1, rate.concurrency // self._processes):
                    return Exceeded(place, "concurrency", rate.concurrency, 1000)
        if len(self._full) > 100_000:
            self._full = {key: full for key, full in self._full.items() if full > now}
        self._full.update(writes)
        for rate in rates:
            if rate.concurrency is not None:
                self._running.setdefault(rate.key, set()).add(request_id)
                self._places.setdefault(request_id, []).append(rate.key)
        return UNLIMITED

    def finish(self, request_id: str) -> None:
        """Give the places of a request back."""
        for key in self._places.pop(request_id, ()):
            self._running[key].discard(request_id)
