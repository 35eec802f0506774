"""From settled events to the books: 15-minute roll-ups and ledger transfers, in bulk. The only writer of roll-ups.

One statement claims a batch of events by giving each the id of its transfer, and writes roll-ups and entries from
exactly the rows it claimed: each event is in the books once or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from billing import ledger
from billing.meters import COUNTERS
from billing.planning import NO_SCANS, planned

FIRST = UUID(int=0)
"""Before every event."""

ONE_POSTER = 7_001
"""The advisory lock that lets one batch be posted at a time: batches touch the same roll-ups."""

BATCH = 50_000
"""Events of one transaction: what waits for some seconds is much less, what waits for long goes in large steps."""


WORK_MEM = "64MB"


def post_settled(*, now: datetime, limit: int = BATCH, tenant_id: int | None = None) -> int:
    """Post up to ``limit`` settled events and as many adjustments; returns how many were posted.

    Usage is debited to the tenant's ``wallet`` (prepaid) or ``accrued`` (postpaid) and credited to ``revenue``, one
    transfer per tenant, 15-minute bucket of admission, price version and batch.
    """
    return _post(_Batch(now, limit, tenant_id)).posted


def post_everything(*, now: datetime, tenant_id: int | None = None, most: int | None = None) -> int:
    """Post batch after batch until nothing settled is left (of one tenant), or ``most`` are posted."""
    total, after = 0, FIRST
    while most is None or total < most:
        done = _post(_Batch(now, BATCH, tenant_id, after))
        total += done.posted
        if done.last is None and after == FIRST:
            break
        after = done.last or FIRST  # from the start again: some were settled late
    return total


@dataclass(frozen=True, slots=True)
class _Batch:
    """What to post: at most ``limit`` of each source, of one tenant or of all, admitted after an event."""

    now: datetime
    limit: int
    tenant_id: int | None
    after: UUID = FIRST


@dataclass(frozen=True, slots=True)
class _Done:
    """How many were posted, and the last event where there may be more after it."""

    posted: int
    last: UUID | None


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that usage is posted from, as SQL. Events are posted in the order of admission, as they lie on disk."""

    table: str
    kind: str
    open: str
    order: str
    requests: str
    estimated: str
    counts: tuple[str, ...]


EVENTS = _Source(
    table="billing_usageevent",
    kind="usage",
    open="state = 'settled' AND transfer_id IS NULL AND id > %(after)s",
    order="ORDER BY id",
    requests="1",
    estimated="(e.basis = 'estimated')::int",
    counts=tuple(f"e.{name}" for name in COUNTERS),
)

ADJUSTMENTS = _Source(
    table="billing_usageadjustment",
    kind="adjustment",
    open="transfer_id IS NULL",
    order="",
    requests="0",
    estimated="0",
    counts=tuple(f"e.counts[{place}]" for place in range(1, len(COUNTERS) + 1)),
)


def _post(batch: _Batch) -> _Done:
    """One batch. The lock is taken by a statement of its own, so that the next one sees what was posted before."""
    with transaction.atomic(), planned(**NO_SCANS, work_mem=WORK_MEM):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_POSTER])
        events, last = _claim(EVENTS, batch)
        adjustments, _last = _claim(ADJUSTMENTS, batch)
    if adjustments == batch.limit:
        return _Done(events + adjustments, last or batch.after)
    return _Done(events + adjustments, last if events == batch.limit else None)


def _claim(source: _Source, batch: _Batch) -> tuple[int, UUID | None]:
    """Post a batch from one source; how many there were, and the last of them."""
    try:
        return _claimed(source, batch)
    except _AccountMissingError as problem:
        ledger.open_accounts(problem.tenants)
        return _claimed(source, batch)


class _AccountMissingError(Exception):
    """Tenants that had no accounts when their usage was to be booked."""

    def __init__(self, tenants: list[int]) -> None:
        super().__init__(f"tenants {tenants} have no accounts")
        self.tenants = tenants


@transaction.atomic
def _claimed(source: _Source, batch: _Batch) -> tuple[int, UUID | None]:
    values: dict[str, datetime | int | UUID | None] = {
        "now": batch.now,
        "limit": batch.limit,
        "tenant": batch.tenant_id,
        "after": batch.after,
    }
    with connection.cursor() as cursor:
        cursor.execute(STATEMENTS[source.kind], values)
        posted, last, without_account = cursor.fetchone()
    if without_account:
        raise _AccountMissingError(without_account)
    return posted, last if source is EVENTS else None


