"""As which database role, and for which tenant and user, the current transaction sees rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

PORTAL = "tollgate_portal"
OPERATOR = "tollgate_operator"

_SWAP = """
WITH outer_scope AS MATERIALIZED (
    SELECT current_setting('role') AS role, COALESCE(current_setting('app.tenant_id', true), '') AS tenant,
        COALESCE(current_setting('app.user_id', true), '') AS person)
SELECT o.role, o.tenant, o.person, set_config('role', %s, true), set_config('app.tenant_id', %s, true),
    set_config('app.user_id', %s, true)
FROM outer_scope o
"""
_SET = "SELECT set_config('role', %s, true), set_config('app.tenant_id', %s, true), set_config('app.user_id', %s, true)"


@dataclass(frozen=True, slots=True)
class RowScope:
    """A database role with the tenant and user its row-level security goes by; None sees no rows of that kind."""

    role: str
    tenant_id: int | None = None
    user_id: int | None = None


@contextmanager
def entered(scope: RowScope) -> Iterator[None]:
    """An atomic block in this scope; the outer scope is back when it ends.

    Everything is set for the transaction only (``SET LOCAL``), so a connection can carry nothing into the next one. A
    block that fails is rolled back, and that undoes its settings too.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_SWAP, [scope.role, _text(scope.tenant_id), _text(scope.user_id)])
            outer = cursor.fetchone()[:3]
        yield
        if not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute(_SET, outer)


def limit_statements(milliseconds: int) -> None:
    """Let no statement of this transaction run for longer: what a page asks must not keep a server busy."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])


def narrow_to(tenant_id: int) -> None:
    """From here to the end of the surrounding block, row-level security shows this tenant's rows.

    Only portal/access.py calls it, once it has found the user's membership.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a tenant can only be entered inside a transaction")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant_id)])


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
