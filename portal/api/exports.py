"""Exports: calls, usage, ledger, invoices and costs as CSV or Parquet files."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.utils.timezone import now
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from billing.exports.kinds import EXPORTS
from billing.periods import PeriodProblem, month, month_of
from portal.access import Permission
from portal.api.strict import StrictSerializer, read_query
from portal.api.tenant_view import TenantView
from portal.downloads import download

MONTH = r"^\d{4}-\d{2}$"


class ExportQuery(StrictSerializer):
    """Whole months in the organisation's time zone: the running one, or from ``first`` to ``last``."""

    first = serializers.RegexField(MONTH, required=False, help_text="The first month, such as 2026-11")
    last = serializers.RegexField(MONTH, required=False, help_text="The last month; else the first alone")
    file = serializers.ChoiceField(choices=("csv", "parquet"), required=False, default="csv")


class Export(TenantView):
    """One kind of export; which, the address says."""

    name = ""

    @extend_schema(parameters=[ExportQuery], responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request) -> HttpResponseBase:
        """The file, streamed."""
        query, zone = read_query(ExportQuery, request), self.tenant.timezone
        wanted = query.get("first") or month_of(now(), zone).label
        try:
            first, last = month(wanted, zone), month(query.get("last", wanted), zone)
        except PeriodProblem as problem:
            raise ValidationError({"first": [f"{problem}."]}) from None
        if last.start < first.start:
            raise ValidationError({"last": ["This month is before the first."]})
        return download(request._request, self.tenant, EXPORTS[self.name], first=first, last=last, kind=query["file"])


class CallsExport(Export):
    """Every call."""

    name = "calls"
    permissions = {"GET": Permission.SEE_USAGE}


class UsageExport(Export):
    """Usage by day."""

    name = "usage"
    permissions = {"GET": Permission.SEE_USAGE}


class LedgerExport(Export):
    """The ledger."""

    name = "ledger"
    permissions = {"GET": Permission.SEE_INVOICES}


class InvoicesExport(Export):
    """The lines of invoices."""

    name = "invoices"
    permissions = {"GET": Permission.SEE_INVOICES}


class DocumentsExport(Export):
    """Invoices and credit notes with their totals."""

    name = "documents"
    permissions = {"GET": Permission.SEE_INVOICES}


class FocusExport(Export):
    """All costs by day, as a FOCUS dataset."""

    name = "focus"
    permissions = {"GET": Permission.SEE_INVOICES}


class HourlyFocusExport(Export):
    """The same by hour."""

    name = "focus-hourly"
    permissions = {"GET": Permission.SEE_INVOICES}
