"""How routes do, from real traffic: counted in memory with a few increments a call, written down every ten seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping

from billing.meters import Usage
from proxy.buckets import BOUNDS_S
from proxy.directory import Credential, Target
from proxy.postgres import AWAY, Connection
from proxy.routing import factor
from proxy.upstream import Kind

logger = logging.getLogger(__name__)

FLUSH_S = 10.0
FADE = 0.95
"""What a flush leaves of the last minutes' memory: half of it is gone after two and a quarter minutes."""
ALERT_EVERY_S = 600.0
MOST_WAITING = 1000

NOTE = "SELECT note_route_health($1, $2)"
REFUSED = "SELECT note_refused_credentials($1, $2, $3)"


class Record:
    """What is counted of one route: ``outcomes`` by Kind, output tokens, the time they took, and two histograms.

    ``first`` is the time to a stream's first token, ``whole`` that to a whole answer, in buckets of BOUNDS_S.
    """

    __slots__ = ("first", "outcomes", "seconds", "tokens", "whole")

    def __init__(self) -> None:
        self.outcomes = [0] * len(Kind)
        self.tokens = 0
        self.seconds = 0.0
        self.first = [0] * (len(BOUNDS_S) + 1)
        self.whole = [0] * (len(BOUNDS_S) + 1)

    def numbers(self) -> list[int]:
        """In the order note_route_health reads them."""
        return [*self.outcomes, self.tokens, int(self.seconds * 1000), *self.first, *self.whole]

    def add(self, other: Record) -> None:
        """Count what another one counted, too."""
        for mine, more in ((self.outcomes, other.outcomes), (self.first, other.first), (self.whole, other.whole)):
            mine[:] = [a + b for a, b in zip(mine, more, strict=True)]
        self.tokens += other.tokens
        self.seconds += other.seconds


class Health:
    """The counts of one process. Losing the last ten seconds of them is no harm: money hangs on none."""

    def __init__(self, dsn: str = "") -> None:
        self._dsn = dsn
        self._records: dict[int, Record] = {}
        self._recent: dict[int, tuple[float, float]] = {}
        self._told_at: dict[int, float] = {}
        self._alerts: list[tuple[int, int, int]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.on_factors: Callable[[Mapping[int, float]], None] | None = None

    # what the attempts tell

    def answered(self, route_id: int, seconds: float, usage: Usage | None) -> None:
        """A whole answer came."""
        record = self._records.get(route_id) or self._new(route_id)
        record.outcomes[0] += 1
        record.whole[bisect_right(BOUNDS_S, seconds)] += 1
        if usage is not None:
            record.tokens += usage[6] + usage[7] + usage[8] + usage[9]
            record.seconds += seconds

    def streamed(self, route_id: int, first_s: float, rest_s: float, tokens: int, broken: bool) -> None:
        """A stream ended, ``rest_s`` after its first token; ``tokens`` is 0 where they are not known."""
        record = self._records.get(route_id) or self._new(route_id)
        record.outcomes[Kind.BROKEN if broken else Kind.SUCCESS] += 1
        record.first[bisect_right(BOUNDS_S, first_s)] += 1
        if tokens:
            record.tokens += tokens
            record.seconds += rest_s

    def failed(self, route_id: int, kind: Kind) -> None:
        """An attempt brought nothing."""
        record = self._records.get(route_id) or self._new(route_id)
        record.outcomes[kind] += 1

    def refused(self, target: Target, credential: Credential, status: int) -> None:
        """An upstream refused a credential: the operator is told, at most once in ten minutes for each."""
        now, mark = time.monotonic(), credential.mark or -target.id
        if now < self._told_at.get(mark, 0.0):
            return
        if len(self._told_at) >= MOST_WAITING:
            self._told_at.clear()
        self._told_at[mark] = now + ALERT_EVERY_S
        if credential.id:
            logger.error("upstream %s refused credential …%s (%d)", target.name, credential.last_four, status)
        else:
            logger.error("upstream %s wants a credential, and none is stored (%d)", target.name, status)
        if len(self._alerts) < MOST_WAITING:
            self._alerts.append((target.id, credential.id, status))
            self._wake.set()

    # its own life

    def start(self) -> None:
        """Start writing down."""
        self._task = asyncio.create_task(self._run(), name="route health")

    async def stop(self, *, within_s: float = 2.0) -> None:
        """Write down what is left, if that can be done soon."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        connection = Connection(self._dsn)
        try:
            async with asyncio.timeout(within_s):
                await self.flush(connection)
        except AWAY as error:
            logger.warning("the last counts of routes are lost, PostgreSQL is away: %s", error)
        finally:
            await connection.close()

    async def _run(self) -> None:
        connection = Connection(self._dsn)
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_S):
                        await self._wake.wait()
                self._wake.clear()
                self._weigh()
                try:
                    await self.flush(connection)
                except AWAY as error:
                    logger.warning("counts of routes wait, PostgreSQL is away: %s", error)
                    await connection.close()
                except Exception:
                    logger.exception("counts of routes were not written")
        finally:
            await connection.close()

    async def flush(self, connection: Connection) -> None:
        """Write down what was counted; what PostgreSQL does not take is kept. Raises one of AWAY."""
        records, self._records = self._records, {}
        alerts, self._alerts = self._alerts, []
        try:
            if alerts:
                await connection.fetch(REFUSED, *map(list, zip(*alerts, strict=True)))
                alerts = []
            if records:
                numbers = [number for record in records.values() for number in record.numbers()]
                await connection.fetch(NOTE, list(records), numbers)
        except BaseException:
            self._alerts = [*alerts, *self._alerts]
            for route_id, record in records.items():
                (self._records.get(route_id) or self._new(route_id)).add(record)
            raise

    def _weigh(self) -> None:
        """Let the last minutes fade, add what is new, and say what is left of each route's weight."""
        for route_id in {*self._recent, *self._records}:
            calls, successes = self._recent.get(route_id, (0.0, 0.0))
            record = self._records.get(route_id)
            outcomes = record.outcomes if record is not None else [0] * len(Kind)
            calls = calls * FADE + sum(outcomes) - outcomes[Kind.REFUSED]
            if calls < 1:
                self._recent.pop(route_id, None)
            else:
                self._recent[route_id] = calls, successes * FADE + outcomes[Kind.SUCCESS]
        if self.on_factors is not None:
            shares = {route_id: factor(*recent) for route_id, recent in self._recent.items()}
            self.on_factors({route_id: share for route_id, share in shares.items() if share < 1})

    def _new(self, route_id: int) -> Record:
        record = self._records[route_id] = Record()
        return record
