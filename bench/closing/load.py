"""A month of settled calls, as the gateway writes them, made by SQL; and the tenants, models and prices they need."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from billing import catalog
from billing.meters import TOKEN_CLASSES
from portal.tenancy import as_operator, create_tenant

MONTH, START, NOW = "2026-10", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
SPREADS = {
    "rank": "least(floor(power(t.count + 1, n * 0.6180339887498949 - floor(n * 0.6180339887498949)))::bigint, t.count)",
    "even": "n %% t.count + 1",
}
"""Whose a call is: tenants whose sizes fall as one through their rank, or all alike."""

POPULAR = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7]
"""Models of calls: a third is of the first, one in fifteen of each of the last."""

WIDE, WIDE_MODELS = "wide", 125
"""A tenant that uses so many models: with four token classes each, its invoice has 500 lines."""

BATCH = 500_000


def furnish(tenants: int) -> None:
    """Tenants on credit, and models with prices in force before the month."""
    with as_operator():
        book = catalog.default_book()
        for number in range(WIDE_MODELS):
            prices = {"input": 150_000 * (number + 1), "cache_read": 75_000, "output": 600_000, "reasoning": 600_001}
            catalog.publish(
                book=book, model=f"model-{number}", prices=prices, effective_from=START, now=START - timedelta(days=1)
            )
        for slug in (*(f"tenant-{number}" for number in range(tenants)), WIDE):
            create_tenant(
                slug=slug, name=slug.title(), timezone="UTC", owner=None, mode="postpaid", credit_limit=10**24,
                now=START,
            )  # fmt: skip


def fill(events: int, spread: str) -> None:
    """Settled calls over the whole month, with what they cost added to the wallets."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_usage_partition(%s)", [START])
        for first in range(0, events, BATCH):
            last = min(first + BATCH, events)
            values = _values(first, last, events, "tenant-%", POPULAR)
            cursor.execute(FILL.format(place=SPREADS[spread]), values)
            sys.stderr.write(f"\r{last:,} of {events:,} calls made ")
        values = _values(0, WIDE_MODELS * 4, WIDE_MODELS * 4, WIDE, list(range(WIDE_MODELS)))
        cursor.execute(FILL.format(place=SPREADS["even"]), values)
        cursor.execute(SPEND)
        cursor.execute("ANALYZE")
    sys.stderr.write("\n")


def _values(first: int, last: int, events: int, slugs: str, models: list[int]) -> dict[str, Any]:
    return {"first": first, "last": last - 1, "events": events, "start": START, "slugs": slugs, "models": models}


COSTS = " + ".join(f"c.{name} * p.{name}" for name in TOKEN_CLASSES)
FILL = f"""
WITH whose AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY t.id) AS place, t.id AS tenant_id, j.id AS project_id, a.id AS allowance_id
    FROM portal_tenant t JOIN portal_project j ON j.tenant_id = t.id
    JOIN billing_allowance a ON a.tenant_id = t.id AND a.kind = 'wallet' WHERE t.slug LIKE %(slugs)s
), counted AS MATERIALIZED (
    SELECT n, %(start)s::timestamptz + n * (interval '31 days' / %(events)s) AS opened_at,
        {{place}} AS place, 'model-' || (%(models)s::int[])[1 + n * 7919 %% cardinality(%(models)s::int[])] AS model,
        (n * 7919 %% 4000)::int + 1 AS input, (n * 104729 %% 9000)::int + 1 AS cache_read, 0 AS cache_write_5m,
        0 AS cache_write_1h, 0 AS input_audio, 0 AS input_image, (n * 15485863 %% 900)::int + 1 AS output,
        (n * 32452843 %% 300)::int + 1 AS reasoning, 0 AS output_audio, 0 AS output_image
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) n, (SELECT count(*) AS count FROM whose) t
)
INSERT INTO billing_usageevent (tenant_id, id, project_id, api_key_id, model, requested_model, price_id, stream, state,
    basis, opened_at, deadline_at, owner, hold, allowances, input_estimate, settled_at, cost,
    input, cache_read, output, reasoning, prompt_tokens, completion_tokens, upstream, upstream_model, attempts, status,
    finish_reason, first_byte_ms, duration_ms, input_bytes, output_bytes)
SELECT w.tenant_id,
    (lpad(to_hex(floor(extract(epoch FROM c.opened_at) * 1000)::bigint), 12, '0') || '7000'
        || lpad(to_hex(x'8000000000'::bigint + c.n), 10, '0') || substr(to_hex(w.tenant_id + x'1000000'::bigint), 2)
    )::uuid,
    w.project_id, w.tenant_id * 4 + c.n / 8 %% 4, c.model, c.model, p.id, c.n %% 2 = 0, 'settled',
    CASE WHEN c.n %% 1000 = 0 THEN 'estimated' ELSE 'exact' END, c.opened_at, c.opened_at + interval '10 minutes',
    gen_random_uuid(), 10000000000, ARRAY[w.allowance_id], c.input, c.opened_at + interval '3 seconds',
    {COSTS}, c.input, c.cache_read, c.output, c.reasoning, c.input + c.cache_read, c.output + c.reasoning,
    'sandbox', c.model, 1, 200, 'stop', 120, 3000, 12000, 2400
FROM counted c JOIN whose w USING (place) JOIN billing_price p ON p.model = c.model
"""
SPEND = """
UPDATE billing_allowance a SET spent = e.spent
FROM (SELECT tenant_id, sum(cost) AS spent FROM billing_usageevent GROUP BY tenant_id) e
WHERE a.tenant_id = e.tenant_id AND a.kind = 'wallet'
"""
