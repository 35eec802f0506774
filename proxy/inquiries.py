"""Questions a key may ask: what is sold, what a call would cost, what it cost, and what has been used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import orjson

from proxy import listing
from proxy.exchange import Exchange
from proxy.gateway import Gateway


class Inquiry(NamedTuple):
    """One endpoint that only tells: its method, and what makes the JSON body of its answer."""

    method: str
    answer: Callable[[Exchange, str], Awaitable[bytes]]


class Inquiries:
    """Every endpoint that makes no call."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._exact = {"/models": Inquiry("GET", self._models)}
        self._below = {"/models/": Inquiry("GET", self._models)}

    def find(self, path: str) -> Inquiry | None:
        """The endpoint of a path below ``/v1``; None if there is none."""
        found = self._exact.get(path)
        if found is None:
            found = next((inquiry for prefix, inquiry in self._below.items() if path.startswith(prefix)), None)
        return found

    async def _models(self, exchange: Exchange, path: str) -> bytes:
        grant = self._gateway.authenticate(exchange.key)
        return orjson.dumps(listing.of(self._gateway.directory.catalog, grant, path[len("/models/") :]))