BUCKET = "date_bin('15 minutes', opened_at, timestamptz 'epoch')"


def _statement(source: _Source) -> str:
    summed = ", ".join(f"sum({name})" for name in COUNTERS)
    added = ", ".join(f"{name} = r.{name} + excluded.{name}" for name in COUNTERS)
    counts = ", ".join(f"{value} AS {name}" for value, name in zip(source.counts, COUNTERS, strict=True))
    return f"""
WITH picked AS MATERIALIZED (
    SELECT tenant_id, id, {BUCKET} AS bucket, price_id FROM {source.table}
    WHERE {source.open} AND (%(tenant)s::bigint IS NULL OR tenant_id = %(tenant)s) {source.order} LIMIT %(limit)s
), batches AS MATERIALIZED (
    SELECT nextval('billing_transfer_id_seq') AS transfer_id, b.* FROM (
        SELECT tenant_id, bucket, price_id, min(id::text) AS first FROM picked
        GROUP BY tenant_id, bucket, price_id ORDER BY tenant_id, bucket, price_id) b
), made AS (
    INSERT INTO billing_transfer (id, tenant_id, kind, key, effective_at, posted_at, memo)
    SELECT transfer_id, tenant_id, '{source.kind}', '{source.kind}:' || price_id || ':' || first, bucket, %(now)s, ''
    FROM batches
), claimed AS (
    UPDATE {source.table} e SET transfer_id = b.transfer_id
    FROM picked p JOIN batches b USING (tenant_id, bucket, price_id)
    WHERE e.tenant_id = p.tenant_id AND e.id = p.id AND e.transfer_id IS NULL
    RETURNING e.tenant_id, e.transfer_id, b.bucket, e.project_id, e.api_key_id, e.model, e.price_id, e.cost,
        {source.requests} AS requests, {source.estimated} AS estimated, {counts}
), sums AS MATERIALIZED (
    SELECT s.transfer_id, s.tenant_id, s.cost, a.id AS account_id, h.id AS revenue_id
    FROM (SELECT transfer_id, tenant_id, sum(cost) AS cost FROM claimed GROUP BY 1, 2) s
    LEFT JOIN billing_wallet w USING (tenant_id)
    LEFT JOIN billing_ledgeraccount a ON a.tenant_id = s.tenant_id AND a.currency = 'USD'
        AND a.kind = CASE WHEN w.mode = 'prepaid' THEN 'wallet' ELSE 'accrued' END
    LEFT JOIN (SELECT id FROM billing_ledgeraccount
        WHERE tenant_id IS NULL AND currency = 'USD' AND kind = 'revenue') h ON true
), booked AS (
    INSERT INTO billing_ledgerentry (transfer_id, tenant_id, account_id, currency, amount)
    SELECT s.transfer_id, s.tenant_id, e.side, 'USD', e.amount
    FROM sums s CROSS JOIN LATERAL (VALUES (s.account_id, s.cost), (s.revenue_id, -s.cost)) e (side, amount)
    WHERE s.cost <> 0 AND s.account_id IS NOT NULL AND s.revenue_id IS NOT NULL
), rolled AS (
    INSERT INTO billing_usagerollup AS r (
        tenant_id, bucket_at, project_id, api_key_id, model, price_id, requests, estimated, {", ".join(COUNTERS)}, cost)
    SELECT tenant_id, bucket, project_id, api_key_id, model, price_id, sum(requests), sum(estimated), {summed},
        sum(cost)
    FROM claimed GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (tenant_id, bucket_at, project_id, api_key_id, model, price_id) DO UPDATE SET
        requests = r.requests + excluded.requests, estimated = r.estimated + excluded.estimated,
        {added}, cost = r.cost + excluded.cost
)
SELECT (SELECT count(*) FROM picked), (SELECT id FROM picked ORDER BY id DESC LIMIT 1),
    (SELECT array_agg(DISTINCT tenant_id) FROM sums WHERE cost <> 0 AND (account_id IS NULL OR revenue_id IS NULL))
"""


STATEMENTS = {source.kind: _statement(source) for source in (EVENTS, ADJUSTMENTS)}
