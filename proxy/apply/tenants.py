"""Applying tenants, projects and budgets."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError

from billing import budgets, ledger
from billing.models import Budget, Transfer, Wallet
from billing.money import usd
from portal import audit, tenancy
from portal.models import Project, Tenant
from portal.zones import valid_zone
from proxy.apply.changes import Changes, assign
from proxy.apply.document import BudgetPart, ProjectPart, TenantPart

FIRST_TOP_UP = "apply:top_up"


def apply_tenant(part: TenantPart, changes: Changes, *, now: datetime) -> None:
    """Make or change one tenant. Its way of paying is for ever; a top-up happens on its first apply only."""
    title = f"[[tenants]] {part.slug}"
    tenant = Tenant.objects.filter(slug=part.slug).first()
    if tenant is None:
        tenant = _make(part, title, changes, now=now)
    else:
        _change(tenant, part, title, changes, now=now)
    if part.top_up:
        _top_up(tenant, part.top_up, title, changes, now=now)
    if part.monthly_budget is not None:
        set_budget(tenant, None, Budget.Window.MONTH, part.monthly_budget, changes, now=now)


def apply_project(part: ProjectPart, changes: Changes, *, now: datetime) -> None:
    """Make or rename one project."""
    title = f"[[projects]] {part.tenant} {part.slug}"
    tenant = _tenant(part.tenant, title, changes)
    project = Project.objects.filter(tenant=tenant, slug=part.slug).first()
    if project is None:
        project = tenancy.create_project(
            tenant=tenant, slug=part.slug, name=part.name or part.slug, actor=None, now=now
        )
        changes.made(f"project {part.slug} of {part.tenant}")
    elif part.name is not None and (told := assign(project, {"name": part.name})):
        project.save(update_fields=["name"])
        changes.changed(f"project {part.slug} of {part.tenant}", ", ".join(told))
    if part.monthly_budget is not None:
        set_budget(tenant, project, Budget.Window.MONTH, part.monthly_budget, changes, now=now)


def apply_budget(part: BudgetPart, changes: Changes, *, now: datetime) -> None:
    """Set one budget of a tenant or a project."""
    title = f"[[budgets]] {part.tenant} {part.project or ''}".strip()
    tenant = _tenant(part.tenant, title, changes)
    project = None
    if part.project is not None:
        project = Project.objects.filter(tenant=tenant, slug=part.project).first()
        if project is None:
            raise changes.problem(title, "project", f"there is no project {part.project} of {part.tenant}")
    set_budget(tenant, project, part.window, part.limit, changes, now=now)


def set_budget(
    tenant: Tenant, project: Project | None, window: str, limit: int, changes: Changes, *, now: datetime
) -> None:
    """Set a budget if it differs, tell it, and leave an audit row."""
    scope = Budget.Scope.TENANT if project is None else Budget.Scope.PROJECT
    scope_id = tenant.pk if project is None else project.pk
    what = f"{window} budget of {tenant.slug}" + (f" {project.slug}" if project else "")
    stored = Budget.objects.filter(tenant=tenant, scope=scope, scope_id=scope_id, window=window).first()
    if stored is not None and stored.is_active and int(stored.limit) == limit:
        return
    budgets.set_budget(tenant=tenant, scope=scope, scope_id=scope_id, window=window, limit=limit, now=now)
    if stored is None:
        changes.made(f"{what}: {usd(limit)}")
    else:
        changes.changed(what, f"limit {usd(int(stored.limit))} → {usd(limit)}")
    detail: dict[str, object] = {"scope": scope, "window": window, "limit": usd(limit)}
    audit.record(tenant=tenant, actor=None, action="budget.set", subject=what, now=now, detail=detail)


def _make(part: TenantPart, title: str, changes: Changes, *, now: datetime) -> Tenant:
    if part.name is None:
        raise changes.problem(title, "name", "is missing")
    if part.billing is None:
        raise changes.problem(title, "billing", "is missing")
    try:
        tenant = tenancy.create_tenant(
            slug=part.slug,
            name=part.name,
            timezone=part.timezone or "UTC",
            owner=None,
            mode=part.billing,
            credit_limit=part.credit_limit or 0,
            now=now,
        )
    except tenancy.TenancyProblem as problem:
        raise changes.problem(title, "", problem) from None
    changes.made(f"tenant {part.slug}")
    return tenant


def _change(tenant: Tenant, part: TenantPart, title: str, changes: Changes, *, now: datetime) -> None:
    wallet = Wallet.objects.get(tenant=tenant)
    if part.billing is not None and part.billing != wallet.mode:
        raise changes.problem(title, "billing", f"is {wallet.mode} and cannot become {part.billing}")
    if part.timezone is not None:
        _check_zone(part.timezone, title, changes)
    wanted = {"name": part.name, "timezone": part.timezone}
    told = assign(tenant, {name: value for name, value in wanted.items() if value is not None})
    if told:
        tenant.save(update_fields=["name", "timezone"])
    if part.credit_limit is not None and part.credit_limit != int(wallet.credit_limit):
        if wallet.mode == Wallet.Mode.PREPAID:
            raise changes.problem(title, "credit_limit", "is for postpaid billing; a prepaid tenant has top_up")
        ledger.set_credit_limit(tenant=tenant, credit_limit=part.credit_limit, now=now)
        told.append(f"credit_limit {usd(int(wallet.credit_limit))} → {usd(part.credit_limit)}")
    if told:
        changes.changed(f"tenant {part.slug}", ", ".join(told))
        detail: dict[str, object] = {"changes": told}
        audit.record(tenant=tenant, actor=None, action="tenant.change", subject=part.slug, now=now, detail=detail)


def _top_up(tenant: Tenant, amount: int, title: str, changes: Changes, *, now: datetime) -> None:
    if Transfer.objects.filter(tenant=tenant, key=FIRST_TOP_UP).exists():
        return
    if Wallet.objects.get(tenant=tenant).mode != Wallet.Mode.PREPAID:
        raise changes.problem(title, "top_up", "is for prepaid billing; a postpaid tenant has credit_limit")
    ledger.top_up(tenant=tenant, amount=amount, key=FIRST_TOP_UP, now=now, memo="First top-up")
    changes.made(f"top-up of {tenant.slug}: {usd(amount)}")
    detail: dict[str, object] = {"amount": usd(amount)}
    audit.record(tenant=tenant, actor=None, action="wallet.top_up", subject=tenant.slug, now=now, detail=detail)


def _check_zone(name: str, title: str, changes: Changes) -> None:
    try:
        valid_zone(name)
    except ValidationError as error:
        raise changes.problem(title, "timezone", error.messages[0]) from None


def _tenant(slug: str, title: str, changes: Changes) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise changes.problem(title, "tenant", f"there is no tenant {slug}")
    return tenant
