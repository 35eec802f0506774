"""What every page of a tenant shares: access, time zone, sidebar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from portal.access import Permission, memberships_of, tenant_for
from portal.models import Membership, Tenant, User

P = ParamSpec("P")


class PersonRequest(HttpRequest):
    """A request of somebody signed in."""

    user: User


class TenantRequest(PersonRequest):
    """A request that portal/access.py let into a tenant."""

    tenant: Tenant
    membership: Membership
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the sidebar."""

    label: str
    icon: str
    route: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the sidebar as this request sees it."""

    label: str
    icon: str
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Lines of the sidebar under a heading."""

    title: str
    items: list[Item]


SIDEBAR = (
    (
        "",
        (
            Link("Overview", "home", "overview", Permission.VIEW),
            Link("API keys", "key", "keys", Permission.SEE_KEYS),
            Link("Usage", "chart", "usage", Permission.SEE_USAGE),
            Link("Calls", "list", "calls", Permission.SEE_USAGE),
            Link("Exports", "download", "exports", Permission.SEE_USAGE),
            Link("Projects", "folder", "projects", Permission.VIEW),
        ),
    ),
    (
        "Billing",
        (
            Link("Wallet", "wallet", "wallet", Permission.SEE_WALLET),
            Link("Limits", "gauge", "limits", Permission.VIEW),
            Link("Spend", "chart", "spend", Permission.SEE_INVOICES),
            Link("Invoices", "invoice", "invoices", Permission.SEE_INVOICES),
            Link("Payments", "card", "payments", Permission.SEE_WALLET),
        ),
    ),
    (
        "Organisation",
        (
            Link("Members", "people", "members", Permission.SEE_MEMBERS),
            Link("API tokens", "terminal", "tokens", Permission.MANAGE_OWN_TOKENS),
            Link("Webhooks", "webhook", "webhooks", Permission.MANAGE_WEBHOOKS),
            Link("Audit log", "audit", "audit", Permission.SEE_AUDIT),
            Link("Settings", "settings", "settings", Permission.MANAGE_TENANT),
        ),
    ),
)


def tenant_page(
    permission: Permission,
) -> Callable[
    [Callable[Concatenate[TenantRequest, Tenant, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, str, P], HttpResponseBase],
]:
    """A view of one tenant: signs in first, then asks portal/access.py, then speaks in the tenant's time zone."""

    def wrap(
        view: Callable[Concatenate[TenantRequest, Tenant, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, str, P], HttpResponseBase]:
        @login_required
        @wraps(view)
        def page(request: TenantRequest, slug: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            tenant = tenant_for(request, slug, permission)
            with timezone.override(tenant.timezone):
                return view(request, tenant, *args, **kwargs)

        return page  # type: ignore[return-value]

    return wrap


def render_page(request: TenantRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A tenant's page with its sidebar. Nothing of it is kept by caches."""
    shared = {
        "tenant": request.tenant,
        "membership": request.membership,
        "can": {str(permission): permission in request.permissions for permission in Permission},
        "tenants": [membership.tenant for membership in memberships_of(request)],
        "navigation": navigation(request),
    }
    response = render(request, f"pages/{template}", {**shared, **context}, status=status)
    response["Cache-Control"] = "no-store"
    return response


def navigation(request: TenantRequest) -> list[Group]:
    """The sidebar's groups; a role sees only what it may open."""
    groups = []
    for title, links in SIDEBAR:
        items = [_item(request, link) for link in links if link.permission in request.permissions]
        if items:
            groups.append(Group(title, items))
    return groups


def form_status(bound: object) -> int:
    """422 when a form comes back with errors, 200 when it is shown first."""
    return 422 if bound else 200


def position(request: HttpRequest, name: str) -> int | None:
    """A row number from the query string, for paging by key; BadRequest for anything else."""
    text = request.GET.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadRequest(f"{name} is not a position in this list")
    return int(text)


def _item(request: TenantRequest, link: Link) -> Item:
    url = reverse(link.route, args=[request.tenant.slug])
    current = request.path == url if link.route == "overview" else request.path.startswith(url)
    return Item(link.label, link.icon, url, current)
