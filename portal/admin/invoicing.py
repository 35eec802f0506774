"""What operators do with invoices: release, correct, void, give up; and the rates of taxes and currencies."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing import credit_notes, exchange, invoice_states
from billing.admin import InvoiceAdmin
from billing.exchange import ExchangeProblem, Rate
from billing.invoice_events import Said
from billing.invoices import InvoiceProblem
from billing.models import ExchangeRate, Invoice, TaxRate
from billing.money import MoneyProblem, format_minor, parse_minor
from portal import audit
from portal.admin.audited import AuditedAdmin, actor_of

ACTS = {
    "release": "Release: make it final all the same",
    "credit": "Credit the amounts below",
    "credit_all": "Credit everything that is left",
    "void": "Void: it should never have been",
    "write_off": "Give up: uncollectible",
}


class ActForm(forms.Form):
    """One act with its reason and, to credit parts, a net amount for each line."""

    act = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    reason = forms.CharField(
        min_length=3, max_length=200, widget=UnfoldAdminTextInputWidget,
        help_text="Kept for ever; of a credit note it is printed.",
    )  # fmt: skip

    def __init__(self, *args: Any, invoice: Invoice, **options: Any) -> None:
        super().__init__(*args, **options)
        self.invoice = invoice
        self.fields["act"].choices = [(name, ACTS[name]) for name in acts_of(invoice)]  # type: ignore[attr-defined]
        self.left = credit_notes.left_of(invoice) if invoice.number else []
        for each in self.left:
            if each.amount:
                self.fields[f"line_{each.line.pk}"] = forms.CharField(
                    required=False, max_length=30, label=f"{each.line}".replace("_", " "),
                    help_text=f"{format_minor(each.amount, invoice.currency)} {invoice.currency} are left.",
                    widget=UnfoldAdminTextInputWidget,
                )  # fmt: skip

    def amounts(self) -> dict[int, int]:
        """Net minor units by line; raises MoneyProblem."""
        found = {}
        for each in self.left:
            text = str(self.cleaned_data.get(f"line_{each.line.pk}") or "").strip()
            if text:
                found[each.line.pk] = parse_minor(text, self.invoice.currency)
        return found


def acts_of(invoice: Invoice) -> list[str]:
    """What can be done with an invoice now."""
    if invoice.status == Invoice.Status.DRAFT:
        return ["release"] if invoice.parked_reason else []
    if invoice.kind != Invoice.Kind.INVOICE or invoice.status not in credit_notes.CORRECTABLE:
        return []
    more = ["void", "write_off"] if invoice.status == Invoice.Status.FINALISED else []
    return ["credit", "credit_all", *more]


admin.site.unregister(Invoice)


@admin.register(Invoice)
class ActingInvoiceAdmin(InvoiceAdmin):
    """Invoices, with what operators may do with them."""

    list_display = ("shown_number", "tenant", "period_label", "kind", "status", "shown_total", "due_on", "document")
    list_filter = ("status", "kind", "currency")
    fields = (*InvoiceAdmin.fields, ("kind", "corrects"), "reason", ("due_on", "language"), "acts")
    readonly_fields = (*InvoiceAdmin.readonly_fields, "acts")

    @admin.display(description="Acts")
    def acts(self, invoice: Invoice) -> str:
        """A link to the page where it is released or corrected."""
        if not acts_of(invoice):
            return "–"
        return format_html(
            '<a href="{}">Release or correct</a>', reverse("admin:billing_invoice_act", args=[invoice.pk])
        )

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the one where something is done."""
        view = self.admin_site.admin_view(self.act)
        return [path("<int:invoice_id>/act/", view, name="billing_invoice_act"), *super().get_urls()]

    def act(self, request: HttpRequest, invoice_id: int) -> HttpResponse:
        """Release, credit, void or give up, each with a reason and an audit row."""
        invoice = Invoice.objects.filter(pk=invoice_id).select_related("tenant").first()
        if invoice is None or not request.user.has_perm("billing.change_invoice"):
            raise Http404
        form = ActForm(request.POST or None, invoice=invoice)
        if request.method == "POST" and form.is_valid():
            try:
                done = _do(request, invoice, form)
            except (InvoiceProblem, MoneyProblem) as problem:
                form.add_error(None, str(problem))
            else:
                messages.success(request, f"{done} is {done.status}.")
                return redirect("admin:billing_invoice_change", done.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Release or correct {invoice}",
            "invoice": invoice,
            "form": form,
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "admin/billing/invoice/act.html", context)


@transaction.atomic
def _do(request: HttpRequest, invoice: Invoice, form: ActForm) -> Invoice:
    """One act with its audit row; the verb last, since it may take a number."""
    moment, act, reason = now(), form.cleaned_data["act"], form.cleaned_data["reason"]
    said = Said(str(request.user), reason)
    detail: dict[str, object] = {"invoice": invoice.pk, "reason": reason}
    amounts = form.amounts() if act == "credit" else None
    audit.record(
        tenant=invoice.tenant, actor=actor_of(request), action=f"invoice.{act}", subject=str(invoice), now=moment,
        detail=detail,
    )  # fmt: skip
    if act == "release":
        return invoice_states.release(invoice=invoice, said=said, now=moment)
    if act == "void":
        return invoice_states.void(invoice=invoice, said=said, now=moment)
    if act == "write_off":
        return invoice_states.write_off(invoice=invoice, said=said, now=moment)
    return credit_notes.issue(invoice=invoice, amounts=amounts, said=said, now=moment)


@admin.register(TaxRate)
class TaxRateAdmin(AuditedAdmin):
    """Rates of VAT. A new rate is a new row from its day on: invoices keep what they were made with."""

    list_display = ("country", "category", "percent", "effective_from", "source")
    list_filter = ("category",)
    search_fields = ("country",)
    ordering = ("country", "category", "-effective_from")
    fields = ("country", "category", "rate", "effective_from", "source")

    @admin.display(description="Rate", ordering="rate")
    def percent(self, row: TaxRate) -> str:
        """Basis points as people say them."""
        return f"{row.rate // 100}.{row.rate % 100:02d} %"


class ExchangeRateForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rate by hand, as a fraction of whole numbers."""

    class Meta:
        model = ExchangeRate
        fields = ("currency", "day", "numerator", "denominator", "source")

    def clean(self) -> dict[str, Any]:
        """Refused in plain words what billing cannot use."""
        values = super().clean() or {}
        if not self.errors:
            rate = Rate(*(values[name] for name in ("currency", "numerator", "denominator", "day", "source")))
            try:
                exchange.check(rate)
            except ExchangeProblem as problem:
                self.add_error(None, str(problem))
        return values


@admin.register(ExchangeRate)
class ExchangeRateAdmin(AuditedAdmin):
    """Units of a currency for one USD. Never changed; ``manage.py import_rates`` reads the ECB's files."""

    form = ExchangeRateForm
    list_display = ("currency", "day", "numerator", "denominator", "source")
    list_filter = ("currency",)
    ordering = ("-day", "currency")

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Invoices were made with it."""
        return False
