"""In which order a model's routes are tried: by priority, weight, health, and where the cache of a prompt is warm."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from math import log
from types import MappingProxyType

from proxy.directory import Route

WARM_S = 300.0
MOST_WARM = 10_000
NOT_LESS = 0.1
"""No route gets less than this share of its weight: else it could never show that it has recovered."""
LEAST_CALLS = 20
STEPS = ((0.9, 1.0), (0.7, 0.5), (0.4, 0.25), (0.0, NOT_LESS))
"""From this share of successes on, this share of the weight. Coarse, so that processes mostly weigh alike."""
NO_FACTORS: Mapping[int, float] = MappingProxyType({})


class Order:
    """The order of routes for one call after another; ``factors`` are what health leaves of a route's weight."""

    def __init__(self) -> None:
        self.factors: Mapping[int, float] = NO_FACTORS
        self._warm: dict[bytes, tuple[int, float]] = {}

    def routes(self, routes: tuple[Route, ...], key: bytes = b"") -> Iterator[Route]:
        """Routes by priority; those of one priority in an order drawn by weight, a key's warm route first.

        What a key draws is the same in every process, and mostly stays when routes come and go.
        """
        if len(routes) == 1:
            yield routes[0]
            return
        warm = self._warm_route(key) if key else 0
        for priority in sorted({route.priority for route in routes}):
            tier = [route for route in routes if route.priority == priority]
            if len(tier) == 1:
                yield tier[0]
            elif key:
                yield from sorted(tier, key=lambda route: (route.id != warm, self._draw(route, key)))
            else:
                yield from self._by_weight(tier)

    def used(self, key: bytes, route_id: int) -> None:
        """A route answered under a key: its cache is warm there for a while."""
        self._warm.pop(key, None)
        self._warm[key] = route_id, time.monotonic() + WARM_S
        if len(self._warm) > MOST_WARM:
            del self._warm[next(iter(self._warm))]

    def _warm_route(self, key: bytes) -> int:
        route_id, until = self._warm.get(key, (0, 0.0))
        return route_id if time.monotonic() < until else 0

    def _weight(self, route: Route) -> float:
        return max(route.weight, 1) * self.factors.get(route.id, 1.0)

    def _draw(self, route: Route, key: bytes) -> float:
        """A rendezvous: the least of these wins, as often as its weight is of all, and only its own keys leave it."""
        number = int.from_bytes(blake2b(b"%d:%s" % (route.id, key), digest_size=7).digest())
        return -log((number + 1) / 2**56) / self._weight(route)

    def _by_weight(self, tier: list[Route]) -> Iterator[Route]:
        while tier:
            chosen = random.choices(tier, [self._weight(route) for route in tier])[0]  # noqa: S311 - shares load, no secret
            tier.remove(chosen)
            yield chosen


def cache_key(tenant_id: int, model: str, given: object) -> bytes:
    """The key under which a prompt's cache is warm: of one tenant and model alone, and of bounded size."""
    text = given if type(given) is bytes else str(given).encode("utf-8", "replace")
    return blake2b(b"%d\0%s\0%s" % (tenant_id, model.encode(), text), digest_size=16).digest()


def factor(calls: float, successes: float) -> float:
    """What the last minutes leave of a route's weight: all of it from nine successes in ten on, or while few called."""
    if calls < LEAST_CALLS:
        return 1.0
    rate = successes / calls
    return next(share for least, share in STEPS if rate >= least)
