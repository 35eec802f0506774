"""Usage: totals, a chart by day, and shares by day, model, key or project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.http import HttpResponse, QueryDict
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from billing import reports
from billing.periods import day_of
from billing.reports import Slice, Totals
from portal import charts, figures
from portal.access import Permission
from portal.filters import UsageFilterForm
from portal.models import Tenant
from portal.readings import Named, Names, Share, models_used, shares
from portal.views.page import TenantRequest, render_page, tenant_page


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of a time zone, both ends included."""

    first: date
    last: date
    zone: str

    @property
    def start(self) -> datetime:
        """The first instant."""
        return _midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first instant after."""
        return _midnight(self.last + timedelta(days=1), self.zone)

    def each(self) -> list[date]:
        """Every day, oldest first."""
        return [self.first + timedelta(days=place) for place in range((self.last - self.first).days + 1)]


@require_safe
@tenant_page(Permission.SEE_USAGE)
def usage(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """What was used in a span of days, filtered by model, key and project."""
    moment, names = now(), Names(tenant)
    today = moment.astimezone(ZoneInfo(tenant.timezone)).date()
    form = UsageFilterForm(_filled(request.GET), names=names, models=models_used(tenant, now=moment))
    form.is_valid()
    typed = form.cleaned_data
    days = _days(typed, tenant.timezone, today)
    only = _narrowed(typed, names)
    by_day = reports.usage_by_day(tenant_id=tenant.pk, start=days.start, end=days.end, zone=tenant.timezone, **only)
    measure = typed.get("measure") or "cost"
    context = {
        "form": form,
        "days": days,
        "totals": reports.totals(tenant_id=tenant.pk, start=days.start, end=days.end, **only),
        "chart": charts.bars(_points(days, by_day, measure)),
        "measure": measure,
        "by": typed.get("by") or "day",
        "shares": _shares(tenant, typed.get("by") or "day", days, by_day, only, names),
    }
    partial = request.headers.get("HX-Request")
    return render_page(request, "usage_results.html" if partial else "usage.html", context)


def _shares(
    tenant: Tenant, by: str, days: Days, by_day: list[Slice], only: dict[str, str | int], names: Names
) -> list[Share]:
    if by == "day":
        drawn = shares(reversed(by_day), "day", names)
        return [replace(item, label=Named(f"{date.fromisoformat(item.label.name):%-d %b %Y}")) for item in drawn]
    slices = reports.usage_by(tenant_id=tenant.pk, dimension=by, start=days.start, end=days.end, **only)
    return shares(slices, by, names)


def _points(days: Days, by_day: list[Slice], measure: str) -> list[charts.Point]:
    """One point a day, also for days without usage."""
    found = {item.key: item.totals for item in by_day}
    points = []
    for day in days.each():
        totals = found.get(day, Totals())
        value = _measured(totals, measure)
        shown = figures.short(value) if measure == "cost" else f"{figures.count(value)} {measure}"
        points.append(charts.Point(f"{day:%-d %b}", value, f"{day:%-d %b %Y}: {shown}"))
    return points


def _measured(totals: Totals, measure: str) -> int:
    if measure == "calls":
        return totals.requests
    return totals.cost if measure == "cost" else totals.prompt_tokens + totals.completion_tokens


def _filled(query: QueryDict) -> QueryDict:
    """The query with defaults, so that the form shows what the page shows."""
    filled = query.copy()
    for name, value in (("span", "30"), ("by", "day"), ("measure", "cost")):
        filled.setdefault(name, value)
    return filled


def _days(typed: dict[str, object], zone: str, today: date) -> Days:
    span = typed.get("span") or "30"
    first, last = typed.get("first"), typed.get("last")
    if span == "custom" and isinstance(first, date) and isinstance(last, date):
        return Days(first, last, zone)
    if span == "month":
        return Days(today.replace(day=1), today, zone)
    if span == "last_month":
        end = today.replace(day=1) - timedelta(days=1)
        return Days(end.replace(day=1), end, zone)
    count = int(str(span)) if str(span).isdecimal() else 30
    return Days(today - timedelta(days=count - 1), today, zone)


def _narrowed(typed: dict[str, object], names: Names) -> dict[str, str | int]:
    """The filters as the reports take them: ids in place of public ids and slugs."""
    only: dict[str, str | int] = {}
    if typed.get("model"):
        only["model"] = str(typed["model"])
    for key in names.keys.values():
        if typed.get("key") == key.public_id:
            only["api_key_id"] = key.pk
    for project in names.projects.values():
        if typed.get("project") == project.slug:
            only["project_id"] = project.pk
    return only


def _midnight(day: date, zone: str) -> datetime:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    return day_of(noon, zone).start
