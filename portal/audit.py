"""Audit rows: who did what with privilege, written in the transaction of the act."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connection

from portal.models import AuditEntry

if TYPE_CHECKING:
    from portal.models import Tenant, User


class AuditProblem(Exception):
    """An audit row outside a transaction: it could survive its act, or be lost with it standing."""


def record(
    *,
    tenant: Tenant | None,
    actor: User | None,
    action: str,
    subject: str,
    now: datetime,
    detail: dict[str, object] | None = None,
) -> None:
    """Note an act such as ``api_key.revoke``. ``actor`` None is a command; ``tenant`` None concerns the installation.

    ``detail`` must be JSON and must never hold a secret.
    """
    if not connection.in_atomic_block:
        raise AuditProblem(f"{action} must be recorded in the transaction of the act")
    AuditEntry.objects.create(
        tenant=tenant, actor=actor, action=action, subject=subject[:200], detail=detail or {}, at=now
    )
