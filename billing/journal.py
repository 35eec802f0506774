"""The journal's SQL functions as typed verbs, and the sweep that ends what its owner left open.

The gateway calls the same functions through its own driver; together they are the only writers of usage events'
state and of what allowances have spent and held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

from django.db import connection, transaction

from billing import catalog
from billing.meters import NOTHING, Usage
from billing.models import Allowance
from billing.periods import month_of
from billing.pricing import rate

OWNER_KEPT = timedelta(days=1)
"""How long the row of a dead owner stays, for whoever asks what happened."""

RUN_KEPT = timedelta(days=1)
"""How long a run stays that costs nothing: names cost nothing either, and each is a row."""

SWEPT = 2


@dataclass(frozen=True, slots=True)
class Opening:
    """One request to admit: what it is, its ceiling in picodollars, and the allowances it must fit in."""

    id: UUID
    tenant_id: int
    project_id: int
    api_key_id: int
    model: str
    price_id: int
    opened_at: datetime
    deadline_at: datetime
    hold: int
    allowances: tuple[int, ...]
    input_estimate: int = 0
    stream: bool = False
    requested_model: str = ""
    operation: str = "chat"
    run_id: str = ""
    input_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was not admitted: its place in the batch and the allowance without room, None if it is gone."""

    place: int
    allowance_id: int | None
    limit: int | None
    spent: int | None
    held: int | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How one request ended. ``attempts, status, first_byte_ms, duration_ms`` are its ``facts``.

    ``price_id`` is the price that rated it; 0 leaves the one at admission.
    """

    id: UUID
    tenant_id: int
    usage: Usage = NOTHING
    cost: int = 0
    state: str = "settled"
    basis: str | None = "exact"
    flags: int = 0
    facts: tuple[int, int, int, int] = (1, 200, 0, 0)
    upstream: str = ""
    upstream_model: str = ""
    error_code: str = ""
    finish_reason: str = field(default="")
    price_id: int = 0
    reported_model: str = ""
    route_id: int = 0
    output_bytes: int = 0
    overhead_ms: int = 0

    def counts(self) -> tuple[int, ...]:
        """The twenty numbers settle_usage takes."""
        totals = self.usage.prompt_tokens, self.usage.completion_tokens
        return (*self.usage, *totals, *self.facts, self.output_bytes, self.overhead_ms)


def open_usage(owner: UUID, openings: Sequence[Opening]) -> list[Refusal]:
    """Admit a batch: a row and its holds for each that fits, a Refusal for each that does not."""
    columns = _columns(
        openings,
        ("id", "tenant_id", "project_id", "api_key_id", "model", "requested_model", "price_id", "stream",
         "opened_at", "deadline_at", "hold", "input_estimate"),
    )  # fmt: skip
    allowances = ["{" + ",".join(map(str, opening.allowances)) + "}" for opening in openings]
    kinds = _columns(openings, ("operation", "run_id", "input_bytes"))
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT place, allowance_id, "limit", spent, held FROM open_usage(%s, %s::uuid[], %s::bigint[],
            %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::boolean[], %s::timestamptz[],
            %s::timestamptz[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::integer[])""",
            [owner, *columns, allowances, *kinds],
        )
        return [Refusal(place - 1, *_whole(numbers)) for place, *numbers in cursor.fetchall()]


def settle_usage(endings: Sequence[Ending]) -> int:
    """End a batch of open requests; returns how many this call ended. A true usage after a sweep is an adjustment."""
    before = _columns(endings, ("id", "tenant_id", "state", "basis", "cost"))
    after = _columns(
        endings,
        ("flags", "upstream", "upstream_model", "error_code", "finish_reason", "price_id", "reported_model",
         "route_id"),
    )  # fmt: skip
    counts = list(chain.from_iterable(ending.counts() for ending in endings))
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT settle_usage(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::integer[],
            %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[],
            %s::bigint[])""",
            [*before, counts, *after],
        )
        return int(cursor.fetchone()[0])


def reassign_usage(event_id: UUID, *, tenant_id: int, model: str, price_id: int) -> bool:
    """Go on with an open request under another model and its price; False when it is not open any more."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reassign_usage(%s, %s, %s, %s)", [event_id, tenant_id, model, price_id])
        return bool(cursor.fetchone()[0])


