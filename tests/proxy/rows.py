"""A migrated database of a test's own, written to as its owner: tenants, heartbeats, prices, calls."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from billing.meters import TOKEN_CLASSES
from tests.deadline import until


class Rows:
    """Rows as the control plane and time would leave them."""

    def __init__(self, connection: psycopg.Connection[Any], url: str) -> None:
        self.connection = connection
        self.url = url
        self._serial = itertools.count(1)

    def run(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        cursor = self.connection.execute(statement, values)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def insert(self, table: str, **values: Any) -> int:
        """A row with these values, and nothing in whatever else it needs; returns its id."""
        needed = self.connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s "
            "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'",
            [table],
        )
        values = {name: _nothing(kind) for name, kind in needed} | values
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        marks = sql.SQL(", ").join([sql.Placeholder()] * len(values))
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id")
        cursor = self.connection.execute(statement.format(sql.Identifier(table), names, marks), list(values.values()))
        return int(cursor.fetchone()[0])  # type: ignore[index]

    def tenant(self) -> int:
        """A new tenant, without anything."""
        slug = f"tenant-{next(self._serial)}"
        return self.insert("portal_tenant", slug=slug, timezone="UTC", is_active=True, billing_anchor_day=1)

    def allowance(self, tenant: int, limit: int) -> int:
        """Its wallet."""
        return self.insert("billing_allowance", tenant_id=tenant, kind="wallet", limit=limit)

    def price(self, unit: int, **surcharges: int | None) -> int:
        """A price version whose classes cost 1, 2, 3… times a unit."""
        book = self.run("SELECT id FROM billing_pricebook WHERE tenant_id IS NULL")
        book = book or self.insert("billing_pricebook", name="Default")
        values: dict[str, Any] = {name: unit * place for place, name in enumerate(TOKEN_CLASSES, 1)}
        model = f"m-{next(self._serial)}"
        return self.insert("billing_price", book_id=book, model=model, **values, **surcharges)

    def beat(self, owner: str, *, ago_s: float = 0) -> None:
        """A gateway process was last heard of so long ago."""
        self.run("SELECT beat(%s, 'here', 1)", owner)
        self.run(
            "UPDATE billing_journalowner SET beat_at = clock_timestamp() - make_interval(secs => %s) WHERE id = %s",
            ago_s,
            owner,
        )

    def wait_since_start(self, seconds: int) -> None:
        """Return once the database has been up for so long."""
        up = "SELECT pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %s)"
        until(lambda: self.run(up, seconds))

    def expire_answers(self) -> None:
        """A day goes by."""
        self.run("UPDATE billing_storedanswer SET expires_at = clock_timestamp()")

    def copy_answer(self, from_tenant: int, to_tenant: int) -> None:
        """Someone with access to the database gives one tenant's answer to another."""
        self.run(
            "UPDATE billing_storedanswer t SET state = s.state, sealed = s.sealed, status = s.status "
            "FROM billing_storedanswer s WHERE s.tenant_id = %s AND t.tenant_id = %s",
            from_tenant,
            to_tenant,
        )

    def sealed(self, tenant: int) -> bytes:
        """What is stored of its answer."""
        return bytes(self.run("SELECT sealed FROM billing_storedanswer WHERE tenant_id = %s", tenant))


def _nothing(kind: str) -> Any:
    if kind.startswith("timestamp"):
        return datetime.now(UTC)
    return {"boolean": False, "ARRAY": [], "jsonb": "{}", "bytea": b"", "numeric": 0}.get(
        kind, 0 if "int" in kind else ""
    )
