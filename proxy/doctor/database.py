"""Checks of PostgreSQL: reachable, durable, migrated, partitions ahead, journal not behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from proxy.doctor.finding import Finding, ok, wrong

OLDEST = 15
LATE_S = 3600


def server() -> Iterator[Finding]:
    """It answers, is new enough, and does not lose commits."""
    began = time.monotonic()
    try:
        row = one("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
    except DatabaseError as error:
        first = str(error).splitlines()[0]
        yield wrong(f"PostgreSQL cannot be reached: {first}. Start it (make up), or correct DATABASE_URL.")
        return
    elapsed = (time.monotonic() - began) * 1000
    if row[0] < OLDEST * 10_000:
        yield wrong(f"PostgreSQL {row[1]} is too old: use {OLDEST} or newer.")
    else:
        yield ok(f"PostgreSQL {row[1]} answers in {elapsed:.1f} ms")
    yield from _durable()
    yield from _migrated()


def partitions() -> Iterator[Finding]:
    """This month's and next month's part of the journal are there."""
    for words, moment in (("this month", "now()"), ("next month", "(now() + interval '1 month')")):
        name = one(f"SELECT 'billing_usageevent_' || to_char({moment} AT TIME ZONE 'UTC', 'YYYY_MM')")[0]
        if one("SELECT to_regclass(%s) IS NOT NULL", name)[0]:
            yield ok(f"journal: the partition of {words} is there ({name})")
        else:
            yield wrong(f"journal: {name} is missing: start a Celery worker with beat, which makes it ahead of time.")


def journal() -> Iterator[Finding]:
    """Nothing open past its deadline, nothing settled that waits for the ledger."""
    overdue = one(
        "SELECT count(*) FROM (SELECT FROM billing_usageevent WHERE state = 'open' "
        "AND deadline_at < now() - interval '2 minutes' LIMIT 10001) o"
    )[0]
    if overdue:
        yield wrong(f"journal: {overdue} calls are open past their deadline: start a Celery worker, which sweeps them.")
    else:
        yield ok("journal: no call is open past its deadline")
    lag = one(
        "SELECT extract(epoch FROM now() - min(settled_at)) FROM billing_usageevent "
        "WHERE state = 'settled' AND transfer_id IS NULL"
    )[0]
    if lag is not None and lag > LATE_S:
        yield wrong(f"journal: usage has waited {int(lag) // 60} min for the ledger: start a Celery worker with beat.")
    else:
        yield ok(f"journal: the ledger is {int(lag or 0)} s behind")


def one(query: str, *values: str) -> Any:
    """The first row of a query, or None."""
    with connection.cursor() as cursor:
        cursor.execute(query, values or None)
        return cursor.fetchone()


def _durable() -> Iterator[Finding]:
    settings = {name: one("SELECT current_setting(%s)", name)[0] for name in ("fsync", "synchronous_commit")}
    off = [name for name, value in settings.items() if value == "off"]
    if off:
        yield wrong(f"PostgreSQL: {' and '.join(off)} is off, so a crash loses usage: turn it on.")
    else:
        yield ok("PostgreSQL keeps what it commits (fsync, synchronous_commit)")


def _migrated() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        yield wrong(f"{len(missing)} migrations are not applied: run manage.py migrate.")
    else:
        yield ok("every migration is applied")
