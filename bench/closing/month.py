"""``python -m bench.closing.month EVENTS TENANTS SPREAD``: one size, in an empty database; the last line is JSON."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import django
import psutil
from django.db import connection

django.setup()

from bench.closing import load, steps  # noqa: E402 - models need Django set up
from bench.closing.watch import Watch  # noqa: E402
from billing.models import Invoice  # noqa: E402
from portal.models import Tenant  # noqa: E402

WORKERS = 2
CHUNK = 10


def main(arguments: list[str]) -> int:
    """Fill, post, close, check; exit status 1 if anything is missing or the books do not balance."""
    events, tenants, spread = int(arguments[0]), int(arguments[1]), arguments[2]
    load.furnish(tenants)
    watch = Watch(_server())
    with watch.step("load"):
        load.fill(events, spread)
    os.environ["TOLLGATE_ROLE"] = "operator"  # of the workers, as of the product's
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        _steps(pool, watch)
    figures = {"events": events, "tenants": tenants, "spread": spread, "steps": watch.figures, **_counts()}
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0 if _is_right(figures) else 1


def _steps(pool: ProcessPoolExecutor, watch: Watch) -> None:
    with watch.step("post") as figures:
        figures["calls"] = _alone(pool, _post)
    slugs = Tenant.objects.order_by("id").values_list("pk", flat=True)
    tenants = sorted(slugs, key=lambda pk: pk * 7919 % 1009)  # large and small ones in turn
    for name in steps.PER_TENANT:
        with watch.step(name):
            _each(pool, name, tenants)
    with watch.step("books") as figures:
        figures["differences"] = _alone(pool, _check_all)
    with watch.step("pdf") as figures:
        figures["lines"] = _alone(pool, steps.render, load.WIDE)


def _alone(pool: ProcessPoolExecutor, step: Callable[..., int], *arguments: Any) -> int:
    return pool.submit(step, *arguments).result()


def _post() -> int:
    began = time.monotonic()

    def told(total: int) -> None:
        sys.stderr.write(f"\r{total:,} calls posted, {total / (time.monotonic() - began):,.0f}/s ")

    total = steps.post(told)
    sys.stderr.write("\n")
    return total


def _check_all() -> int:
    def told(said: str) -> None:
        sys.stderr.write(f"\rbooks: {said[:70]:70} ")

    differences = steps.check_all(told)
    told(f"{differences} differences")
    sys.stderr.write("\n")
    return differences


def _each(pool: ProcessPoolExecutor, name: str, tenants: Sequence[int]) -> None:
    """A step for every tenant, some at a time in each worker."""
    waiting = [pool.submit(_some, name, tenants[first : first + CHUNK]) for first in range(0, len(tenants), CHUNK)]
    for done, future in enumerate(as_completed(waiting), 1):
        future.result()
        sys.stderr.write(f"\r{name}: {min(done * CHUNK, len(tenants)):,} of {len(tenants):,} tenants ")
    sys.stderr.write("\n")


def _some(name: str, tenants: Sequence[int]) -> None:
    for tenant in tenants:
        steps.PER_TENANT[name](tenant)


def _server() -> psutil.Process:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    server = psutil.Process(backend).parent()
    assert server is not None
    return server


def _counts() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT (SELECT count(*) FROM billing_transfer WHERE kind = 'usage'),
            (SELECT count(*) FROM billing_usagerollup), pg_database_size(current_database()) / 2^20"""
        )
        transfers, rollups, size = cursor.fetchone()
    numbers = Invoice.objects.exclude(number=None).count()
    return {"transfers": transfers, "rollups": rollups, "invoices": numbers, "database_mib": round(size)}


def _is_right(figures: dict[str, Any]) -> bool:
    done = figures["steps"]
    calls = figures["events"] + load.WIDE_MODELS * 4
    right = done["post"]["calls"] == calls and figures["invoices"] == figures["tenants"] + 1
    return bool(right and done["books"]["differences"] == 0 and done["pdf"]["lines"] == load.WIDE_MODELS * 4)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
