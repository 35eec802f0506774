"""What the gateway reads back of its own calls: one of them, a key's usage, the room in its limits."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from billing.meters import COUNTERS
from proxy.errors import Unavailable
from proxy.postgres import AWAY, Connections
from proxy.request_id import as_uuid

logger = logging.getLogger(__name__)

RECEIPT = "SELECT usage_receipt($1, $2)"
USAGE = "SELECT model, requests, estimated, counts, cost FROM usage_by_model($1, $2, $3, $4)"
ROOM = (
    'SELECT id, "limit", spent, held FROM billing_allowance '
    "WHERE tenant_id = $1 AND id = ANY ($2::bigint[]) ORDER BY id"
)
RUN = 'SELECT allowance_id, "limit", spent, held FROM ensure_run($1, $2, $3, NULL)'
DIGITS = 24


class Room(NamedTuple):
    """An allowance as it is, in picodollars: a call fits whose ceiling is at most ``left``."""

    id: int
    limit: int
    spent: int
    held: int

    @property
    def left(self) -> int:
        """What new calls may still cost."""
        return self.limit - self.spent - self.held


class Reader:
    """Reads on connections of its own; every question names its tenant. Raises Unavailable while PostgreSQL is away."""

    def __init__(self, dsn: str) -> None:
        self._connections = Connections(dsn, most=2)

    async def close(self) -> None:
        """Give the connections back."""
        await self._connections.close()

    async def receipt_row(self, tenant_id: int, shown_id: str) -> dict[str, Any] | None:
        """One call by any id people see it under, as ``receipts.body`` takes it; None if the tenant has no such call.

        A call that has ended is open here until its settlement is committed, some milliseconds later.
        """
        digits = digits_of(shown_id)
        if digits is None:
            return None
        rows = await self._fetch(RECEIPT, tenant_id, as_uuid(digits))
        found: dict[str, Any] | None = orjson.loads(rows[0][0]) if rows[0][0] else None
        return found

    async def usage_of(self, tenant_id: int, api_key_id: int, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """What a key used in ``[since, until)`` by model: requests, tokens by class, cost in picodollars as a text.

        Both ends are taken down to the quarter of an hour, by the time of admission. Calls still open don't count.
        """
        rows = await self._fetch(USAGE, tenant_id, api_key_id, since, until)
        return [
            {
                "model": model,
                "requests": requests,
                "estimated": estimated,
                **dict(zip(COUNTERS, counts, strict=True)),
                "cost": str(int(cost)),
            }
            for model, requests, estimated, counts, cost in rows
        ]

    async def room_of(self, tenant_id: int, allowance_ids: Iterable[int]) -> list[Room]:
        """Allowances of a tenant as they are now, by id; those of others and unknown ones are left out."""
        return [Room(*map(int, row)) for row in await self._fetch(ROOM, tenant_id, list(allowance_ids))]

    async def room_of_run(self, tenant_id: int, api_key_id: int, run_id: str, wanted: int | None) -> Room | None:
        """An agent run's allowance as a call would find it that wants this limit, None for the one it has.

        Nothing is made or set: a run that is not there yet has the id 0. None for a run without a limit.
        """
        rows = await self._fetch(RUN, tenant_id, api_key_id, run_id)
        room = Room(*map(int, rows[0])) if rows else None
        if wanted is None:
            return room
        if room is None:
            return Room(0, wanted, 0, 0)
        return room._replace(limit=max(wanted, room.spent + room.held))

    async def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        try:
            return await self._connections.fetch(query, *arguments)
        except AWAY as error:
            logger.warning("PostgreSQL is away: %s", error)
            raise Unavailable(503, "This cannot be looked up at the moment. Try again.", "shutting_down") from None


def digits_of(shown_id: str) -> str | None:
    """The 24 hex digits of ``req_…``, ``chatcmpl-…`` or the digits alone; None for anything else."""
    digits = shown_id.rpartition("_")[2].rpartition("-")[2].lower()
    return digits if len(digits) == DIGITS and set(digits) <= set("0123456789abcdef") else None
