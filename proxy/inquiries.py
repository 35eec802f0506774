"""Questions a key may ask: what is sold, what a call would cost, what it cost, and what has been used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from billing import money
from billing.meters import TOKEN_CLASSES
from proxy import demands, estimates, estimator, listing, receipts
from proxy.admission import quote
from proxy.errors import BadRequest, NotFound, excerpt
from proxy.exchange import Exchange
from proxy.gateway import Gateway
from proxy.records import Reader
from proxy.surfaces import PLAIN, messages, messages_request

ALMOST_A_QUARTER = timedelta(minutes=15) - timedelta(microseconds=1)
FURTHEST_BACK = timedelta(days=400)


class Inquiry(NamedTuple):
    """One endpoint that only tells: its method, and what makes the JSON body of its answer."""

    method: str
    answer: Callable[[Exchange, str], Awaitable[bytes]]


class Inquiries:
    """Every endpoint that makes no call. ``signing_key`` signs receipts."""

    def __init__(self, gateway: Gateway, reader: Reader, signing_key: Ed25519PrivateKey) -> None:
        self._gateway = gateway
        self._reader = reader
        self._signing_key = signing_key
        self._exact = {
            "/models": Inquiry("GET", self._models),
            "/estimate": Inquiry("POST", self._estimate),
            "/messages/count_tokens": Inquiry("POST", self._count_tokens),
            "/usage": Inquiry("GET", self._usage),
            "/receipts/keys": Inquiry("GET", self._keys),
        }
        self._below = {"/models/": Inquiry("GET", self._models), "/receipts/": Inquiry("GET", self._receipt)}

    def find(self, path: str) -> Inquiry | None:
        """The endpoint of a path below ``/v1``; None if there is none."""
        found = self._exact.get(path)
        if found is None:
            found = next((inquiry for prefix, inquiry in self._below.items() if path.startswith(prefix)), None)
        return found

    async def _models(self, exchange: Exchange, path: str) -> bytes:
        grant = self._gateway.authenticate(exchange.key)
        return orjson.dumps(listing.of(self._gateway.directory.catalog, grant, path[len("/models/") :]))

    async def _estimate(self, exchange: Exchange, path: str) -> bytes:
        """What the chat completion in the body would cost; nothing is held and nothing is charged."""
        grant = self._gateway.authenticate(exchange.key)
        chat = PLAIN.parse(await exchange.body())
        wants = demands.read(exchange.headers, exchange.sent)
        wanted = quote(chat, grant, self._gateway.directory, wants)
        rooms = await self._reader.room_of(grant.tenant_id, wanted.span.names)
        if wants.run_id:
            run = await self._reader.room_of_run(grant.tenant_id, grant.api_key_id, wants.run_id, wants.run_budget)
            if run is not None:
                wanted, rooms = wanted.in_run(wants.run_id, run.id), [*rooms, run]
        return orjson.dumps(estimates.body(chat, wanted, rooms))

    async def _count_tokens(self, exchange: Exchange, path: str) -> bytes:
        """How many prompt tokens the message in the body would be, by our own estimate; free."""
        grant = self._gateway.authenticate(exchange.key)
        chat = messages_request.parse_count(await exchange.body())
        wanted = quote(chat, grant, self._gateway.directory)
        likely = estimator.prompt_tokens(chat, wanted.entry)
        return messages.count_body(min(likely, wanted.entry.context_window))

    async def _receipt(self, exchange: Exchange, path: str) -> bytes:
        grant = self._gateway.authenticate(exchange.key)
        shown = path[len("/receipts/") :]
        row = await self._reader.receipt_row(grant.tenant_id, shown)
        if row is None:
            raise NotFound(f"There is no request '{excerpt(shown)}'.", "request_not_found", param="id")
        return orjson.dumps(receipts.sign(receipts.body(row), self._signing_key))

    async def _keys(self, exchange: Exchange, path: str) -> bytes:
        """The public half of what signs receipts, for everybody."""
        return orjson.dumps(receipts.jwks(self._signing_key.public_key()))

    async def _usage(self, exchange: Exchange, path: str) -> bytes:
        """What this key used, by model; this month (UTC) where the query names no ``start`` and ``end``.

        The start is taken down and the end up to the quarter of an hour, as usage is kept by it.
        """
        grant = self._gateway.authenticate(exchange.key)
        now = datetime.now(UTC)
        asked = parse_qs(exchange.query.decode("latin-1"))
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        start, end = _moment(asked, "start") or month, _moment(asked, "end") or now
        if end < start or start < now - FURTHEST_BACK:
            raise BadRequest("'start' must be before 'end', and at most 400 days ago.", "invalid_value", param="start")
        last = min(end, now) + ALMOST_A_QUARTER  # the last moment there is has no quarter of an hour after it
        rows = await self._reader.usage_of(grant.tenant_id, grant.api_key_id, start, last)
        return orjson.dumps(
            {
                "object": "usage",
                "key": grant.public_id,
                "start": start.isoformat(),
                "end": end.isoformat(),
                "currency": "USD",
                "requests": sum(row["requests"] for row in rows),
                "tokens": sum(row[name] for row in rows for name in TOKEN_CLASSES),
                "cost": money.usd(sum(int(row["cost"]) for row in rows), least_digits=0),
                "data": [{**row, "cost": money.usd(int(row["cost"]), least_digits=0)} for row in rows],
            }
        )


def _moment(asked: dict[str, list[Any]], name: str) -> datetime | None:
    """A moment of the query: ISO 8601, in UTC where it names no zone, or seconds since 1970."""
    if name not in asked:
        return None
    text = asked[name][-1].replace(" ", "+")
    try:
        found = datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise BadRequest(
            f"'{name}' takes a moment such as 2026-01-31T12:00:00Z, or seconds since 1970.", "invalid_value", param=name
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
