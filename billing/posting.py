"""From settled events to the books: 15-minute roll-ups and ledger transfers, in bulk. The only writer of roll-ups.

One statement claims a batch of events by giving each the id of its transfer, and writes roll-ups and entries from
exactly the rows it claimed: each event is in the books once or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from billing import ledger
from billing.meters import COUNTERS

ONE_POSTER = 7_001
"""First half of the advisory lock under which one tenant's usage is posted, one batch after the other."""

BATCH = 50_000
"""Events of one transaction: what waits for some seconds is much less, what waits for long goes in large steps."""
TENANTS = 200
"""How many tenants a batch is taken from at most. Others are left to whoever posts at the same time."""


def post_settled(*, now: datetime, limit: int = BATCH, tenant_id: int | None = None) -> int:
    """Post up to ``limit`` settled events and as many adjustments; returns how many were posted.

    Usage is debited to the tenant's ``wallet`` (prepaid) or ``accrued`` (postpaid) and credited to ``revenue``, one
    transfer per tenant, 15-minute bucket of admission, price version and batch. For all tenants, those that somebody
    else posts at the moment are left out; for one, it waits for them.
    """
    return _post(_Batch(now, limit, tenant_id, after=0)).posted


def post_everything(*, now: datetime, tenant_id: int | None = None, most: int | None = None) -> int:
    """Post batch after batch until nothing settled is left (of one tenant), or ``most`` are posted."""
    total = passed = after = 0
    while most is None or total < most:
        done = _post(_Batch(now, BATCH, tenant_id, after))
        total += done.posted
        passed += done.posted
        if done.after is not None:
            after = done.after
        elif passed:
            passed = after = 0  # what came in meanwhile
        else:
            break
    return total


@dataclass(frozen=True, slots=True)
class _Batch:
    """What to post: at most ``limit`` of each source, of one tenant or of those whose ids come ``after``."""

    now: datetime
    limit: int
    tenant_id: int | None
    after: int


@dataclass(frozen=True, slots=True)
class _Done:
    """How many were posted, and after which tenant to go on; None at the end of them."""

    posted: int
    after: int | None


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that usage is posted from, as SQL."""

    table: str
    kind: str
    open: str
    requests: str
    estimated: str
    counts: tuple[str, ...]


EVENTS = _Source(
    table="billing_usageevent",
    kind="usage",
    open="state = 'settled' AND transfer_id IS NULL",
    requests="1",
    estimated="(e.basis = 'estimated')::int",
    counts=tuple(f"e.{name}" for name in COUNTERS),
)

ADJUSTMENTS = _Source(
    table="billing_usageadjustment",
    kind="adjustment",
    open="transfer_id IS NULL",
    requests="0",
    estimated="0",
    counts=tuple(f"e.counts[{place}]" for place in range(1, len(COUNTERS) + 1)),
)


def _post(batch: _Batch) -> _Done:
    """One batch. The locks are taken by a statement of their own, so that the next one sees what was posted before."""
    posted, after = 0, None
    with transaction.atomic(), _planned_for_bulk():
        for source in (EVENTS, ADJUSTMENTS):
            tenants = _lock(source, batch)
            if not tenants:
                continue
            ledger.open_accounts(tenants)
            claimed = _claim(source, batch, tenants)
            posted += claimed
            reached = tenants[-1] if claimed < batch.limit else tenants[0] - 1
            after = reached if after is None else min(after, reached)
    return _Done(posted, None if batch.tenant_id and posted < batch.limit else after)


def _lock(source: _Source, batch: _Batch) -> list[int]:
    """Tenants with something to post, by id, that nobody else posts until the end of this transaction."""
    with connection.cursor() as cursor:
        if batch.tenant_id is not None:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [ONE_POSTER, batch.tenant_id])
            return [batch.tenant_id]
        cursor.execute(
            WAITING.format(table=source.table, open=source.open),
            {"after": batch.after, "lock": ONE_POSTER, "most": TENANTS},
        )
        return [tenant for (tenant,) in cursor.fetchall()]


def _claim(source: _Source, batch: _Batch, tenants: list[int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            STATEMENTS[source.kind],
            {"now": batch.now, "limit": batch.limit, "tenants": tenants},
        )
        return int(cursor.fetchone()[0])


@contextmanager
def _planned_for_bulk() -> Iterator[None]:
    """Go by indexes, whatever is known of the tables, and sort in memory.

    A scan of the whole table reads what was posted before again and again; figures about a table that grows are late.
    """
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in BULK.items()))
    yield
    with connection.cursor() as cursor:  # the transaction may be somebody's who has more to do in it
        cursor.execute("; ".join(f"SET LOCAL {name} TO DEFAULT" for name in BULK))


BULK = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_mergejoin": "off", "work_mem": "'64MB'"}

BUCKET = "date_bin('15 minutes', opened_at, timestamptz 'epoch')"

WAITING = """
WITH RECURSIVE waiting AS (
    (SELECT tenant_id FROM {table} WHERE {open} AND tenant_id > %(after)s ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM {table} WHERE {open} AND tenant_id > w.tenant_id ORDER BY tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
)
SELECT tenant_id FROM waiting
WHERE tenant_id IS NOT NULL AND pg_try_advisory_xact_lock(%(lock)s, hashint8(tenant_id)) LIMIT %(most)s
"""


def _statement(source: _Source) -> str:
    summed = ", ".join(f"sum({name})" for name in COUNTERS)
    added = ", ".join(f"{name} = r.{name} + excluded.{name}" for name in COUNTERS)
    counts = ", ".join(f"{value} AS {name}" for value, name in zip(source.counts, COUNTERS, strict=True))
    return f"""
WITH picked AS MATERIALIZED (
    SELECT tenant_id, id, {BUCKET} AS bucket, price_id FROM {source.table}
    WHERE {source.open} AND tenant_id = ANY (%(tenants)s) LIMIT %(limit)s
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
    SELECT transfer_id, tenant_id, sum(cost) AS cost FROM claimed GROUP BY 1, 2
), sides AS (
    SELECT s.transfer_id, s.tenant_id, a.id AS account_id, s.cost AS amount
    FROM sums s LEFT JOIN billing_wallet w USING (tenant_id)
    JOIN billing_ledgeraccount a ON a.tenant_id = s.tenant_id AND a.currency = 'USD'
        AND a.kind = CASE WHEN w.mode = 'prepaid' THEN 'wallet' ELSE 'accrued' END
    UNION ALL
    SELECT s.transfer_id, s.tenant_id, a.id, -s.cost
    FROM sums s JOIN billing_ledgeraccount a ON a.tenant_id IS NULL AND a.currency = 'USD' AND a.kind = 'revenue'
), booked AS (
    INSERT INTO billing_ledgerentry (transfer_id, tenant_id, account_id, currency, amount)
    SELECT transfer_id, tenant_id, account_id, 'USD', amount FROM sides WHERE amount <> 0
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
SELECT count(*) FROM picked
"""


STATEMENTS = {source.kind: _statement(source) for source in (EVENTS, ADJUSTMENTS)}
