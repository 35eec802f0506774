"""What billing needs to know of a tenant, its projects and its keys: it names them, and never imports the portal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from django.apps import apps


class Tenant(Protocol):
    """The paying organisation as billing sees it."""

    id: int

    @property
    def slug(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def timezone(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def country(self) -> str: ...
    @property
    def vat_id(self) -> str: ...
    @property
    def tax_category(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def billing_email(self) -> str: ...
    @property
    def billing_anchor_day(self) -> int: ...
    @property
    def payment_days(self) -> int | None: ...


class UnknownTenant(Exception):
    """There is no tenant of that name."""


def tenant_by_slug(slug: str) -> Tenant:
    """The tenant of a slug; raises UnknownTenant."""
    found = apps.get_model("portal", "Tenant")._default_manager.filter(slug=slug).first()
    if found is None:
        raise UnknownTenant(f"There is no tenant {slug[:64]!r}.")
    return cast(Tenant, found)


def tenants_by_id(ids: Iterable[int]) -> list[Tenant]:
    """The tenants of some ids, oldest first."""
    rows = apps.get_model("portal", "Tenant")._default_manager.filter(pk__in=list(ids)).order_by("pk")
    return cast(list[Tenant], list(rows))


def addresses_for_money(tenant_id: int) -> list[str]:
    """Mail addresses of a tenant's owners and finance members who may sign in."""
    rows = apps.get_model("portal", "Membership")._default_manager.filter(
        tenant_id=tenant_id, role__in=("owner", "finance"), user__is_active=True
    )
    return list(rows.order_by("user__email").values_list("user__email", flat=True))


def addresses_of_owners(tenant_id: int) -> list[str]:
    """Mail addresses of a tenant's owners who may sign in."""
    rows = apps.get_model("portal", "Membership")._default_manager.filter(
        tenant_id=tenant_id, role="owner", user__is_active=True
    )
    return list(rows.order_by("user__email").values_list("user__email", flat=True))


def addresses_for_bills(tenant: Tenant) -> list[str]:
    """Where a tenant wants its invoices and reminders: its own address for them, else those of its people for money."""
    return [tenant.billing_email] if tenant.billing_email else addresses_for_money(tenant.id)


def addresses_of_operators() -> list[str]:
    """Mail addresses of those who may open the admin."""
    rows = apps.get_model("portal", "User")._default_manager.filter(is_staff=True, is_active=True)
    return list(rows.order_by("email").values_list("email", flat=True))


def every_tenant() -> Iterable[Tenant]:
    """All tenants, oldest first, active or not: an inactive one still owes what it used."""
    return cast(Iterable[Tenant], apps.get_model("portal", "Tenant")._default_manager.order_by("id").iterator())


def belongs(tenant_id: int, scope: str, scope_id: int) -> bool:
    """Whether a tenant, a project or a key is that tenant's."""
    if scope == "tenant":
        return scope_id == tenant_id
    name = {"project": "Project", "api_key": "ApiKey"}[scope]
    found = apps.get_model("portal", name)._default_manager.filter(tenant_id=tenant_id, id=scope_id)
    return bool(found.exists())


def project_names(ids: Iterable[int]) -> dict[int, str]:
    """Names of projects by id."""
    rows = apps.get_model("portal", "Project")._default_manager.filter(id__in=set(ids))
    return {project.pk: str(project) for project in rows}


def key_names(ids: Iterable[int]) -> dict[int, str]:
    """Keys by id as a person knows them: the name if it has one, then the masked key."""
    rows = apps.get_model("portal", "ApiKey")._default_manager.filter(id__in=set(ids))
    return {key.pk: f"{key.name} ({key})" if key.name else str(key) for key in rows}
