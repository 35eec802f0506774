"""The page of exports, and the files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from billing.exports.kinds import EXPORTS
from billing.periods import Period, PeriodProblem, month, month_of
from portal.access import Permission
from portal.downloads import download
from portal.models import Tenant
from portal.views.page import TenantRequest, render_page, tenant_page

MOST_MONTHS = 60
NEEDS = dict.fromkeys(("calls", "usage"), Permission.SEE_USAGE)
"""What a role must be able to see; the rest is money."""


class MonthField(forms.CharField):
    """A month of the organisation's time zone."""

    def __init__(self, label: str, zone: str) -> None:
        super().__init__(label=label, max_length=7, widget=forms.TextInput(attrs={"type": "month"}))
        self._zone = zone

    def clean(self, value: Any) -> Period:
        """The month; ValidationError for what is none."""
        try:
            return month(str(super().clean(value)), self._zone)
        except PeriodProblem:
            raise forms.ValidationError("Enter a month such as 2026-11.") from None


class ExportForm(forms.Form):
    """What to export, of which months, and how."""

    kind = forms.ChoiceField(label="What")
    format = forms.ChoiceField(label="Format", choices=[("csv", "CSV"), ("parquet", "Parquet")])

    def __init__(self, *args: Any, zone: str, offered: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["first"] = MonthField("From", zone)
        self.fields["last"] = MonthField("To", zone)
        self.fields["kind"].choices = [(name, EXPORTS[name].about.capitalize()) for name in offered]  # type: ignore[attr-defined]
        self.order_fields(["kind", "first", "last", "format"])

    def clean(self) -> dict[str, Any]:
        """From before to, and five years at most."""
        typed = super().clean() or self.cleaned_data
        first, last = typed.get("first"), typed.get("last")
        if first and last and last.start < first.start:
            self.add_error("last", "Choose a month that is not before the first.")
        elif first and last and (last.start - first.start).days > MOST_MONTHS * 31:
            self.add_error("last", f"Choose at most {MOST_MONTHS} months.")
        return typed


@require_safe
@tenant_page(Permission.SEE_USAGE)
def exports(request: TenantRequest, tenant: Tenant) -> HttpResponseBase:
    """The form; with ``kind`` in the query string the file, or the form with what is wrong."""
    this = month_of(now(), tenant.timezone).label
    bound = "kind" in request.GET
    form = ExportForm(
        request.GET if bound else None,
        zone=tenant.timezone,
        offered=offered_to(request),
        initial={"first": this, "last": this, "format": "csv", "kind": request.GET.get("kind", "usage")},
    )
    if bound and form.is_valid():
        typed = form.cleaned_data
        return download(
            request, tenant, EXPORTS[typed["kind"]], first=typed["first"], last=typed["last"], kind=typed["format"]
        )
    context = {"form": form, "columns": [(EXPORTS[name], EXPORTS[name].columns) for name in offered_to(request)]}
    page: HttpResponse = render_page(request, "exports.html", context, status=422 if bound else 200)
    return page


def offered_to(request: TenantRequest) -> list[str]:
    """The exports that a member's role may see."""
    return [name for name in EXPORTS if NEEDS.get(name, Permission.SEE_INVOICES) in request.permissions]
