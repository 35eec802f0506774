"""The gateway's pen in the journal of requests: opens and settlements of one process, group-committed.

Requests that arrive while a commit is under way share the next one. Settlements, which nobody waits for, gather for a
few milliseconds, and are tried until PostgreSQL takes them; while it is away they also lie in the spool file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from proxy import crash
from proxy.postgres import AWAY, Connection, Connections
from proxy.spool import Spool

logger = logging.getLogger(__name__)

MOST_IN_BATCH = 256
MOST_NAME = 200
"""Characters kept of what an upstream calls its model."""
GATHER_S = 0.005
BEAT_S = 2.0

OPEN = "SELECT * FROM open_usage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
SETTLE = "SELECT settle_usage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
CHECKPOINT = "SELECT checkpoint_usage($1, $2, $3)"
BEAT = "SELECT beat($1, $2, $3)"
REASSIGN = "SELECT reassign_usage($1, $2, $3, $4)"
ENSURE_RUN = "SELECT * FROM ensure_run($1, $2, $3, $4)"


class JournalAway(Exception):
    """PostgreSQL did not take the row: nothing was held, the call must be refused."""


class Opening(NamedTuple):
    """A request to open, in the order of open_usage's arrays. Amounts in picodollars, ``id`` as 32 hex digits."""

    id: str
    tenant_id: int
    project_id: int
    api_key_id: int
    model: str
    requested_model: str
    price_id: int
    stream: bool
    opened_at: datetime
    deadline_at: datetime
    hold: int
    input_estimate: int
    allowances: str
    operation: str = "chat"
    run_id: str = ""
    input_bytes: int = 0


class Refusal(NamedTuple):
    """The allowance that has no room for a request; all None where its row is gone."""

    allowance_id: int | None
    limit: int | None
    spent: int | None
    held: int | None


class Settlement(NamedTuple):
    """The end of a request; ``counts`` are settle_usage's twenty numbers. ``price_id`` 0 leaves the price it had."""

    id: str
    tenant_id: int
    state: str
    basis: str | None
    cost: int
    flags: int
    upstream: str
    upstream_model: str
    error_code: str
    finish_reason: str
    counts: tuple[int, ...]
    price_id: int = 0
    reported_model: str = ""
    route_id: int = 0


class RunRoom(NamedTuple):
    """The allowance of an agent run, in picodollars."""

    allowance_id: int
    limit: int
    spent: int
    held: int


