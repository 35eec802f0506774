"""Who is in the demonstration: organisations that pay in each way, their members, projects, keys and limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress

from billing import budgets, exchange
from billing.exchange import Rate
from billing.models import Budget, Wallet
from portal import api_keys, api_tokens, tenancy
from portal.api_keys import NO_LIMITS, KeyLimits
from portal.models import ApiKey, Membership, Project, Role, Tenant, User
from portal.quotas import set_quota
from tests.gallery.calendar import ZONE, Calendar
from tests.gallery.picture import PASSWORD

USD = 10**12
OWNER, OPERATOR, NEWCOMER = "ada@acme.example", "operator@tollgate.example", "noor@fern.example"
BUYER = {
    "country": "DE", "vat_id": "DE129273398", "currency": "EUR", "billing_email": "rechnung@acme.example",
    "address": "Marktplatz 7\n80331 München",
}  # fmt: skip
PREPAID = {"country": "US", "address": "1 Main St\nSpringfield", "billing_email": "ap@bluebird.example"}


@dataclass(frozen=True, slots=True)
class Cast:
    """The organisations by what is special about them, and the two who look at pages."""

    owner: User
    operator: User
    postpaid: Tenant
    prepaid: Tenant
    doubtful: Tenant
    empty: Tenant
    invitation: str


def gather(calendar: Calendar) -> Cast:
    """Make everyone, as of the first month."""
    began = calendar.began
    owner, operator, newcomer = (_person(email) for email in (OWNER, OPERATOR, NEWCOMER))
    operator.is_staff = operator.is_superuser = True
    operator.save(update_fields=["is_staff", "is_superuser"])
    postpaid = _tenant("acme", "Acme Robotics", owner, 5_000 * USD, began, **BUYER)
    prepaid = _tenant("bluebird", "Bluebird Studio", owner, 0, began, **PREPAID)
    doubtful = _tenant("cedar", "Cedar & Co", newcomer, 9_000 * USD, began, country="GB", address="2 Mill Lane\nLeeds")
    empty = _tenant("fern", "Fern", newcomer, 0, calendar.now)
    for month in (*calendar.ended, calendar.running):
        exchange.keep(Rate("EUR", 86_957, 100_000, month.start.date(), "ECB"), now=month.start)
    invitation = _members(postpaid, owner, calendar.now)
    _projects(postpaid, owner, calendar)
    _keys(prepaid, owner, began, "Website")
    _keys(doubtful, newcomer, began, "Batch")
    for tenant in (postpaid, doubtful):
        _budget(tenant, Budget.Scope.TENANT, tenant.pk, 4_000 * USD, calendar)
    return Cast(owner, operator, postpaid, prepaid, doubtful, empty, invitation)


def _person(email: str) -> User:
    name = email.partition("@")[0].title()
    user = User.objects.create_user(email, PASSWORD, name=name)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def _tenant(slug: str, name: str, owner: User, credit: int, now: datetime, **fields: str) -> Tenant:
    mode = Wallet.Mode.POSTPAID if credit else Wallet.Mode.PREPAID
    made = tenancy.create_tenant(
        slug=slug, name=name, timezone=ZONE, owner=owner, mode=mode, credit_limit=credit, now=now
    )
    Tenant.objects.filter(pk=made.pk).update(**fields)
    made.refresh_from_db()
    return made


def _members(tenant: Tenant, owner: User, now: datetime) -> str:
    for email, role in (("grace@acme.example", Role.FINANCE), ("alan@acme.example", Role.DEVELOPER)):
        tenancy.add_member(tenant=tenant, user=_person(email), role=role, actor=owner, now=now - timedelta(days=40))
    membership = Membership.objects.get(tenant=tenant, user=owner)
    for name, ends in (("Monthly report", None), ("Terraform", now + timedelta(days=80))):
        api_tokens.make_token(membership=membership, name=name, expires_at=ends, now=now)
    return tenancy.invite(tenant=tenant, email="lin@acme.example", role=Role.DEVELOPER, actor=owner, now=now).token


def _projects(tenant: Tenant, owner: User, calendar: Calendar) -> None:
    began, now = calendar.began, calendar.now
    _keys(tenant, owner, began, "Production", "Laptop of Alan")
    for slug, name, keys in (("search", "Search", ("Indexer", "Query")), ("support-bot", "Support bot", ("Bot",))):
        project = tenancy.create_project(tenant=tenant, slug=slug, name=name, actor=owner, now=began)
        for key in keys:
            api_keys.issue(project=project, name=key, limits=NO_LIMITS, actor=owner, now=began)
    search = Project.objects.get(tenant=tenant, slug="search")
    _budget(tenant, Budget.Scope.PROJECT, search.pk, 1_500 * USD, calendar)
    set_quota(
        tenant=tenant, project=search, requests_per_minute=600, tokens_per_minute=2_000_000, concurrency=40
    )  # fmt: skip
    limits = KeyLimits(("atlas-mini", "sparrow"), 120, 400_000, 8, 200 * USD, expires_at=now + timedelta(days=20))
    api_keys.issue(project=search, name="Contractor", limits=limits, actor=owner, now=now)
    laptop = ApiKey.objects.get(tenant=tenant, name="Laptop of Alan")
    api_keys.revoke(key=laptop, actor=owner, now=now - timedelta(days=3), cut_streams=True)


def _keys(tenant: Tenant, owner: User, now: datetime, *names: str) -> None:
    project = Project.objects.get(tenant=tenant, slug=tenancy.DEFAULT_PROJECT)
    for name in names:
        api_keys.issue(project=project, name=name, limits=NO_LIMITS, actor=owner, now=now)


def _budget(tenant: Tenant, scope: str, scope_id: int, limit: int, calendar: Calendar) -> None:
    budgets.set_budget(
        tenant=tenant, scope=scope, scope_id=scope_id, window=Budget.Window.MONTH, limit=limit, now=calendar.began
    )
    for month in (*calendar.ended, calendar.running):
        budgets.ensure_windows(now=month.start, tenant_id=tenant.pk)
