"""The operators' pages of providers' reports: take one in, see it against our calls, look at the calls of a day."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.admin import ReadOnlyAdmin
from billing.models import ProviderReport
from billing.money import usd
from billing.reconciliation import comparison, reports
from billing.reconciliation.formats import MOST_BYTES
from billing.reconciliation.values import ReportProblem
from portal import audit
from portal.admin.audited import actor_of

MOST_LINES = 1_000
HEADS = {"requests": "Requests", "input": "Input", "cache_read": "Cache read", "cache_write": "Cache write",
         "output": "Output", "cost": "Cost (USD)"}  # fmt: skip


class ReportForm(forms.Form):
    """A file, the upstream it is about, and how much may differ."""

    upstream = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    tolerance = forms.IntegerField(
        min_value=0, max_value=reports.MOST_TOLERANCE, initial=0, widget=UnfoldAdminTextInputWidget,
        label="Tolerance (basis points)", help_text="100 is 1 % of what the provider says.",
    )  # fmt: skip
    file = forms.FileField(help_text="JSON pages of the API or the CSV of the console, of OpenAI or Anthropic.")

    def clean_file(self) -> Any:
        """Not read at all if it is too large."""
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(f"The file is larger than {MOST_BYTES >> 20} MB.")
        return file


@admin.register(ProviderReport)
class ProviderReportAdmin(ReadOnlyAdmin):
    """Reports of providers; adding one takes a file in, looking at one compares it."""

    list_display = ("__str__", "upstream", "kind", "first_day", "last_day", "file_name", "imported_at")
    list_filter = ("kind",)
    search_fields = ("upstream", "file_name")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may add rows by the permissions of the admin."""
        return bool(request.user.has_perm("billing.add_providerreport"))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Take a file in."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ReportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                report = self._take_in(request, form.cleaned_data)
            except ReportProblem as problem:
                form.add_error("file", str(problem))
            else:
                return HttpResponseRedirect(reverse("admin:billing_providerreport_change", args=[report.pk]))
        return self._page(request, "add", {"title": "Take in a provider's report", "form": form})

    @transaction.atomic
    def _take_in(self, request: HttpRequest, values: dict[str, Any]) -> ProviderReport:
        report, is_new = reports.take_in(
            upstream=values["upstream"], file_name=values["file"].name, content=values["file"].read(),
            tolerance=values["tolerance"], now=now(),
        )  # fmt: skip
        if is_new:
            audit.record(
                tenant=None, actor=actor_of(request), action="provider_report.add", subject=str(report), now=now(),
                detail={"file": report.file_name, "sha256": report.sha256},
            )  # fmt: skip
        return report

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A report against our calls; ``?day=…&model=…`` shows the calls behind one line."""
        report = ProviderReport.objects.filter(pk=int(object_id)).first() if object_id.isdecimal() else None
        if report is None or not self.has_view_permission(request, report):
            raise Http404
        model = request.GET.get("model", "")
        if model:
            return self._calls(request, report, model)
        lines = comparison.compare(report)
        red = [line for line in lines if not line.agrees]
        context = {
            "title": str(report), "report": report, "heads": list(HEADS.values()),
            "lines": [_shown(line) for line in (*red, *(line for line in lines if line.agrees))][:MOST_LINES],
            "red": len(red), "all": len(lines),
        }  # fmt: skip
        return self._page(request, "compare", context)

    def _calls(self, request: HttpRequest, report: ProviderReport, model: str) -> HttpResponse:
        try:
            day = date.fromisoformat(request.GET.get("day", ""))
        except ValueError:
            raise Http404 from None
        if not report.first_day <= day <= report.last_day or "\0" in model:
            raise Http404
        calls = comparison.calls_of(report, day, model)
        return self._page(
            request, "calls", {"title": f"Calls to {model} on {day}", "report": report, "calls": calls}
        )  # fmt: skip

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.model._meta, **context}
        return TemplateResponse(request, f"admin/billing/providerreport/{name}.html", context)


def _shown(line: comparison.Line) -> dict[str, Any]:
    """A line in texts: of each count what the provider says, and what we have where that differs."""
    cells = []
    for pair in line.pairs:
        show = usd if pair.name == "cost" else "{:,}".format
        theirs = "–" if pair.theirs is None else show(pair.theirs)
        cells.append((theirs, "" if pair.agrees else show(pair.ours or 0)))
    return {"line": line, "cells": cells}
