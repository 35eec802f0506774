"""Exports made in the background: ask for one, see how far it is, fetch its file."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils.timezone import now
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.exports.jobs import ExportProblem
from billing.exports.kinds import EXPORTS
from billing.models import ExportJob
from billing.periods import PeriodProblem, month
from portal import access, exporting
from portal.access import Permission
from portal.api.exports import MONTH
from portal.api.strict import StrictSerializer, read_body
from portal.api.tenant_view import TenantView


class NewExport(StrictSerializer):
    """What of, of which whole months in the organisation's time zone, and how."""

    kind = serializers.ChoiceField(choices=sorted(EXPORTS))
    first = serializers.RegexField(MONTH, help_text="The first month, such as 2026-11")
    last = serializers.RegexField(MONTH, required=False, help_text="The last month; else the first alone")
    file = serializers.ChoiceField(choices=ExportJob.File.choices, required=False, default="csv")


class ExportShown(serializers.ModelSerializer):  # type: ignore[type-arg]
    """How far it is. ``rows_total`` may be unknown; the file is there once ``state`` is ``done``."""

    class Meta:
        model = ExportJob
        fields = (
            "id", "kind", "file", "first", "last", "state", "rows_done", "rows_total", "size", "sha256", "error",
            "created_at", "finished_at", "expires_at",
        )  # fmt: skip
        read_only_fields = fields


class ExportJobs(TenantView):
    """All that were asked for lately."""

    permissions = {"GET": Permission.SEE_USAGE, "POST": Permission.SEE_USAGE}

    @extend_schema(operation_id="list_export_jobs", responses=ExportShown(many=True))
    def get(self, request: Request) -> Response:
        """The newest first."""
        return Response(ExportShown(exporting.latest(self.tenant, permissions_of(self)), many=True).data)

    @extend_schema(operation_id="start_export_job", request=NewExport, responses={202: ExportShown})
    def post(self, request: Request) -> Response:
        """Have a file made."""
        asked = read_body(NewExport, request)
        if exporting.needed_for(asked["kind"]) not in permissions_of(self):
            raise PermissionDenied("Your role in this organisation does not allow that.")
        try:
            span = tuple(month(asked.get(name, asked["first"]), self.tenant.timezone) for name in ("first", "last"))
            job = exporting.prepare(
                tenant=self.tenant, actor=self.actor, kind=asked["kind"], file=asked["file"], span=(span[0], span[1]),
                now=now(),
            )  # fmt: skip
        except PeriodProblem as problem:
            raise ValidationError({"first": [f"{problem}."]}) from None
        except ExportProblem as problem:
            raise ValidationError({"detail": [str(problem)]}) from None
        return Response(ExportShown(job).data, status=202)


class OneExportJob(TenantView):
    """One of them."""

    permissions = {"GET": Permission.SEE_USAGE, "DELETE": Permission.SEE_USAGE}

    @extend_schema(operation_id="get_export_job", responses=ExportShown)
    def get(self, request: Request, export_id: int) -> Response:
        """How far it is."""
        return Response(ExportShown(_job(self, export_id)).data)

    @extend_schema(operation_id="cancel_export_job", responses={204: None})
    def delete(self, request: Request, export_id: int) -> Response:
        """Stop it, or delete its file. Doing it again is no error."""
        exporting.cancel(tenant=self.tenant, actor=self.actor, job=_job(self, export_id), now=now())
        return Response(status=204)


class ExportJobFile(TenantView):
    """Its file."""

    permissions = {"GET": Permission.SEE_USAGE}

    @extend_schema(operation_id="get_export_file", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, export_id: int) -> HttpResponseBase:
        """The file, streamed; 404 before it is done."""
        job = _job(self, export_id)
        if job.state != ExportJob.State.DONE:
            raise Http404
        return exporting.deliver(request._request, self.tenant, job)


def permissions_of(view: TenantView) -> frozenset[Permission]:
    """What the caller's role may."""
    found: Any = view.request._request
    return frozenset(found.permissions)


def _job(view: TenantView, export_id: int) -> ExportJob:
    job = access.one(ExportJob.objects.filter(tenant=view.tenant, pk=export_id))
    if exporting.needed_for(job.kind) not in permissions_of(view):
        raise Http404
    return job
