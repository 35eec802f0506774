"""Checks of roles and row-level security, in the database as it is."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from billing.row_security import PORTAL, ROLES
from portal import row_scope
from proxy.doctor.database import one
from proxy.doctor.finding import Finding, ok, wrong

_TABLES = """
SELECT c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity,
    ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY 1)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
_OPEN_PARTITIONS = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relispartition AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    AND has_table_privilege(%s, c.oid, 'SELECT, INSERT, UPDATE, DELETE') ORDER BY 1
"""
POLICIES = {"every_row", "portal_rows"}


def roles() -> Iterator[Finding]:
    """The roles exist, can be taken on, and cannot pass row-level security by."""
    for role in ROLES:
        row = one(
            "SELECT rolsuper OR rolbypassrls, pg_has_role(session_user, %s, 'MEMBER') FROM pg_roles WHERE rolname = %s",
            *[role] * 2,
        )
        if row is None:
            yield wrong(f"role {role} is missing: run manage.py migrate.")
        elif row[0]:
            yield wrong(f"role {role} passes row-level security by: ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS.")
        elif not row[1]:
            yield wrong(f"the connecting user is no member of {role}: GRANT {role} TO that user.")
        else:
            yield ok(f"role {role} can be taken on and is bound by row-level security")


def tables() -> Iterator[Finding]:
    """Every table of tenants' rows is protected, for its owner too, by both policies."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        found = cursor.fetchall()
        cursor.execute(_OPEN_PARTITIONS, [PORTAL])
        open_partitions = [name for (name,) in cursor.fetchall()]
    bad = [name for name, enabled, forced, names in found if not (enabled and forced and set(names) >= POLICIES)]
    for name in bad:
        yield wrong(f"{name}: row-level security is not enabled and forced with both policies: run manage.py migrate.")
    for name in open_partitions:
        yield wrong(f"{name}: {PORTAL} reaches the partition past the table's policies: REVOKE ALL ON {name}.")
    if not bad and not open_partitions:
        yield ok(f"row-level security is enabled and forced on {len(found)} tables")
    yield from _nothing_seen([name for name, *_ in found])


def _nothing_seen(names: list[str]) -> Iterator[Finding]:
    """As the portal without a tenant, no tenant's row is visible anywhere."""
    seen = []
    with row_scope.entered(row_scope.RowScope(PORTAL)):
        for name in [*names, "portal_tenant"]:
            if not one("SELECT has_table_privilege(%s, 'SELECT')", name)[0]:
                continue
            column = "id" if name == "portal_tenant" else "tenant_id"
            if one(f"SELECT EXISTS (SELECT FROM {name} WHERE {column} IS NOT NULL)")[0]:  # noqa: S608 - names from pg_class
                seen.append(name)
    if seen:
        yield wrong(f"without a tenant, {PORTAL} sees rows of {', '.join(seen)}: run manage.py migrate.")
    else:
        yield ok(f"without a tenant, {PORTAL} sees no tenant's rows")
