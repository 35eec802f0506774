"""The operators' page of margins, and what upstreams charge."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.timezone import now

from billing import costs, margins
from billing.costs import CostProblem
from billing.margins import Loss, Margin, MarginProblem
from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.models import CostPrice
from billing.money import usd
from portal import figures
from portal.admin.audited import AuditedAdmin
from portal.admin.money_fields import PriceField, UsdField


class CostForm(forms.ModelForm):  # type: ignore[type-arg]
    """What an upstream charges from a moment on, in USD per 1M tokens; what is left out goes by its parent class."""

    class Meta:
        model = CostPrice
        fields = ("upstream", "upstream_model", "effective_from")

    def clean(self) -> dict[str, Any]:
        """Stored by the verb, whose problems are said here."""
        values = super().clean() or {}
        self.costs = {
            name: values[name] for name in (*TOKEN_CLASSES, *SURCHARGES) if values.get(name) is not None
        }  # fmt: skip
        if not self.errors and not self.costs:
            self.add_error(None, "No cost is given.")
        return values


for _name in TOKEN_CLASSES:
    CostForm.declared_fields[_name] = CostForm.base_fields[_name] = PriceField(
        required=False, label=f"{_name.replace('_', ' ').capitalize()} (USD per 1M)"
    )
for _name in SURCHARGES:
    CostForm.declared_fields[_name] = CostForm.base_fields[_name] = UsdField(
        required=False, label=f"{_name.replace('_', ' ').capitalize()} (USD)"
    )


def asked(request: HttpRequest) -> tuple[str, date, date]:
    """Grouping and days, the last one included; the last 30 days by model if nothing is asked."""
    today = now().astimezone(UTC).date()
    try:
        first = date.fromisoformat(request.GET.get("first", "") or (today - timedelta(days=29)).isoformat())
        last = date.fromisoformat(request.GET.get("last", "") or today.isoformat())
    except ValueError:
        raise MarginProblem("A day is written as 2026-12-01.") from None
    return request.GET.get("by", "model"), first, last


def answer(by: str, first: date, last: date) -> list[Margin]:
    """The margins of whole UTC days."""
    since, until = (datetime.combine(day, time(), UTC) for day in (first, min(last, date(9000, 1, 1)) + timedelta(1)))
    return margins.margins(by=by, since=since, until=until)


def losses(found: Sequence[Loss]) -> list[dict[str, Any]]:
    """What is sold below cost, token classes of the same price and cost in one line."""
    classes: dict[tuple[str, str, int, int], list[str]] = {}
    for loss in found:
        name = loss.token_class.replace("_", " ")
        classes.setdefault((loss.model, loss.upstream, loss.price, loss.cost), []).append(name)
    return [
        {"model": model, "upstream": upstream, "price": usd(price * 10**6), "cost": usd(cost * 10**6), "classes": names}
        for (model, upstream, price, cost), names in classes.items()
    ]


def percent(row: Margin) -> str:
    """The margin's share of revenue."""
    return "–" if row.basis_points is None else f"{row.basis_points / 100:.2f} %"