class Journal:
    """Opens, settlements, checkpoints and heartbeats of one gateway process."""

    def __init__(self, dsn: str, spool_folder: Path, *, delivered: Callable[[], list[tuple[str, int, int]]]) -> None:
        """``delivered`` lists running streams as (id, tenant, output tokens so far), for the checkpoints."""
        self.owner = str(uuid.uuid4())
        self._dsn = dsn
        self._spool = Spool(spool_folder, self.owner)
        self._delivered = delivered
        self._openings: list[tuple[Opening, asyncio.Future[Refusal | None]]] = []
        self._settlements: list[Settlement] = []
        self._opening = asyncio.Event()
        self._settling = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._aside = Connections(dsn, most=2)

    @property
    def waiting(self) -> int:
        """Settlements that PostgreSQL has not taken yet."""
        return len(self._settlements)

    def spool_writable(self) -> bool:
        """Whether settlements could be kept on disk while PostgreSQL is away: else nothing may be admitted."""
        return self._spool.writable()

    async def start(self) -> None:
        """Say that this process lives, settle what dead ones left in their spools, and start writing."""
        connection = Connection(self._dsn)
        try:
            await connection.fetch(BEAT, self.owner, socket.gethostname(), os.getpid())
            for leftover in self._spool.leftovers():
                rows = [restored(row) for row in leftover.rows]
                for start in range(0, len(rows), MOST_IN_BATCH):
                    await self._settle_batch(connection, rows[start : start + MOST_IN_BATCH])
                leftover.remove()
                logger.info("settled %d requests from a spool", len(rows))
        finally:
            await connection.close()
        self._tasks = [
            asyncio.create_task(self._run(self._open_batches), name="journal opens"),
            asyncio.create_task(self._run(self._settle_batches), name="journal settles"),
            asyncio.create_task(self._run(self._beats), name="journal beats"),
        ]

    async def stop(self, *, within_s: float) -> None:
        """Settle what is waiting; what PostgreSQL does not take in time stays in the spool for the next start."""
        self._closing = True
        await _ended(self._tasks[:1])  # an opening that is cut off leaves a settlement
        try:
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        except TimeoutError:
            logger.warning("%d settlements stay in the spool", len(self._settlements))
        self._spool.write(self._settlements)
        await _ended(self._tasks[1:])
        await self._aside.close()
        if not self._settlements:
            self._spool.clear()

    async def open(self, opening: Opening) -> Refusal | None:
        """Commit a row and its holds: None when admitted, else what has no room. Raises JournalAway."""
        future: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._openings.append((opening, future))
        self._opening.set()
        try:
            return await future
        except asyncio.CancelledError:
            # Cancelled in the moment between the row's commit and this task's turn: nobody else knows of the row.
            if not future.cancelled() and future.exception() is None and future.result() is None:
                self.settle(abandoned(opening))
            raise

    def settle(self, settlement: Settlement) -> None:
        """End a request. Never fails and never waits: the row is written in a moment, or when PostgreSQL is back."""
        crash.here("before_settle")
        named = settlement.reported_model
        if "\0" in named or len(named) > MOST_NAME:  # PostgreSQL takes no NUL: the row would stay open
            settlement = settlement._replace(reported_model=named.replace("\0", "")[:MOST_NAME])
        self._settlements.append(settlement)
        self._settling.set()
        self._settled.clear()

    async def reassign(self, request_id: str, tenant_id: int, model: str, price_id: int) -> bool:
        """Go on with an open request under another model and its price: a fallback. Raises JournalAway.

        False means that it is not open any more; then nothing may be sent. After JournalAway it may be either's.
        """
        rows = await self._fetch_aside(REASSIGN, request_id, tenant_id, model, price_id)
        return bool(rows[0][0])

    async def ensure_run(self, tenant_id: int, api_key_id: int, run_id: str, limit: int | None) -> RunRoom | None:
        """The allowance of an agent run, made with this limit or set to it; raises JournalAway.

        ``limit`` in picodollars stands from now on, but never below what is spent and held. None sets no limit, and
        only finds a run that has one. ``run_id`` has 1 to 128 characters.
        """
        rows = await self._fetch_aside(ENSURE_RUN, tenant_id, api_key_id, run_id, limit)
        return RunRoom(*map(int, rows[0])) if rows else None

    async def _fetch_aside(self, query: str, *arguments: Any) -> list[Any]:
        """A statement of one request alone, on a connection that batches don't wait for."""
        try:
            return await self._aside.fetch(query, *arguments)
        except AWAY as error:
            logger.warning("PostgreSQL is away: %s", error)
            raise JournalAway from None

    async def _run(self, work: Callable[[Connection], Any]) -> None:
        """Keep one kind of work going: a batch that failed has failed its callers, and the next starts clean."""
        while True:
            connection = Connection(self._dsn)
            try:
                await work(connection)
            except AWAY as error:
                logger.warning("PostgreSQL is away: %s", error)
            except Exception:
                logger.exception("a journal batch failed")
            finally:
                await connection.close()
            await asyncio.sleep(0.2)

    async def _open_batches(self, connection: Connection) -> None:
        while True:
            await self._opening.wait()
            batch = self._openings[:MOST_IN_BATCH]
            del self._openings[:MOST_IN_BATCH]
            if not self._openings:
                self._opening.clear()
            try:
                await self._open_batch(connection, batch)
            except BaseException:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(JournalAway())
                try:
                    await connection.close()  # a statement still under way must end before its rows are voided
                finally:
                    for opening, _ in batch:
                        self.settle(abandoned(opening))  # the commit may have come through, and only its answer not
                raise

    async def _open_batch(
        self, connection: Connection, batch: list[tuple[Opening, asyncio.Future[Refusal | None]]]
    ) -> None:
        if not batch:
            return
        rows = [opening for opening, _ in batch]
        crash.here("before_open_commit")
        refused = await connection.fetch(OPEN, self.owner, *map(list, zip(*rows, strict=True)))
        crash.here("after_open_commit")
        refusals = {row[0]: Refusal(*row[1:]) for row in refused}
        for place, (opening, future) in enumerate(batch, 1):
            refusal = refusals.get(place)
            if not future.done():
                future.set_result(refusal)
            elif refusal is None:  # the caller left while its row was being written
                self.settle(abandoned(opening))

    async def _settle_batches(self, connection: Connection) -> None:
        while True:
            await self._settling.wait()
            if not self._closing:
                await asyncio.sleep(GATHER_S)
            batch = self._settlements[:MOST_IN_BATCH]
            if batch:
                await self._settle_batch(connection, batch)
                crash.here("after_settle_commit")
                del self._settlements[: len(batch)]
            if not self._settlements:
                self._settling.clear()
                self._settled.set()
                self._spool.clear()

    async def _settle_batch(self, connection: Connection, batch: list[Settlement]) -> None:
        """Settle a batch. A row that PostgreSQL can't take, alone either, is left open for the sweep to estimate."""
        crash.here("before_settle_commit")
        try:
            await connection.fetch(SETTLE, *_columns(batch))
        except AWAY:
            self._spool.write(self._settlements)
            raise
        except asyncpg.PostgresError:
            if len(batch) == 1:
                logger.exception("settlement refused: %s", batch[0])
                return
            for row in batch:
                await self._settle_batch(connection, [row])

    async def _beats(self, connection: Connection) -> None:
        while True:
            await connection.fetch(BEAT, self.owner, socket.gethostname(), os.getpid())
            running = [row for row in self._delivered() if row[2]]
            for start in range(0, len(running), MOST_IN_BATCH):
                await connection.fetch(
                    CHECKPOINT, *map(list, zip(*running[start : start + MOST_IN_BATCH], strict=True))
                )
            await asyncio.sleep(BEAT_S)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def abandoned(opening: Opening) -> Settlement:
    """The end of a request that went nowhere: nothing was sent upstream, nothing is owed."""
    return Settlement(opening.id, opening.tenant_id, "voided", None, 0, 1, "", "", "client_gone", "", (0,) * 20)


def restored(row: list[Any]) -> Settlement:
    """A settlement as the spool gives it back: JSON knows no tuples."""
    fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    return Settlement(*fields)


def _columns(batch: list[Settlement]) -> tuple[list[Any], ...]:
    """The arrays of settle_usage: the fields in their order, but the numbers in the sixth place, flat."""
    *fields, counts, prices, reported, routes = zip(*batch, strict=True)
    flat = [number for row in counts for number in row]
    return tuple(map(list, (*fields[:5], flat, *fields[5:], prices, reported, routes)))