def checkpoint_usage(delivered: Sequence[tuple[UUID, int, int]]) -> None:
    """Note delivered output tokens of running streams: (id, tenant id, tokens so far)."""
    columns = [list(column) for column in zip(*delivered, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT checkpoint_usage(%s::uuid[], %s::bigint[], %s::integer[])", columns)


def beat(owner: UUID, *, host: str = "", pid: int = 0) -> None:
    """Say that a gateway process lives, at the database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT beat(%s, %s, %s)", [owner, host, pid])


def ensure_partitions(*, now: datetime, months: int = 2) -> int:
    """Make the partitions of this month (UTC) and of those ahead; returns how many were missing."""
    ahead = [now]
    for _month in range(months):
        ahead.append(month_of(ahead[-1], "UTC").end or now)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE ensure_usage_partition(m)) FROM unnest(%s::timestamptz[]) m", [ahead]
        )
        return int(cursor.fetchone()[0])


def forget_answers(*, now: datetime) -> int:
    """Delete the answers kept for idempotency keys whose day is over; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM billing_storedanswer WHERE expires_at <= %s", [now])
        return int(cursor.rowcount)


def forget_runs(*, now: datetime) -> int:
    """Delete runs, with their caps, of which nothing was spent within a day; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT forget_runs(%s)", [now - RUN_KEPT])
        return int(cursor.fetchone()[0])


def database_now() -> datetime:
    """The database's clock, which owners' heartbeats are written by."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment


def live_allowances(*, tenant_id: int, now: datetime) -> list[Allowance]:
    """The wallet and the running windows of a tenant's active budgets, in id order."""
    running = Allowance.objects.filter(tenant_id=tenant_id, starts_at__lte=now).exclude(ends_at__lte=now)
    return [
        row
        for row in running.exclude(kind=Allowance.Kind.RUN).select_related("budget").order_by("id")
        if row.budget is None or row.budget.is_active
    ]


@transaction.atomic
def sweep(*, now: datetime, grace_s: int = 15, limit: int = 1000) -> int:
    """End open requests whose owner fell silent, or that are past their deadline, for longer than the grace.

    They are billed their input estimate and the output last noted as delivered, as an estimate. While the database
    itself has not been up for the grace nobody is swept: its owners could not beat. Returns how many were ended.
    """
    with connection.cursor() as cursor:
        cursor.execute(LEFT_OPEN, {"before": now - timedelta(seconds=grace_s), "limit": limit})
        rows = cursor.fetchall()
    prices = catalog.versions_by_id(price_id for *_rest, price_id in rows)
    endings = []
    for event_id, tenant_id, input_estimate, delivered, price_id in rows:
        usage = Usage(input=input_estimate, output=delivered)
        price = prices[price_id].chosen(usage)
        endings.append(
            Ending(event_id, tenant_id, usage, rate(usage, price), basis="estimated", flags=SWEPT,
                   facts=(0, 0, 0, 0), error_code="gateway_lost", price_id=price.id)
        )  # fmt: skip
    ended = settle_usage(endings) if endings else 0
    with connection.cursor() as cursor:
        cursor.execute(FORGET_OWNERS, [now - OWNER_KEPT])
    return ended


LEFT_OPEN = """
SELECT e.id, e.tenant_id, e.input_estimate, e.delivered, e.price_id
FROM billing_usageevent e LEFT JOIN billing_journalowner o ON o.id = e.owner
WHERE e.state = 'open' AND pg_postmaster_start_time() < %(before)s
    AND (coalesce(o.beat_at, e.opened_at) < %(before)s OR e.deadline_at < %(before)s)
LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED
"""

FORGET_OWNERS = """
DELETE FROM billing_journalowner o WHERE o.beat_at < %s
    AND NOT EXISTS (SELECT FROM billing_usageevent e WHERE e.owner = o.id AND e.state = 'open')
"""


def _columns(rows: Sequence[object], names: tuple[str, ...]) -> list[list[object]]:
    return [[getattr(row, name) for row in rows] for name in names]


def _whole(numbers: Sequence[object]) -> list[int | None]:
    return [None if number is None else int(str(number)) for number in numbers]
