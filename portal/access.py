"""The only way to get a tenant, or an object of one, for a request.

A stranger's tenant and a missing one are the same 404. A member whose role lacks the permission gets 403. After
``tenant_for``, row-level security shows the request this tenant's rows and no others.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest

from billing.models import WebhookDelivery, WebhookEndpoint
from portal import row_scope
from portal.models import ApiKey, Membership, Project, Role, Tenant

T = TypeVar("T", bound=Model)


class Permission(StrEnum):
    """What can be allowed to a role."""

    VIEW = "view"
    SEE_USAGE = "see_usage"
    SEE_KEYS = "see_keys"
    MANAGE_KEYS = "manage_keys"
    MANAGE_PROJECTS = "manage_projects"
    MANAGE_LIMITS = "manage_limits"
    SEE_MEMBERS = "see_members"
    MANAGE_MEMBERS = "manage_members"
    SEE_INVOICES = "see_invoices"
    CLOSE_PERIOD = "close_period"
    SEE_WALLET = "see_wallet"
    MANAGE_WALLET = "manage_wallet"
    MANAGE_TENANT = "manage_tenant"
    MANAGE_WEBHOOKS = "manage_webhooks"
    SEE_AUDIT = "see_audit"
    MANAGE_OWN_TOKENS = "manage_own_tokens"


_EVERYONE = frozenset({Permission.VIEW, Permission.SEE_USAGE, Permission.SEE_MEMBERS, Permission.MANAGE_OWN_TOKENS})
PERMISSIONS: dict[str, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: frozenset(Permission) - {Permission.CLOSE_PERIOD},
    Role.DEVELOPER: _EVERYONE | {Permission.SEE_KEYS, Permission.MANAGE_KEYS},
    Role.FINANCE: _EVERYONE
    | {Permission.SEE_INVOICES, Permission.CLOSE_PERIOD, Permission.MANAGE_LIMITS, Permission.SEE_AUDIT}
    | {Permission.SEE_WALLET, Permission.MANAGE_WALLET},
}


def allowed(role: str, permission: Permission) -> bool:
    """Whether a role may; an unknown role may nothing."""
    return permission in PERMISSIONS.get(role, frozenset())


def tenant_for(request: HttpRequest, slug: str, permission: Permission) -> Tenant:
    """The tenant of this slug if the signed-in user is a member whose role allows it.

    Raises Http404 for strangers and PermissionDenied for the wrong role. Sets ``request.tenant``,
    ``request.membership`` and ``request.permissions`` for templates.
    """
    membership = _membership(request, slug)
    require(membership, permission)
    enter(request, membership)
    return membership.tenant


def tenant_for_member(request: HttpRequest, membership: Membership, permission: Permission) -> Tenant:
    """The tenant of a membership that an API token proved; PermissionDenied if its role does not allow it."""
    require(membership, permission)
    enter(request, membership)
    return membership.tenant


def require(membership: Membership, permission: Permission) -> None:
    """Raise PermissionDenied unless the member's role allows it."""
    if not allowed(membership.role, permission):
        raise PermissionDenied(f"Your role in this organisation ({membership.role}) does not allow that.")


def enter(request: HttpRequest, membership: Membership) -> None:
    """Open a membership's tenant to the request. The membership must be the signed-in user's own."""
    if membership.user_id != request.user.pk:
        raise PermissionDenied
    row_scope.narrow_to(membership.tenant_id)
    request.tenant = membership.tenant  # type: ignore[attr-defined]
    request.membership = membership  # type: ignore[attr-defined]
    request.permissions = PERMISSIONS[membership.role]  # type: ignore[attr-defined]


def memberships_of(request: HttpRequest) -> QuerySet[Membership]:
    """The signed-in user's memberships with their tenants, by name; for choosing a tenant."""
    if not request.user.is_authenticated:
        return Membership.objects.none()
    rows = Membership.objects.filter(user_id=request.user.pk)
    return rows.select_related("tenant").order_by("tenant__name", "pk")


def project_for(tenant: Tenant, slug: str) -> Project:
    """A project of a tenant that ``tenant_for`` gave; Http404 otherwise."""
    return one(Project.objects.filter(tenant=tenant, slug=slug))


def api_key_for(tenant: Tenant, public_id: str) -> ApiKey:
    """A key of a tenant that ``tenant_for`` gave, by its public id; Http404 otherwise."""
    if not public_id.isalnum():  # the database takes no NUL
        raise Http404
    return one(ApiKey.objects.filter(tenant=tenant, public_id=public_id).select_related("project", "tenant"))


def webhook_for(tenant: Tenant, endpoint_id: str) -> WebhookEndpoint:
    """An endpoint of a tenant that ``tenant_for`` gave, unless it was removed; Http404 otherwise."""
    if not endpoint_id.isprintable():  # the database takes no NUL
        raise Http404
    return one(WebhookEndpoint.objects.filter(tenant=tenant, pk=endpoint_id, removed_at=None))


def delivery_for(tenant: Tenant, delivery_id: int) -> WebhookDelivery:
    """A message to an endpoint of a tenant that ``tenant_for`` gave; Http404 otherwise."""
    rows = WebhookDelivery.objects.filter(tenant=tenant, pk=delivery_id)
    return one(rows.select_related("message", "endpoint"))


def one(rows: QuerySet[T]) -> T:
    """The only row, or the one 404 that says nothing about why."""
    row = rows.first()
    if row is None:
        raise Http404
    return row


def _membership(request: HttpRequest, slug: str) -> Membership:
    if not request.user.is_authenticated:
        raise Http404
    rows = Membership.objects.filter(user_id=request.user.pk, tenant__slug=slug)
    return one(rows.select_related("tenant"))