@admin.register(CostPrice)
class CostPriceAdmin(AuditedAdmin):
    """Costs by upstream and model. A new cost is a new row; the one before ends where it begins."""

    list_display = ("upstream", "upstream_model", "shown_input", "shown_output", "effective_from", "effective_to")
    list_filter = ("upstream",)
    search_fields = ("upstream", "upstream_model")
    ordering = ("upstream", "upstream_model", "-effective_from")
    form = CostForm
    list_before_template = "admin/billing/costprice/links.html"

    def get_fieldsets(self, request: HttpRequest, obj: CostPrice | None = None) -> Any:
        """A form for a new cost; one that is stored is shown in USD."""
        if obj is None:
            return super().get_fieldsets(request, obj)
        shown = (("upstream", "upstream_model"), ("effective_from", "effective_to"), ("source", "created_at"))
        return ((None, {"fields": (*shown, "shown_costs")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: CostPrice | None = None) -> tuple[str, ...]:
        """What is stored is only shown."""
        return ("shown_costs",) if obj else ()

    @admin.display(description="Charges (USD per 1M tokens, or each)")
    def shown_costs(self, cost: CostPrice) -> str:
        """Token classes, and surcharges that are not zero."""
        tokens = [(name, usd(getattr(cost, name) * 10**6)) for name in TOKEN_CLASSES]
        each = [(name, usd(getattr(cost, name))) for name in SURCHARGES if getattr(cost, name)]
        return format_html_join("", "{}: {}<br>", ((name.replace("_", " "), text) for name, text in (*tokens, *each)))

    @admin.display(description="Input (USD per 1M)")
    def shown_input(self, cost: CostPrice) -> str:
        """Per 1M tokens."""
        return usd(cost.input * 10**6)

    @admin.display(description="Output (USD per 1M)")
    def shown_output(self, cost: CostPrice) -> str:
        """Per 1M tokens."""
        return usd(cost.output * 10**6)

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Margins of the past hang on it."""
        return False

    def write(self, request: HttpRequest, obj: CostPrice, form: Any, change: bool) -> None:
        """By the verb, which closes the cost before."""
        stored = costs.record(
            upstream=obj.upstream, upstream_model=obj.upstream_model, costs=form.costs,
            effective_from=obj.effective_from, now=now(),
        )  # fmt: skip
        if stored is not None:
            obj.pk = stored.pk

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """A cost that is refused is said in plain words."""
        try:
            answered: HttpResponse = super().add_view(request, form_url, extra_context)
        except CostProblem as problem:
            self.message_user(request, str(problem), level="ERROR")
            return HttpResponseRedirect(reverse("admin:billing_costprice_changelist"))
        return answered

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the margins."""
        return [path("margins/", self.admin_site.admin_view(self.margins), name="billing_margins"), *super().get_urls()]

    def margins(self, request: HttpRequest) -> HttpResponse:
        """Revenue and cost in a table with bars; ``format=csv`` as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        problem, rows, by, first, last = "", [], "model", None, None
        try:
            by, first, last = asked(request)
            rows = answer(by, first, last)
        except MarginProblem as refused:
            problem = str(refused)
        if request.GET.get("format") == "csv" and not problem:
            return _csv(by, rows)
        shown = [figures.aligned(column) for column in zip(*((r.revenue, r.cost, r.margin) for r in rows), strict=True)]
        most = max((max(row.revenue, row.cost) for row in rows), default=0) or 1
        context = {
            **self.admin_site.each_context(request), "title": "Margins", "opts": self.model._meta, "problem": problem,
            "by": by, "first": first, "last": last, "groups": list(margins.BY),
            "rows": [
                {
                    "row": row, "revenue": revenue, "cost": cost, "margin": margin,
                    "unknown": usd(row.revenue_without_cost) if row.revenue_without_cost else "",
                    "percent": percent(row), "sold": row.revenue * 100 // most, "paid": row.cost * 100 // most,
                }
                for row, (revenue, cost, margin) in zip(rows, zip(*shown, strict=True), strict=True)
            ],
            "losses": losses(margins.losses(now=now())),
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/costprice/margins.html", context)


def _csv(by: str, rows: list[Margin]) -> HttpResponse:
    response = HttpResponse(
        content_type="text/csv", headers={"Content-Disposition": 'attachment; filename="margins.csv"'}
    )
    writer = csv.writer(response)
    writer.writerow([by, "requests", "revenue_usd", "cost_usd", "revenue_without_known_cost_usd", "margin_usd"])
    for row in rows:
        name = "'" + row.name if row.name[:1] in ("=", "+", "-", "@") else row.name
        amounts = (row.revenue, row.cost, row.revenue_without_cost, row.margin)
        writer.writerow([name, row.requests, *map(usd, amounts)])
    return response
