"""Tenants and their projects, and the two ways to see rows: as one tenant, or as the operator."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from billing import ledger
from billing.models import Wallet
from portal import audit
from portal.members import (
    IssuedInvitation,
    TenancyProblem,
    accept_invitation,
    add_member,
    change_role,
    invite,
    remove_member,
    revoke_invitation,
)
from portal.models import SLUG, Membership, Project, Role, Tenant, User
from portal.row_scope import OPERATOR, PORTAL, RowScope, entered
from portal.slugs import first_free, slug_of
from portal.zones import valid_zone

__all__ = [
    "IssuedInvitation",
    "TenancyProblem",
    "accept_invitation",
    "add_member",
    "as_operator",
    "as_tenant",
    "change_role",
    "create_project",
    "create_tenant",
    "free_slug",
    "invite",
    "remove_member",
    "revoke_invitation",
    "set_active",
]

DEFAULT_PROJECT = "default"


def as_tenant(tenant_id: int, user_id: int | None = None) -> AbstractContextManager[None]:
    """An atomic block that sees and writes one tenant's rows only, as the portal does."""
    return entered(RowScope(PORTAL, tenant_id, user_id))


def as_operator() -> AbstractContextManager[None]:
    """An atomic block that sees every tenant's rows. For staff, jobs and commands, never for what a tenant asks."""
    return entered(RowScope(OPERATOR))


def create_tenant(
    *, slug: str, name: str, timezone: str, owner: User | None, mode: str, credit_limit: int, now: datetime
) -> Tenant:
    """A tenant with its wallet, the project “default” and, if given, its first owner.

    ``mode`` is ``prepaid`` or ``postpaid``; ``credit_limit`` is picodollars, 0 for prepaid. Acts as operator: before
    there is a tenant nobody can see its rows.
    """
    _check_slug(slug)
    _check_name(name, "An organisation")
    _check_terms(timezone, mode, credit_limit)
    with entered(RowScope(OPERATOR)):
        if Tenant.objects.filter(slug=slug).exists():
            raise TenancyProblem(f"The name “{slug}” is taken.")
        tenant = Tenant.objects.create(slug=slug, name=name.strip(), timezone=timezone, created_at=now)
        ledger.open_wallet(tenant=tenant, mode=mode, credit_limit=credit_limit, now=now)
        Project.objects.create(tenant=tenant, slug=DEFAULT_PROJECT, name="Default", created_at=now)
        if owner is not None:
            Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER, created_at=now)
        detail: dict[str, object] = {"mode": mode, "owner": owner.email if owner else None}
        audit.record(tenant=tenant, actor=owner, action="tenant.create", subject=slug, now=now, detail=detail)
    return tenant


def create_project(*, tenant: Tenant, slug: str, name: str, actor: User | None, now: datetime) -> Project:
    """A project of the tenant; its slug is free in the tenant."""
    _check_slug(slug)
    _check_name(name, "A project")
    with transaction.atomic():
        project, made = Project.objects.get_or_create(
            tenant=tenant, slug=slug, defaults={"name": name.strip(), "created_at": now}
        )
        if not made:
            raise TenancyProblem(f"There is a project “{slug}” already.")
        audit.record(tenant=tenant, actor=actor, action="project.create", subject=slug, now=now)
    return project


def set_active(*, tenant: Tenant, is_active: bool, actor: User | None, now: datetime) -> None:
    """Disable a tenant (its keys are refused within a second) or enable it again."""
    with transaction.atomic():
        changed = Tenant.objects.filter(pk=tenant.pk, is_active=not is_active).update(is_active=is_active)
        if changed:
            action = "tenant.enable" if is_active else "tenant.disable"
            audit.record(tenant=tenant, actor=actor, action=action, subject=tenant.slug, now=now)
    tenant.is_active = is_active


def free_slug(name: str) -> str:
    """A slug nobody has, made from a name: ``Acme GmbH`` → ``acme-gmbh``, ``acme-gmbh-2``, …"""
    slug = slug_of(name, otherwise="organisation")
    with entered(RowScope(OPERATOR)):
        taken = set(Tenant.objects.filter(slug__startswith=slug).values_list("slug", flat=True))
    return first_free(slug, taken)


def _check_name(name: str, whose: str) -> None:
    if not name.strip() or len(name) > 200:
        raise TenancyProblem(f"{whose} needs a name of at most 200 characters.")


def _check_terms(timezone: str, mode: str, credit_limit: int) -> None:
    try:
        valid_zone(timezone)
    except ValidationError as error:
        raise TenancyProblem(str(error.messages[0])) from None
    if mode not in Wallet.Mode.values:
        raise TenancyProblem("Billing is prepaid or postpaid.")
    if credit_limit < 0 or (mode == Wallet.Mode.PREPAID and credit_limit):
        raise TenancyProblem("A credit line is for postpaid billing and is not negative.")


def _check_slug(slug: str) -> None:
    try:
        SLUG(slug)
    except ValidationError as error:
        raise TenancyProblem(f"“{slug[:64]}” cannot be used: {error.messages[0]}") from None
