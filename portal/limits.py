"""Limits of a tenant, a project or a key in one act: rates (quotas) and money (budgets), with an audit row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from billing import budgets, money
from billing.models import Budget
from portal import audit, quotas
from portal.api_keys import limits_holder
from portal.models import ApiKey, Project, Quota, Tenant, User


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose limits: the key's if given, else the project's, else the tenant's."""

    tenant: Tenant
    project: Project | None = None
    api_key: ApiKey | None = None

    @property
    def kind(self) -> str:
        """The budget scope."""
        if self.api_key:
            return Budget.Scope.API_KEY
        return Budget.Scope.PROJECT if self.project else Budget.Scope.TENANT

    @property
    def id(self) -> int:
        """The id budgets of this scope are kept under: a rotated key's are its first key's."""
        if self.api_key:
            return limits_holder(self.api_key)
        return self.project.pk if self.project else self.tenant.pk

    @property
    def subject(self) -> str:
        """What the audit log calls it."""
        if self.api_key:
            return self.api_key.public_id
        return self.project.slug if self.project else self.tenant.slug


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates, and budgets in picodollars per window; None is no limit of that kind."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    day: int | None = None
    month: int | None = None
    lifetime: int | None = None


def of(scope: Scope) -> Limits:
    """The limits in force."""
    quota = _quota_scope(scope).first() or Quota()
    money = {budget.window: int(budget.limit) for budget in _budgets(scope).filter(is_active=True)}
    return Limits(
        requests_per_minute=quota.requests_per_minute,
        tokens_per_minute=quota.tokens_per_minute,
        concurrency=quota.concurrency,
        day=money.get("day"),
        month=money.get("month"),
        lifetime=money.get("lifetime"),
    )


def change(*, scope: Scope, limits: Limits, actor: User | None, now: datetime) -> bool:
    """Set all limits of a scope; those left None are taken away. False if nothing changes.

    Running calls go on; the next one meets the new limits. Raises QuotaProblem and BudgetProblem in plain words.
    """
    before = of(scope)
    if before == limits:
        return False
    with transaction.atomic():
        quotas.set_quota(
            tenant=scope.tenant,
            project=None if scope.api_key else scope.project,
            api_key=ApiKey.objects.get(tenant=scope.tenant, pk=scope.id) if scope.api_key else None,
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            concurrency=limits.concurrency,
        )
        budgets.lock_windows(tenant=scope.tenant, scope=scope.kind, scope_id=scope.id, now=now)
        for window in Budget.Window.values:
            _set_budget(scope, window, getattr(limits, window), now)
        audit.record(
            tenant=scope.tenant,
            actor=actor,
            action=f"{scope.kind}.change_limits",
            subject=scope.subject,
            now=now,
            detail=_difference(before, limits),
        )
    return True


def _set_budget(scope: Scope, window: str, limit: int | None, now: datetime) -> None:
    if limit is not None:
        budgets.set_budget(
            tenant=scope.tenant, scope=scope.kind, scope_id=scope.id, window=window, limit=limit, now=now
        )
        return
    for budget in _budgets(scope).filter(window=window, is_active=True):
        budgets.drop_budget(budget, now=now)


def _budgets(scope: Scope) -> QuerySet[Budget]:
    return Budget.objects.filter(tenant=scope.tenant, scope=scope.kind, scope_id=scope.id)


def _quota_scope(scope: Scope) -> QuerySet[Quota]:
    if scope.api_key:
        return Quota.objects.filter(tenant=scope.tenant, project=None, api_key_id=scope.id)
    return Quota.objects.filter(tenant=scope.tenant, project=scope.project, api_key=None)


def _difference(before: Limits, after: Limits) -> dict[str, object]:
    """What changed, as text: JSON numbers are floats to many readers."""
    old, new = asdict(before), asdict(after)
    return {name: f"{_text(name, old[name])} → {_text(name, new[name])}" for name in old if old[name] != new[name]}


def _text(name: str, value: int | None) -> str:
    if value is None:
        return "no limit"
    return f"{money.usd(value)} USD" if name in Budget.Window.values else str(value)
