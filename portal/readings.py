"""What pages show of usage and limits, with the names of projects and keys in place of their ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.urls import reverse

from billing import reports
from billing.models import Wallet
from billing.periods import month_of
from billing.reports import Limit, Slice, Totals
from portal.models import ApiKey, Project, Tenant

WINDOW_WORDS = {"day": "today", "month": "this month", "lifetime": "in total", "": ""}
BAR = 1000
"""The width of a bar of limits in its own units."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name with the page it leads to, if there is one."""

    name: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A limit as a bar: spent and held in thousandths of its width, never past the end."""

    limit: Limit
    label: Named
    window: str
    spent_width: int
    held_width: int

    @property
    def full(self) -> bool:
        """Whether nothing, or next to nothing, is left."""
        return self.limit.left * 100 < self.limit.limit

    @property
    def is_wallet(self) -> bool:
        """Whether this is the balance or credit line and no budget."""
        return self.limit.scope == "wallet"


@dataclass(frozen=True, slots=True)
class Share:
    """Usage of one model, project, key or day; ``width`` is its part of the dearest, in hundredths."""

    label: Named
    totals: Totals
    width: int


class Names:
    """Names of a tenant's projects and keys by id, read once for a page."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.projects = {row.pk: row for row in Project.objects.filter(tenant=tenant)}
        self.keys = {row.pk: row for row in ApiKey.objects.filter(tenant=tenant)}

    def of(self, dimension: str, key: object) -> Named:
        """The name of a model, project or key (``project``, ``api_key``), or of the tenant itself."""
        if dimension == "project" and key in self.projects:
            project = self.projects[key]
            return Named(project.name, reverse("project", args=[self.tenant.slug, project.slug]))
        if dimension == "api_key" and key in self.keys:
            api_key = self.keys[key]
            name = api_key.name or str(api_key)
            return Named(name, reverse("key", args=[self.tenant.slug, api_key.public_id]))
        if dimension == "tenant":
            return Named(self.tenant.name)
        return Named(str(key))


def spent_this_month(tenant: Tenant, dimension: str, *, now: datetime) -> dict[object, int]:
    """Picodollars by id of ``project`` or ``api_key`` in the running month of the tenant's time zone."""
    period = month_of(now, tenant.timezone)
    found = reports.usage_by(tenant_id=tenant.pk, dimension=dimension, start=period.start, end=period.end or now)
    return {slice.key: slice.totals.cost for slice in found}


def models_used(tenant: Tenant, *, now: datetime) -> list[str]:
    """Names of models the tenant called in the last year, for filters."""
    found = reports.usage_by(tenant_id=tenant.pk, dimension="model", start=now - timedelta(days=366), end=now)
    return sorted(str(item.key) for item in found)


def gauges(tenant: Tenant, *, now: datetime, scope: str = "", scope_id: int | None = None) -> list[Gauge]:
    """The tenant's limits as bars: all of them, or those of one scope."""
    names = Names(tenant)
    wallet = reports.wallet(tenant_id=tenant.pk)
    postpaid = wallet is not None and wallet.mode == Wallet.Mode.POSTPAID
    paid = Named("Credit line" if postpaid else "Balance")
    found = reports.limits(tenant_id=tenant.pk, now=now)
    if wallet is not None and postpaid:
        found = [_unpaid(limit, int(wallet.credit_limit)) if limit.scope == "wallet" else limit for limit in found]
    return [
        _gauge(limit, paid if limit.scope == "wallet" else names.of(limit.scope, limit.scope_id))
        for limit in found
        if not scope or (limit.scope == scope and limit.scope_id == scope_id)
    ]


def shares(slices: Iterable[Slice], dimension: str, names: Names) -> list[Share]:
    """Slices with names and bars."""
    found = list(slices)
    most = max((item.totals.cost for item in found), default=0)
    return [
        Share(names.of(dimension, item.key), item.totals, item.totals.cost * 100 // most if most else 0)
        for item in found
    ]


def _unpaid(limit: Limit, line: int) -> Limit:
    """A credit line without what was spent and paid since: its bar would only ever grow fuller. What is left stays."""
    paid = max(0, min(limit.limit - line, limit.spent))
    return replace(limit, limit=limit.limit - paid, spent=limit.spent - paid)


def _gauge(limit: Limit, label: Named) -> Gauge:
    whole = limit.limit if limit.limit > 0 else 1
    spent = min(BAR, max(0, limit.spent) * BAR // whole)
    held = min(BAR - spent, max(0, limit.held) * BAR // whole)
    if limit.spent > 0 and not spent:
        spent = 4  # something that was spent is seen
    return Gauge(limit, label, WINDOW_WORDS[limit.window], spent, held)
