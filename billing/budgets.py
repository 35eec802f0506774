"""Money limits and their windows: the only writer of Budget rows and of the limits of their allowances."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Max, Q

from billing import parties
from billing.models import Allowance, Budget
from billing.parties import Tenant
from billing.periods import Period, window_of


class BudgetProblem(Exception):
    """A budget that cannot be: negative, or of a project or key of someone else."""


@transaction.atomic
def set_budget(*, tenant: Tenant, scope: str, scope_id: int, window: str, limit: int, now: datetime) -> Budget:
    """Set the limit (picodollars) of a tenant, project or key per day, month or lifetime; windows are there at once.

    What was used before the budget existed does not count. Windows that run keep what is spent and held and take
    the new limit; a lower limit refuses the next call, it stops none that runs.
    """
    if scope not in Budget.Scope.values or window not in Budget.Window.values:
        raise BudgetProblem("A budget is of a tenant, project or api_key, per day, month or lifetime.")
    if limit < 0:
        raise BudgetProblem("A budget cannot be negative.")
    if not parties.belongs(tenant.id, scope, scope_id):
        raise BudgetProblem(f"There is no {scope} {scope_id} in {tenant.slug}.")
    budget, _made = Budget.objects.update_or_create(
        tenant_id=tenant.id,
        scope=scope,
        scope_id=scope_id,
        window=window,
        defaults={"limit": limit, "is_active": True},
        create_defaults={"limit": limit, "created_at": now},
    )
    running = Allowance.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now), budget=budget).exclude(limit=limit)
    ids = list(running.order_by("id").select_for_update().values_list("id", flat=True))  # id order: see open_usage
    Allowance.objects.filter(id__in=ids).update(limit=limit)
    ensure_windows(now=now, budget_id=budget.pk)
    return budget


def lock_windows(*, tenant: Tenant, scope: str, scope_id: int, now: datetime) -> None:
    """Before changing several budgets of a scope in one transaction: lock their running windows together, in id order.

    Calls lock the same rows in that order; one budget after the other would deadlock with them.
    """
    budgets = Budget.objects.filter(tenant_id=tenant.id, scope=scope, scope_id=scope_id)
    running = Allowance.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now), budget__in=budgets)
    list(running.order_by("id").select_for_update().values_list("id", flat=True))


def drop_budget(budget: Budget, *, now: datetime) -> None:
    """Stop holding calls to a budget. Its windows stay as they are; setting it again resumes the running one."""
    Budget.objects.filter(pk=budget.pk).update(is_active=False)
    budget.is_active = False


def ensure_windows(*, now: datetime, tenant_id: int | None = None, budget_id: int | None = None) -> int:
    """Make the current and the next window of every active budget; returns how many were missing.

    Windows of a budget tile time: after a change of the tenant's time zone the next one starts where the last ends.
    """
    budgets = Budget.objects.filter(is_active=True)
    if tenant_id is not None:
        budgets = budgets.filter(tenant_id=tenant_id)
    if budget_id is not None:
        budgets = budgets.filter(pk=budget_id)
    ends = {
        row["budget_id"]: row["last"]
        for row in Allowance.objects.filter(budget__in=budgets).values("budget_id").annotate(last=Max("ends_at"))
    }
    missing = [
        Allowance(tenant_id=budget.tenant_id, budget_id=budget.pk, starts_at=start, ends_at=end, limit=budget.limit)
        for budget in budgets.select_related("tenant")
        for start, end in _missing(window_of(budget.window, now, budget.tenant.timezone), budget, ends)
    ]
    Allowance.objects.bulk_create(missing, ignore_conflicts=True, batch_size=1000)
    return len(missing)


def _missing(
    current: Period, budget: Budget, ends: dict[int, datetime | None]
) -> list[tuple[datetime, datetime | None]]:
    """The windows a budget still lacks, from the end of its last one to the end of the next calendar window."""
    if current.end is None:
        return [] if budget.pk in ends else [(current.start, None)]
    end = max(ends.get(budget.pk) or current.start, current.start)
    found: list[tuple[datetime, datetime | None]] = []
    while end <= current.end:
        following = window_of(budget.window, end, budget.tenant.timezone).end or end
        found.append((end, following))
        end = following
    return found
