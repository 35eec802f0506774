"""The page of exports, and the files."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.exports.jobs import ExportProblem
from billing.exports.kinds import EXPORTS
from billing.models import ExportJob
from billing.periods import Period, PeriodProblem, month, month_of
from portal import access, exporting
from portal.access import Permission
from portal.downloads import download
from portal.models import Tenant
from portal.views.page import TenantRequest, render_page, tenant_page

MOST_MONTHS = 60
UNFINISHED = (ExportJob.State.WAITING, ExportJob.State.RUNNING)


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


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.SEE_USAGE)
def exports(request: TenantRequest, tenant: Tenant) -> HttpResponseBase:
    """The form and what was prepared; with ``kind`` in the query string the file, or the form with what is wrong.

    A POST has the file prepared or, with ``how=now``, leads to it. To htmx what was prepared alone.
    """
    this = month_of(now(), tenant.timezone).label
    if request.headers.get("HX-Request"):
        return render_page(request, "export_jobs.html", _prepared(request, tenant))
    typed_in = request.POST if request.method == "POST" else request.GET
    bound = "kind" in typed_in
    form = ExportForm(
        typed_in if bound else None,
        zone=tenant.timezone,
        offered=offered_to(request),
        initial={"first": this, "last": this, "format": "csv", "kind": request.GET.get("kind", "usage")},
    )
    if bound and form.is_valid():
        typed = form.cleaned_data
        if request.method == "POST":
            return _answer_post(request, tenant, typed)
        return download(
            request, tenant, EXPORTS[typed["kind"]], first=typed["first"], last=typed["last"], kind=typed["format"]
        )
    columns = [(EXPORTS[name], EXPORTS[name].columns) for name in offered_to(request)]
    context = {"form": form, "columns": columns, **_prepared(request, tenant)}
    page: HttpResponse = render_page(request, "exports.html", context, status=422 if bound else 200)
    return page


@require_safe
@tenant_page(Permission.SEE_USAGE)
def export_file(request: TenantRequest, tenant: Tenant, export_id: int) -> HttpResponseBase:
    """A file that was prepared."""
    job = _job(request, tenant, export_id)
    if job.state != ExportJob.State.DONE:
        raise Http404
    return exporting.deliver(request, tenant, job)


@require_POST
@tenant_page(Permission.SEE_USAGE)
def cancel_export(request: TenantRequest, tenant: Tenant, export_id: int) -> HttpResponse:
    """Stop preparing a file, or delete it."""
    exporting.cancel(tenant=tenant, actor=request.user, job=_job(request, tenant, export_id), now=now())
    return redirect("exports", tenant.slug)


def _answer_post(request: TenantRequest, tenant: Tenant, typed: dict[str, Any]) -> HttpResponse:
    if request.POST.get("how") == "now":
        named = {"first": typed["first"].label, "last": typed["last"].label}
        asked = urlencode({"kind": typed["kind"], "format": typed["format"], **named})
        return redirect(f"{reverse('exports', args=[tenant.slug])}?{asked}")
    span = typed["first"], typed["last"]
    try:
        exporting.prepare(
            tenant=tenant, actor=request.user, kind=typed["kind"], file=typed["format"], span=span, now=now()
        )
    except ExportProblem as problem:
        messages.error(request, str(problem))
    return redirect("exports", tenant.slug)


def _prepared(request: TenantRequest, tenant: Tenant) -> dict[str, Any]:
    found = exporting.latest(tenant, request.permissions)
    return {"jobs": found, "busy": any(job.state in UNFINISHED for job in found)}


def offered_to(request: TenantRequest) -> list[str]:
    """The exports that a member's role may see."""
    return [name for name in EXPORTS if exporting.needed_for(name) in request.permissions]


def _job(request: TenantRequest, tenant: Tenant, job_id: int) -> ExportJob:
    """A job of this tenant that the role may see; 404 otherwise."""
    job = access.one(ExportJob.objects.filter(tenant=tenant, pk=job_id))
    if exporting.needed_for(job.kind) not in request.permissions:
        raise Http404
    return job
