"""Read-only pages of the admin: what was invoiced, and the movements of money."""

from __future__ import annotations

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline

from billing import invoice_pdf
from billing.models import Invoice, InvoiceLine, LedgerEntry, Transfer
from billing.money import PICO_PER_USD, format_minor, usd

MOST_COUNTED = 5_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than 5,000 rows: a list in the admin is for looking, and count(*) reads a table to its end."""

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through."""
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return rows.order_by().values("pk")[:MOST_COUNTED].count()
        return len(rows)


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows that only verbs write."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        return False


class ReadOnlyInline(TabularInline):  # type: ignore[misc]
    """Parts of a read-only row."""

    extra = 0
    can_delete = False
    max_num = 0
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        return False


class InvoiceLineInline(ReadOnlyInline):
    """The lines of an invoice."""

    model = InvoiceLine
    fields = ("position", "period_label", "model", "token_class", "quantity", "price_per_million", "exact_usd", "sum")
    readonly_fields = fields
    ordering = ("position",)

    @admin.display(description="Unit price (USD per 1M, or each)")
    def price_per_million(self, line: InvoiceLine) -> str:
        """Token prices per 1M, surcharges each."""
        counted = line.token_class.startswith("per_")
        return usd(line.unit_price if counted else line.unit_price * (PICO_PER_USD // 10**6))

    @admin.display(description="Exact (USD)")
    def exact_usd(self, line: InvoiceLine) -> str:
        """Not rounded."""
        return usd(int(line.exact))

    @admin.display(description="Amount")
    def sum(self, line: InvoiceLine) -> str:
        """Rounded once."""
        return format_minor(line.amount, line.invoice.currency)


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    """Invoices with their lines and their PDF."""

    list_display: tuple[str, ...] = ("shown_number", "tenant", "period_label", "status", "shown_total", "document")
    list_filter: tuple[str, ...] = ("status",)
    search_fields = ("number", "tenant__slug")
    list_select_related = ("tenant",)
    ordering = ("-id",)
    inlines = (InvoiceLineInline,)
    fields: tuple[str | tuple[str, ...], ...] = (
        ("tenant", "status"),
        ("shown_number", "period_label"),
        ("period_start_at", "period_end_at"),
        ("timezone", "finalised_at"),
        ("shown_total", "exact_usd"),
        "parked_reason",
        "document",
    )
    readonly_fields: tuple[str, ...] = ("shown_number", "shown_total", "exact_usd", "document")

    @admin.display(description="Number", ordering="number")
    def shown_number(self, invoice: Invoice) -> str:
        """The number, or “draft”."""
        return invoice.number or "draft"

    @admin.display(description="Total", ordering="total")
    def shown_total(self, invoice: Invoice) -> str:
        """In the invoice's currency."""
        return f"{format_minor(invoice.total, invoice.currency)} {invoice.currency}"

    @admin.display(description="Exact (USD)")
    def exact_usd(self, invoice: Invoice) -> str:
        """The sum of the exact lines."""
        return usd(int(invoice.exact))

    @admin.display(description="Document")
    def document(self, invoice: Invoice) -> str:
        """A link to the PDF."""
        return format_html('<a href="{}">PDF</a>', reverse("admin:billing_invoice_pdf", args=[invoice.pk]))

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the PDF."""
        view = self.admin_site.admin_view(self.pdf)
        return [path("<int:invoice_id>/pdf/", view, name="billing_invoice_pdf"), *super().get_urls()]

    def pdf(self, request: HttpRequest, invoice_id: int) -> HttpResponse:
        """The PDF of an invoice."""
        invoice = Invoice.objects.filter(pk=invoice_id).select_related("tenant").first()
        if invoice is None or not self.has_view_permission(request, invoice):
            raise Http404
        answer = HttpResponse(invoice_pdf.render(invoice), content_type="application/pdf")
        answer["Content-Disposition"] = f'attachment; filename="{invoice.number or f"draft-{invoice.pk}"}.pdf"'
        return answer


class EntryInline(ReadOnlyInline):
    """The sides of a transfer."""

    model = LedgerEntry
    verbose_name_plural = "Ledger entries"
    fields = ("account_kind", "tenant", "currency", "amount_usd")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerEntry]:
        """With what each line shows."""
        rows: QuerySet[LedgerEntry] = super().get_queryset(request)
        return rows.select_related("account", "tenant")

    @admin.display(description="Account")
    def account_kind(self, entry: LedgerEntry) -> str:
        """The tenant's own account of a kind, or the one of the house."""
        return entry.account.kind if entry.account.tenant_id else f"{entry.account.kind} (house)"

    @admin.display(description="Amount (of its currency; debit positive)")
    def amount_usd(self, entry: LedgerEntry) -> str:
        """Exact."""
        return usd(int(entry.amount))


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    """Movements of money."""

    list_display = ("id", "tenant", "kind", "key", "effective_at", "memo")
    list_filter = ("kind",)
    search_fields = ("key", "tenant__slug")
    list_select_related = ("tenant",)
    ordering = ("-id",)
    inlines = (EntryInline,)
