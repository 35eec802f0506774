"""Applying a whole document in one transaction: all of it, or nothing."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from portal import audit
from proxy.apply import catalog, prices, tenants
from proxy.apply.changes import Changes
from proxy.apply.document import Document


def apply(document: Document, *, now: datetime, dry_run: bool = False, sandbox_url: str = "") -> list[str]:
    """Make what is stored like the document; returns what changed, one line each, none if nothing did.

    A dry run does the same and takes it back. ``sandbox_url`` is an address that may be private. Raises ApplyProblem.
    """
    changes = Changes(document.file)
    with transaction.atomic():
        for upstream in document.upstreams:
            catalog.apply_upstream(upstream, changes, sandbox_url=sandbox_url)
        for model in document.models:
            catalog.apply_model(model, changes)
        catalog.apply_aliases(document.models, changes)
        for model in document.models:
            catalog.apply_routes(model, changes)
            prices.apply_price(model, changes, now=now)
        prices.propose(changes, now=now)
        for tenant in document.tenants:
            tenants.apply_tenant(tenant, changes, now=now)
        for project in document.projects:
            tenants.apply_project(project, changes, now=now)
        for budget in document.budgets:
            tenants.apply_budget(budget, changes, now=now)
        if any(not line.startswith("!") for line in changes.lines):
            detail: dict[str, object] = {"changes": changes.lines}
            audit.record(tenant=None, actor=None, action="apply", subject=document.file, now=now, detail=detail)
        if dry_run:
            transaction.set_rollback(True)
    return changes.lines
