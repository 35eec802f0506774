"""From settled events to the books: 15-minute roll-ups and ledger transfers, in bulk. The only writer of roll-ups.

A batch of events is claimed by giving each the id of its transfer; roll-ups and entries are summed from exactly those
rows in the same transaction, so each event is in the books once or not at all.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from billing import ledger
from billing.meters import COUNTERS

ONE_POSTER = 7_001
"""The advisory lock that lets one batch be posted at a time: batches touch the same roll-ups."""

BATCH = 5_000


def post_settled(*, now: datetime, limit: int = BATCH, tenant_id: int | None = None) -> int:
    """Post up to ``limit`` settled events and as many adjustments; returns how many were posted.

    Usage is debited to the tenant's ``wallet`` (prepaid) or ``accrued`` (postpaid) and credited to ``revenue``, one
    transfer per tenant, 15-minute bucket of admission, price version and batch.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_POSTER])
        return _post(EVENTS, now, limit, tenant_id) + _post(ADJUSTMENTS, now, limit, tenant_id)


def post_everything(*, now: datetime, tenant_id: int | None = None, most: int = 1_000_000) -> int:
    """Post batch after batch until nothing settled is left (of one tenant), or ``most`` are posted."""
    total = 0
    while total < most and (posted := post_settled(now=now, tenant_id=tenant_id)):
        total += posted
    return total


def _post(source: dict[str, str], now: datetime, limit: int, tenant_id: int | None) -> int:
    values: dict[str, datetime | int | None] = {"now": now, "limit": limit, "tenant": tenant_id}
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(**source), values)
        claimed, transfers, tenants = cursor.fetchone()
        if claimed:
            ledger.open_accounts(tenants)
            cursor.execute(ENTRIES.format(**source), [transfers])
            cursor.execute(ROLL_UP.format(**source), [transfers])
    return int(claimed)


BUCKET = "date_bin('15 minutes', opened_at, timestamptz 'epoch')"

EVENTS = {
    "table": "billing_usageevent",
    "id": "id",
    "kind": "usage",
    "open": "state = 'settled' AND transfer_id IS NULL",
    "requests": "count(*)",
    "estimated": "count(*) FILTER (WHERE basis = 'estimated')",
    "sums": ", ".join(f"sum({name})" for name in COUNTERS),
}

ADJUSTMENTS = {
    "table": "billing_usageadjustment",
    "id": "id",
    "kind": "adjustment",
    "open": "transfer_id IS NULL",
    "requests": "0",
    "estimated": "0",
    "sums": ", ".join(f"sum(counts[{place}])" for place in range(1, len(COUNTERS) + 1)),
}

CLAIM = f"""
WITH picked AS MATERIALIZED (
    SELECT tenant_id, {{id}} AS id, {BUCKET} AS bucket, price_id FROM {{table}}
    WHERE {{open}} AND (%(tenant)s::bigint IS NULL OR tenant_id = %(tenant)s) LIMIT %(limit)s FOR UPDATE
), batches AS (
    SELECT tenant_id, bucket, price_id, '{{kind}}:' || price_id || ':' || min(id::text) AS key
    FROM picked GROUP BY tenant_id, bucket, price_id
), made AS (
    INSERT INTO billing_transfer (tenant_id, kind, key, effective_at, posted_at, memo)
    SELECT tenant_id, '{{kind}}', key, bucket, %(now)s, '' FROM batches
    RETURNING id, tenant_id, key
), linked AS (
    SELECT b.tenant_id, b.bucket, b.price_id, m.id AS transfer_id
    FROM batches b JOIN made m ON m.tenant_id = b.tenant_id AND m.key = b.key
), claimed AS (
    UPDATE {{table}} e SET transfer_id = l.transfer_id
    FROM picked p JOIN linked l USING (tenant_id, bucket, price_id)
    WHERE e.tenant_id = p.tenant_id AND e.{{id}} = p.id
    RETURNING 1
)
SELECT (SELECT count(*) FROM claimed), (SELECT array_agg(id) FROM made),
    (SELECT array_agg(DISTINCT tenant_id) FROM made)
"""

ENTRIES = """
WITH sums AS (
    SELECT transfer_id, tenant_id, sum(cost) AS cost FROM {table} WHERE transfer_id = ANY (%s) GROUP BY 1, 2
), sides AS (
    SELECT s.transfer_id, s.tenant_id, a.id AS account_id, s.cost AS amount
    FROM sums s LEFT JOIN billing_wallet w USING (tenant_id)
    JOIN billing_ledgeraccount a ON a.tenant_id = s.tenant_id AND a.currency = 'USD'
        AND a.kind = CASE WHEN w.mode = 'prepaid' THEN 'wallet' ELSE 'accrued' END
    UNION ALL
    SELECT s.transfer_id, s.tenant_id, a.id, -s.cost
    FROM sums s JOIN billing_ledgeraccount a ON a.tenant_id IS NULL AND a.currency = 'USD' AND a.kind = 'revenue'
)
INSERT INTO billing_ledgerentry (transfer_id, tenant_id, account_id, currency, amount)
SELECT transfer_id, tenant_id, account_id, 'USD', amount FROM sides WHERE amount <> 0
"""

ROLL_UP = f"""
INSERT INTO billing_usagerollup AS r (
    tenant_id, bucket_at, project_id, api_key_id, model, price_id, requests, estimated, {", ".join(COUNTERS)}, cost)
SELECT tenant_id, {BUCKET}, project_id, api_key_id, model, price_id, {{requests}}, {{estimated}}, {{sums}}, sum(cost)
FROM {{table}} WHERE transfer_id = ANY (%s)
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (tenant_id, bucket_at, project_id, api_key_id, model, price_id) DO UPDATE SET
    requests = r.requests + excluded.requests, estimated = r.estimated + excluded.estimated,
    {", ".join(f"{name} = r.{name} + excluded.{name}" for name in COUNTERS)}, cost = r.cost + excluded.cost
"""
