"""Calls to upstreams: pooled connections, timeouts, and which of a model's routes to try, in which order, how often."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.dialects.shape import FailureMessage, UpstreamCall
from proxy.directory import Route, Target
from proxy.errors import BadRequest, GatewayError, Unavailable
from proxy.http_client import Connection, Pool

FAILURES_TO_OPEN = 5
REST_S = 5.0
MOST_REST_S = 60.0
RETRY_SHARE = 0.1
MOST_RETRIES_SAVED = 10.0
MOST_HEADS = 1000
OPERATORS = frozenset({"invalid_api_key", "insufficient_quota"})
"""Codes of what is wrong between the operator and the upstream, whatever the status they come with."""
"""The code of a 400 that is not about the request: no client can mend the operator's credential."""


class Clients:
    """A pool of connections per upstream. Headers are built from scratch: nothing of the caller's goes."""

    def __init__(self, *, check_peer: Callable[[str, str], None]) -> None:
        """``check_peer`` raises AddressProblem for a base URL that led to an address nobody may call."""
        self._check_peer = check_peer
        self._pools: dict[tuple[str, int, int], Pool] = {}
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...]], bytes] = {}

    async def send(
        self, target: Target, call: UpstreamCall, request_id: str, deadline: float
    ) -> tuple[Pool, Connection]:
        """Send a call; the connection holds the head of its answer, and goes back to its pool. Raises ClientProblem.

        All attempts of a call share its ``deadline`` (of the monotonic clock): past it the row would be swept.
        """
        pool = self._pool(target)
        head = self._head(target, call, pool)
        request = b"%scontent-length: %d\r\nx-request-id: req_%s\r\n\r\n%s" % (
            head,
            len(call.body),
            request_id.encode(),
            call.body,
        )
        return pool, await pool.send(request, min(target.total_timeout_s, deadline - time.monotonic()))

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()

    def _pool(self, target: Target) -> Pool:
        key = (target.base_url, target.connect_timeout_s, target.first_byte_timeout_s)
        pool = self._pools.get(key)
        if pool is None:
            base_url = target.base_url
            pool = self._pools[key] = Pool(
                base_url,
                connect_s=target.connect_timeout_s,
                silent_s=target.first_byte_timeout_s,
                check_peer=lambda address: self._check_peer(base_url, address),
            )
        return pool

    def _head(self, target: Target, call: UpstreamCall, pool: Pool) -> bytes:
        """The head of a request but for its length and id, which is the same for all calls of a kind."""
        key = (target.base_url, call.path, (*target.headers, *call.headers))
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) > MOST_HEADS:
                self._heads.clear()
            lines = [f"POST {pool.path}{call.path} HTTP/1.1", f"host: {pool.authority}", "user-agent: tollgate"]
            lines += [f"{name}: {value}" for name, value in key[2]]
            head = self._heads[key] = "\r\n".join(lines).encode() + b"\r\n"
        return head


@dataclass(slots=True)
class Health:
    """How a route has been doing: failures in a row, and until when it rests."""

    failures: int = 0
    rests_until: float = 0.0
    probing: bool = False


class Breaker:
    """Keeps calls off routes that fail. After a rest one call probes; its success opens the route again."""

    def __init__(self) -> None:
        self._health: dict[int, Health] = {}

    def allows(self, route_id: int) -> bool:
        """Whether a route may be tried now; taking the single probe of a resting one."""
        health = self._health.get(route_id)
        if health is None or not health.rests_until:
            return True
        if time.monotonic() < health.rests_until or health.probing:
            return False
        health.probing = True
        return True

    def wait_ms(self, routes: tuple[Route, ...]) -> int:
        """Until when the first of some resting routes rests."""
        now = time.monotonic()
        rests = [self._health[route.id].rests_until - now for route in routes if route.id in self._health]
        return max(1000, int(min(rests, default=1.0) * 1000))

    def succeeded(self, route_id: int) -> None:
        """The route works."""
        if route_id in self._health:
            del self._health[route_id]

    def left(self, route_id: int) -> None:
        """A call ended without saying how the route is: if it was the probe, the next call is."""
        health = self._health.get(route_id)
        if health is not None:
            health.probing = False

    def failed(self, route_id: int, *, retry_after_s: float | None = None) -> None:
        """The route failed; it rests after several failures in a row, or as long as its upstream asked."""
        health = self._health.setdefault(route_id, Health())
        health.failures += 1
        health.probing = False
        if retry_after_s is not None:
            health.rests_until = time.monotonic() + min(retry_after_s, MOST_REST_S)
        elif health.failures >= FAILURES_TO_OPEN:
            rest = min(REST_S * 2 ** (health.failures - FAILURES_TO_OPEN), MOST_REST_S)
            health.rests_until = time.monotonic() + rest


class RetryBudget:
    """Retries are at most a tenth of calls, so that a failing upstream is not hit twice as hard."""

    def __init__(self) -> None:
        self._saved = MOST_RETRIES_SAVED

    def earn(self) -> None:
        """A call was made."""
        if self._saved < MOST_RETRIES_SAVED:
            self._saved += RETRY_SHARE

    def spend(self) -> bool:
        """Whether one more retry fits."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def in_order(routes: tuple[Route, ...]) -> Iterator[Route]:
    """Routes by priority; those of one priority in an order drawn by weight."""
    if len(routes) == 1:
        yield routes[0]
        return
    for priority in sorted({route.priority for route in routes}):
        tier = [route for route in routes if route.priority == priority]
        while tier:
            chosen = random.choices(tier, [route.weight for route in tier])[0]  # noqa: S311 - shares load, no secret
            tier.remove(chosen)
            yield chosen


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that brought no answer: what to tell the client, and whether another route may do better.

    ``unused`` is a request that never left: it may be sent again on the same route.
    """

    error: GatewayError
    next_route: bool
    retry_after_s: float | None = None
    unused: bool = False


def judge(status: int, said: FailureMessage, retry_after: str | None) -> Failure:
    """What an upstream's status below or above 200 means for the client, and for the other routes."""
    wait = parse_retry_after(retry_after)
    wait_ms = None if wait is None else int(wait * 1000)
    because = f": {said.message}" if said.message else "."
    if status in (401, 402, 403, 404) or (status < 500 and said.code in OPERATORS):
        return Failure(
            Unavailable(502, "The upstream refused our request; the operator must see to it.", "bad_gateway"), True
        )
    if status in (400, 413, 422):
        code = said.code or ("context_length_exceeded" if "context" in said.message.lower() else "invalid_value")
        return Failure(BadRequest(said.message or "The upstream refused the request.", code, param=said.param), False)
    if status in (429, 503, 529):
        error = Unavailable(
            503, "The model is overloaded upstream. Try again.", "upstream_overloaded", retry_after_ms=wait_ms
        )
        return Failure(error, True, wait)
    if status in (408, 504):
        return Failure(Unavailable(504, "The upstream timed out.", "timeout"), True)
    return Failure(Unavailable(502, f"The upstream failed{because}", "bad_gateway"), True)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` in seconds; a date or nonsense is None."""
    if value is None or not value.strip().isdecimal() or len(value.strip()) > 6:
        return None
    return float(value)
