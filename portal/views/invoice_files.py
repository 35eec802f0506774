"""What an invoice can be downloaded as besides its PDF: an electronic invoice, and the evidence behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from django.contrib import messages
from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from billing import evidence
from billing.documents import electronic
from billing.documents.paper import PaperProblem
from billing.evidence import EvidenceProblem
from billing.models import Invoice
from portal.access import Permission, one
from portal.models import Tenant
from portal.views.page import TenantRequest, tenant_page

XML, CSV, PARQUET = "application/xml", "text/csv; charset=utf-8", "application/vnd.apache.parquet"


@require_safe
@tenant_page(Permission.SEE_INVOICES)
def invoice_ubl(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponseBase:
    """UBL 2.1, as Peppol asks for."""
    shown = _invoice(tenant, invoice_id)
    try:
        xml = electronic.universal(shown)
    except PaperProblem as problem:
        messages.error(request, str(problem))
        return redirect("invoice", tenant.slug, shown.pk)
    return named(HttpResponse(xml, content_type=XML), shown, "xml")


@require_safe
@tenant_page(Permission.SEE_INVOICES)
def invoice_csv(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponseBase:
    """The rows behind an invoice, whose hash is on it."""
    return _pack(request, _invoice(tenant, invoice_id), evidence.csv_of, CSV)


@require_safe
@tenant_page(Permission.SEE_INVOICES)
def invoice_parquet(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponseBase:
    """The same rows as Parquet."""
    return _pack(request, _invoice(tenant, invoice_id), evidence.parquet_of, PARQUET)


def _pack(
    request: TenantRequest, shown: Invoice, made: Callable[[Invoice], BinaryIO], content_type: str
) -> HttpResponseBase:
    try:
        file = made(shown)
    except EvidenceProblem as problem:
        messages.error(request, str(problem))
        return redirect("invoice", shown.tenant.slug, shown.pk)
    ending = "parquet" if content_type == PARQUET else "csv"
    return named(FileResponse(file, content_type=content_type), shown, ending)


def named(answer: HttpResponseBase, invoice: Invoice, ending: str) -> HttpResponseBase:
    """A download that is called as the invoice is, and kept nowhere on the way."""
    answer["Content-Disposition"] = f'attachment; filename="{invoice.number}.{ending}"'
    answer["Cache-Control"] = "no-store"
    return answer


def _invoice(tenant: Tenant, invoice_id: int) -> Invoice:
    return one(Invoice.objects.filter(tenant=tenant, pk=invoice_id).select_related("tenant"))
