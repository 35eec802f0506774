"""``python -m bench.closing.month EVENTS TENANTS``: one size, in an empty database; the last line is JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import psutil
from django.db import connection

django.setup()

from billing import books, catalog, closing, posting  # noqa: E402 - models need Django set up
from billing.meters import TOKEN_CLASSES  # noqa: E402
from portal.models import Tenant  # noqa: E402
from portal.tenancy import as_operator, create_tenant  # noqa: E402

MONTH, START, NOW = "2026-10", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
MODELS = 8
FILL_BATCH = 500_000


def main(arguments: list[str]) -> int:
    """Fill, post, close, check; exit status 1 if an invoice is missing or the books do not balance."""
    events, tenants = map(int, arguments)
    made = _furnish(tenants)
    figures: dict[str, Any] = {"events": events, "tenants": tenants}
    with _timed(figures, "fill"):
        _fill(events, tenants)
    with _timed(figures, "post"):
        posted = _shown("posted", lambda: posting.post_settled(now=NOW, limit=50_000), events)
    with _timed(figures, "close"):
        numbers = sum(_close(tenant) for tenant in made)
    with _timed(figures, "check"), as_operator():
        report = books.check()
    figures["invoices"] = numbers
    figures["our_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["postgres_mib"] = _postgres_mib()
    sys.stderr.write(
        f"{events:,} calls: {posted:,} posted, {numbers:,} invoices, {len(report.differences)} differences\n"
    )
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0 if posted == events and numbers == tenants and report.balanced else 1


def _furnish(tenants: int) -> list[Tenant]:
    """Tenants on credit, and models with prices in force before the month."""
    with as_operator():
        for number in range(MODELS):
            prices = {"input": 150_000 * (number + 1), "cache_read": 75_000, "output": 600_000, "reasoning": 600_001}
            catalog.publish(
                book=catalog.default_book(), model=f"model-{number}", prices=prices, effective_from=START,
                now=START - timedelta(days=1),
            )  # fmt: skip
        return [
            create_tenant(
                slug=f"tenant-{number}", name=f"Tenant {number}", timezone="UTC", owner=None, mode="postpaid",
                credit_limit=10**21, now=START,
            )
            for number in range(tenants)
        ]  # fmt: skip


def _fill(events: int, tenants: int) -> None:
    """Settled calls over the whole month, as the gateway writes them, with what they cost added to the wallets."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_usage_partition(%s)", [START])
        for first in range(0, events, FILL_BATCH):
            last = min(first + FILL_BATCH, events)
            cursor.execute(FILL, {"first": first, "last": last - 1, "events": events, "start": START, "models": MODELS})
            sys.stderr.write(f"\r{last:,} calls made ")
        cursor.execute(SPEND)
        cursor.execute("ANALYZE")
    sys.stderr.write("\n")


def _shown(what: str, step: Callable[[], int], events: int) -> int:
    total = 0
    with as_operator():
        while done := step():
            total += done
            sys.stderr.write(f"\r{total:,} of {events:,} {what} ")
    sys.stderr.write("\n")
    return total


def _close(tenant: Tenant) -> int:
    with as_operator():
        return int(closing.close(tenant=tenant, month=MONTH, now=NOW, finalise=True).number is not None)


def _postgres_mib() -> float:
    """What all server processes keep alone, and the shared buffers once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    server = psutil.Process(backend).parent()
    processes = [server, *server.children()] if server else []
    shared = max((one.memory_info().shared for one in processes), default=0)
    return float(sum(one.memory_full_info().uss for one in processes) + shared) / 2**20


@contextmanager
def _timed(figures: dict[str, Any], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    figures[f"{name}_s"] = round(time.monotonic() - began, 2)


COSTS = " + ".join(f"c.{name} * p.{name}" for name in TOKEN_CLASSES)
FILL = f"""
WITH whose AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY t.id) - 1 AS place, t.id AS tenant_id, j.id AS project_id, a.id AS allowance_id
    FROM portal_tenant t JOIN portal_project j ON j.tenant_id = t.id
    JOIN billing_allowance a ON a.tenant_id = t.id AND a.kind = 'wallet'
), counted AS MATERIALIZED (
    SELECT n, %(start)s::timestamptz + n * (interval '31 days' / %(events)s) AS opened_at,
        n %% (SELECT count(*) FROM whose) AS place, 'model-' || n %% %(models)s AS model,
        (n * 7919 %% 4000)::int AS input, (n * 104729 %% 9000)::int AS cache_read, 0 AS cache_write_5m,
        0 AS cache_write_1h, 0 AS input_audio, 0 AS input_image, (n * 15485863 %% 900)::int + 1 AS output,
        (n * 32452843 %% 300)::int AS reasoning, 0 AS output_audio, 0 AS output_image
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
)
INSERT INTO billing_usageevent (tenant_id, id, project_id, api_key_id, model, requested_model, price_id, stream, state,
    basis, opened_at, deadline_at, owner, hold, allowances, input_estimate, settled_at, cost,
    input, cache_read, output, reasoning, prompt_tokens, completion_tokens, upstream, upstream_model, attempts, status,
    finish_reason, first_byte_ms, duration_ms, input_bytes, output_bytes)
SELECT w.tenant_id,
    (lpad(to_hex(floor(extract(epoch FROM c.opened_at) * 1000)::bigint), 12, '0') || '7000'
        || lpad(to_hex(x'8000000000'::bigint + c.n), 10, '0') || '000000')::uuid,
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

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
