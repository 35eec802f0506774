"""What an invoice can be downloaded as besides its PDF: an electronic invoice, and the evidence behind it."""

from __future__ import annotations

from django.http import FileResponse, HttpResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from billing import evidence, reports
from billing.documents import electronic
from billing.documents.paper import PaperProblem
from billing.evidence import EvidenceProblem
from billing.models import Invoice
from portal.access import Permission, one
from portal.api.tenant_view import TenantView
from portal.views.invoice_files import CSV, PARQUET, XML, named


class NotReady(APIException):
    """An invoice that is a draft, or lacks what the file must say."""

    status_code = 409
    default_code = "not_ready"


class InvoiceFile(TenantView):
    """One invoice as a file."""

    permissions = {"GET": Permission.SEE_INVOICES}

    def invoice(self, invoice_id: int) -> Invoice:
        """The invoice, if it is the tenant's."""
        return one(reports.invoices(tenant_id=self.tenant.pk).select_related("tenant").filter(pk=invoice_id))


class InvoiceUbl(InvoiceFile):
    """An invoice as UBL 2.1, as Peppol BIS Billing 3 asks for."""

    @extend_schema(operation_id="get_invoice_ubl", responses={(200, XML): OpenApiTypes.STR})
    def get(self, request: Request, invoice_id: int) -> HttpResponseBase:
        """The electronic invoice; 409 for a draft, and if seller or buyer lack what it must say."""
        found = self.invoice(invoice_id)
        try:
            return named(HttpResponse(electronic.universal(found), content_type=XML), found, "xml")
        except PaperProblem as problem:
            raise NotReady(str(problem)) from None


class InvoiceCsv(InvoiceFile):
    """The evidence pack: every row behind an invoice as CSV."""

    @extend_schema(operation_id="get_invoice_evidence_csv", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, invoice_id: int) -> HttpResponseBase:
        """The CSV whose SHA-256 is on the invoice; 409 for a draft."""
        found = self.invoice(invoice_id)
        try:
            return named(FileResponse(evidence.csv_of(found), content_type=CSV), found, "csv")
        except EvidenceProblem as problem:
            raise NotReady(str(problem)) from None


class InvoiceParquet(InvoiceFile):
    """The evidence pack as Parquet."""

    @extend_schema(operation_id="get_invoice_evidence_parquet", responses={(200, PARQUET): OpenApiTypes.BINARY})
    def get(self, request: Request, invoice_id: int) -> HttpResponseBase:
        """The same rows as in the CSV; 409 for a draft."""
        found = self.invoice(invoice_id)
        try:
            return named(FileResponse(evidence.parquet_of(found), content_type=PARQUET), found, "parquet")
        except EvidenceProblem as problem:
            raise NotReady(str(problem)) from None
