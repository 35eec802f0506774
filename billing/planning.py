"""Settings of PostgreSQL for a step that reads or writes much, given back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

NO_SCANS = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_mergejoin": "off"}
"""Go by indexes: what is known of a table that grows is late, and a scan of it reads what was done before."""

ALONE = {"max_parallel_workers_per_gather": "0"}
"""In one process: tenants are done side by side already."""


@contextmanager
def planned(**settings: str) -> Iterator[None]:
    """Set parameters for this connection, and back. A transaction that fails takes them back by itself."""
    before = _set(settings)
    try:
        yield
    except BaseException:
        if not connection.in_atomic_block:
            _set(before)
        raise
    _set(before)


def _set(values: dict[str, str]) -> dict[str, str]:
    """Set parameters; returns what they were."""
    names = list(values)
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, current_setting(name) FROM unnest(%s::text[]) name", [names])
        before = dict(cursor.fetchall())
        cursor.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) s (name, value)",
            [names, [values[name] for name in names]],
        )
    return before
