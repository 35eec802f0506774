"""Invoices: the list, one with its lines, and its PDF."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import invoice_lines, invoice_pdf, reports
from billing.models import Invoice as InvoiceRow
from billing.money import PICO_PER_USD, format_minor, usd
from portal.access import Permission, one
from portal.api.strict import StrictSerializer, read_query
from portal.api.tenant_view import TenantView


class InvoiceShown(serializers.Serializer[Any]):
    """An invoice; amounts are decimal texts in its currency."""

    id = serializers.IntegerField(source="pk")
    number = serializers.CharField(allow_null=True)
    status = serializers.CharField()
    period = serializers.CharField(source="period_label")
    period_start_at = serializers.DateTimeField()
    period_end_at = serializers.DateTimeField()
    currency = serializers.CharField()
    subtotal = serializers.SerializerMethodField()
    tax = serializers.SerializerMethodField()
    total = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finalised_at = serializers.DateTimeField(allow_null=True)

    def get_subtotal(self, row: InvoiceRow) -> str:
        """The sum of the lines."""
        return format_minor(row.subtotal, row.currency)

    def get_tax(self, row: InvoiceRow) -> str:
        """Taxes."""
        return format_minor(row.tax, row.currency)

    def get_total(self, row: InvoiceRow) -> str:
        """What is owed."""
        return format_minor(row.total, row.currency)


class InvoiceLineShown(serializers.Serializer[Any]):
    """A line: quantity × unit price, rounded once."""

    position = serializers.IntegerField()
    period = serializers.CharField()
    model = serializers.CharField()
    token_class = serializers.CharField()
    description = serializers.CharField(help_text="What a charge besides usage is for; else empty")
    variant = serializers.CharField(help_text="When this price holds, such as above 200,000 prompt tokens; else empty")
    quantity = serializers.IntegerField()
    unit_price = serializers.CharField(help_text="USD per 1M tokens, or per counted surcharge")
    exact = serializers.CharField(help_text="USD, not rounded")
    amount = serializers.CharField()


class InvoiceDetail(InvoiceShown):
    """An invoice with its lines."""

    lines = InvoiceLineShown(many=True)


class InvoicePage(serializers.Serializer[Any]):
    """``next`` is the ``before`` of the next page, or null."""

    results = InvoiceShown(many=True)
    next = serializers.IntegerField(allow_null=True)


class InvoiceQuery(StrictSerializer):
    """A page of invoices."""

    before = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=200, default=50)


class Invoices(TenantView):
    """All invoices."""

    permissions = {"GET": Permission.SEE_INVOICES}

    @extend_schema(operation_id="list_invoices", parameters=[InvoiceQuery], responses=InvoicePage)
    def get(self, request: Request) -> Response:
        """Invoices, the latest made first."""
        query = read_query(InvoiceQuery, request)
        rows = reports.invoices(tenant_id=self.tenant.pk).order_by("-pk")
        if "before" in query:
            rows = rows.filter(pk__lt=query["before"])
        found = list(rows[: query["limit"] + 1])
        page = found[: query["limit"]]
        following = page[-1].pk if len(found) > len(page) else None
        return Response({"results": InvoiceShown(page, many=True).data, "next": following})


class Invoice(TenantView):
    """One invoice."""

    permissions = {"GET": Permission.SEE_INVOICES}

    @extend_schema(operation_id="get_invoice", responses=InvoiceDetail)
    def get(self, request: Request, invoice_id: int) -> Response:
        """The invoice with its lines."""
        row = one(reports.invoices(tenant_id=self.tenant.pk).filter(pk=invoice_id))
        lines = list(row.lines.order_by("position"))
        variants = invoice_lines.variants_of(line.price_id for line in lines)
        shown = [_line(row, line, variants.get(line.price_id, "")) for line in lines]
        return Response({**InvoiceShown(row).data, "lines": shown})


class InvoiceDocument(TenantView):
    """An invoice's PDF."""

    permissions = {"GET": Permission.SEE_INVOICES}

    @extend_schema(operation_id="get_invoice_pdf", responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    def get(self, request: Request, invoice_id: int) -> HttpResponse:
        """The document."""
        rows = reports.invoices(tenant_id=self.tenant.pk).select_related("tenant")
        row = one(rows.filter(pk=invoice_id))
        answer = HttpResponse(invoice_pdf.render(row), content_type="application/pdf")
        name = row.number or f"draft-{row.period_label}"
        answer["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
        answer["Cache-Control"] = "no-store"
        return answer


def _line(row: InvoiceRow, line: Any, variant: str) -> dict[str, object]:
    counted = line.token_class.startswith("per_")
    return {
        "position": line.position,
        "period": line.period_label,
        "model": line.model,
        "token_class": line.token_class,
        "description": line.description,
        "variant": variant,
        "quantity": line.quantity,
        "unit_price": usd(line.unit_price if counted else line.unit_price * (PICO_PER_USD // 10**6)),
        "exact": usd(int(line.exact)),
        "amount": format_minor(line.amount, row.currency),
    }
