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
    kind = serializers.CharField(help_text="invoice, or credit_note: its amounts are what is given back")
    corrects = serializers.IntegerField(
        source="corrects_id", allow_null=True, help_text="Of a credit note: the invoice"
    )
    reason = serializers.CharField(help_text="Why a credit note was issued; else empty")
    status = serializers.CharField()
    parked_reason = serializers.CharField(help_text="Why a draft waits for a person; else empty")
    period = serializers.CharField(source="period_label")
    period_start_at = serializers.DateTimeField()
    period_end_at = serializers.DateTimeField()
    currency = serializers.CharField()
    rate = serializers.SerializerMethodField()
    due_on = serializers.DateField(allow_null=True)
    subtotal = serializers.SerializerMethodField()
    tax = serializers.SerializerMethodField()
    total = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finalised_at = serializers.DateTimeField(allow_null=True)

    def get_rate(self, row: InvoiceRow) -> str:
        """Units of the currency for one USD, as an exact fraction: ``1/1`` in USD."""
        return f"{row.rate_numerator}/{row.rate_denominator}"

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
    detail = serializers.DictField(help_text="How a charge of a contract came about, in USD and tokens; else empty")
    variant = serializers.CharField(help_text="When this price holds, such as above 200,000 prompt tokens; else empty")
    quantity = serializers.IntegerField()
    unit_price = serializers.CharField(help_text="USD per 1M tokens, or per counted surcharge")
    exact = serializers.CharField(help_text="USD, not rounded")
    amount = serializers.CharField()
    tax_category = serializers.CharField(help_text="S, Z, E, AE, G or O of UNCL 5305")
    tax_rate = serializers.IntegerField(help_text="Basis points: 1900 is 19 %")


class InvoiceTaxShown(serializers.Serializer[Any]):
    """The VAT of one category and rate, rounded once."""

    category = serializers.CharField()
    rate = serializers.IntegerField(help_text="Basis points")
    base = serializers.CharField()
    amount = serializers.CharField()


class InvoiceDetail(InvoiceShown):
    """An invoice with its lines and taxes."""

    lines = InvoiceLineShown(many=True)
    taxes = InvoiceTaxShown(many=True)


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
        lines = list(row.lines.select_related("charge").order_by("position"))
        variants = invoice_lines.variants_of(line.price_id for line in lines)
        shown = [_line(row, line, variants.get(line.price_id, "")) for line in lines]
        return Response({**InvoiceShown(row).data, "lines": shown, "taxes": _taxes(row)})


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


def _taxes(row: InvoiceRow) -> list[dict[str, object]]:
    return [
        {
            "category": tax.category,
            "rate": tax.rate,
            "base": format_minor(tax.base, row.currency),
            "amount": format_minor(tax.amount, row.currency),
        }
        for tax in row.taxes.order_by("category", "rate")
    ]


def _line(row: InvoiceRow, line: Any, variant: str) -> dict[str, object]:
    counted = line.token_class.startswith("per_")
    return {
        "position": line.position,
        "period": line.period_label,
        "model": line.model,
        "token_class": line.token_class,
        "description": line.description,
        "detail": line.charge.detail if line.charge else {},
        "variant": variant,
        "quantity": line.quantity,
        "unit_price": usd(line.unit_price if counted else line.unit_price * (PICO_PER_USD // 10**6)),
        "exact": usd(int(line.exact)),
        "amount": format_minor(line.amount, row.currency),
        "tax_category": line.tax_category,
        "tax_rate": line.tax_rate,
    }
