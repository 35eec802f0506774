"""Changes to a tenant's own data and to its projects: names, time zone, address."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from billing import vat_ids
from billing.vat_ids import VatIdProblem
from portal import audit
from portal.members import TenancyProblem
from portal.models import Project, Tenant, User
from portal.slugs import first_free, slug_of
from portal.zones import valid_zone

LONGEST_NAME = 200
LONGEST_ADDRESS = 1000


@dataclass(frozen=True, slots=True)
class Billed:
    """Whom invoices are made out to: address, country (ISO 3166, or empty), VAT id, language, mail address."""

    address: str = ""
    country: str = ""
    vat_id: str = ""
    language: str = "en"
    billing_email: str = ""


def change_tenant(*, tenant: Tenant, name: str, timezone: str, billed: Billed, actor: User, now: datetime) -> None:
    """Name, time zone and whom invoices are made out to. A new time zone holds for windows that start later."""
    name = _checked_name(name, "An organisation")
    try:
        valid_zone(timezone)
    except ValidationError as error:
        raise TenancyProblem(str(error.messages[0])) from None
    values = {"name": name, "timezone": timezone, **_checked_billed(billed)}
    changed = {field: value for field, value in values.items() if getattr(tenant, field) != value}
    if not changed:
        return
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(**changed)
        audit.record(
            tenant=tenant, actor=actor, action="tenant.change", subject=tenant.slug, now=now, detail=dict(changed)
        )
    tenant.refresh_from_db()


def _checked_billed(billed: Billed) -> dict[str, str]:
    """The values to store: a VAT id in compact form, if its form and check digits are those of its country."""
    if len(billed.address) > LONGEST_ADDRESS:
        raise TenancyProblem(f"An address has at most {LONGEST_ADDRESS} characters.")
    if billed.vat_id and not billed.country:
        raise TenancyProblem("Choose the country that gave the VAT id.")
    try:
        vat_id = vat_ids.checked(billed.country, billed.vat_id) if billed.vat_id.strip() else ""
    except VatIdProblem as problem:
        raise TenancyProblem(str(problem)) from None
    return {**asdict(billed), "address": billed.address.strip(), "vat_id": vat_id}


def rename_project(*, project: Project, name: str, actor: User, now: datetime) -> None:
    """Another name for a project; its slug stays, because addresses and API clients use it."""
    name = _checked_name(name, "A project")
    if name == project.name:
        return
    with transaction.atomic():
        Project.objects.filter(pk=project.pk).update(name=name)
        audit.record(
            tenant=project.tenant,
            actor=actor,
            action="project.rename",
            subject=project.slug,
            now=now,
            detail={"from": project.name, "to": name},
        )
    project.name = name


def change_person(*, user: User, name: str) -> None:
    """A person's own name, as members see it."""
    if len(name) > 150 or not name.isprintable():
        raise TenancyProblem("A name has at most 150 printable characters.")
    User.objects.filter(pk=user.pk).update(name=name.strip())


def _checked_name(name: str, whose: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise TenancyProblem(f"{whose} needs a name of at most {LONGEST_NAME} printable characters.")
    return name


def free_project_slug(tenant: Tenant, name: str) -> str:
    """A slug no project of the tenant has, made from a name: ``Customer support`` → ``customer-support``, ``…-2``."""
    slug = slug_of(name, otherwise="project")
    taken = set(Project.objects.filter(tenant=tenant, slug__startswith=slug).values_list("slug", flat=True))
    return first_free(slug, taken)
