"""The operators' pages of payments: what was paid, recording a transfer, paying back, and what Stripe said."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timezone import now
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing import payments, refunds
from billing.admin import ReadOnlyAdmin, ReadOnlyInline
from billing.card_payments import provider
from billing.models import Allocation, Invoice, Payment, ProviderEvent, Refund
from billing.money import MINOR_DIGITS, MoneyProblem, format_minor, parse_minor, usd
from billing.payments import Ask, PaymentProblem
from billing.refunds import Back, RefundProblem
from portal import audit
from portal.admin.audited import actor_of
from portal.models import Tenant

CURRENCIES = [(code, code) for code in sorted(MINOR_DIGITS)]


class PaymentForm(forms.Form):
    """Money that arrived. ``form_key`` makes a form that is sent twice count once."""

    tenant = forms.ModelChoiceField(Tenant.objects.order_by("slug"), widget=UnfoldAdminSelectWidget)
    amount = forms.CharField(max_length=30, widget=UnfoldAdminTextInputWidget, help_text="Such as 119.00.")
    currency = forms.ChoiceField(choices=CURRENCIES, initial="USD", widget=UnfoldAdminSelectWidget)
    method = forms.ChoiceField(
        choices=[("bank", "Bank transfer"), ("manual", "Otherwise")], widget=UnfoldAdminSelectWidget
    )
    received_on = forms.DateField(
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}), help_text="The bank's day."
    )
    invoices = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget,
        help_text="Numbers, separated by commas, in the order in which they are paid. Empty: the oldest due first. "
        "What is left is credit.",
    )  # fmt: skip
    memo = forms.CharField(required=False, max_length=200, widget=UnfoldAdminTextInputWidget)
    form_key = forms.UUIDField(widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """The amount in its currency, and the invoices of the numbers."""
        values = super().clean() or {}
        if not self.errors:
            try:
                values["minor"] = parse_minor(values["amount"].strip(), values["currency"])
            except MoneyProblem as problem:
                self.add_error("amount", f"{problem}.")
            values["chosen"] = self._chosen(values)
        return values

    def _chosen(self, values: dict[str, Any]) -> list[Invoice] | None:
        numbers = [part.strip() for part in values["invoices"].split(",") if part.strip()]
        rows = Invoice.objects.filter(tenant=values["tenant"], number__in=numbers).select_related("tenant")
        found = {invoice.number: invoice for invoice in rows}
        for number in numbers:
            if number not in found:
                self.add_error("invoices", f"{values['tenant']} has no invoice {number[:40]}.")
        return [found[number] for number in numbers if number in found] or None

    def ask(self, actor: str) -> Ask:
        """What was typed, once valid."""
        values = self.cleaned_data
        return Ask(
            values["minor"], values["currency"], values["method"], memo=values["memo"], actor=actor,
            received_on=values["received_on"], reference=values["form_key"],
        )  # fmt: skip


class RefundForm(forms.Form):
    """What goes back."""

    amount = forms.CharField(max_length=30, widget=UnfoldAdminTextInputWidget)
    reason = forms.CharField(min_length=3, max_length=200, widget=UnfoldAdminTextInputWidget)
    by_hand = forms.BooleanField(
        required=False, widget=UnfoldBooleanWidget, label="I have paid it back myself",
        help_text="Only noted here. Otherwise Stripe pays it back to the card.",
    )  # fmt: skip
    form_key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, payment: Payment, **options: Any) -> None:
        super().__init__(*args, **options)
        self.payment = payment
        if payment.intent_id is None:
            self.fields["by_hand"].initial = True

    def clean_amount(self) -> int:
        """Minor units of the payment's currency."""
        try:
            return parse_minor(str(self.cleaned_data["amount"]).strip(), self.payment.currency)
        except MoneyProblem as problem:
            raise forms.ValidationError(f"{problem}.") from None


class AllocationInline(ReadOnlyInline):
    """What a payment pays."""

    model = Allocation
    fields = ("made_at", "target", "invoice", "shown", "usd_worth", "refund", "transfer")
    readonly_fields = fields
    ordering = ("id",)
    per_page = 20

    @admin.display(description="Amount")
    def shown(self, row: Allocation) -> str:
        """In the payment's currency; negative where it was taken back."""
        return format_minor(row.amount, row.payment.currency)

    @admin.display(description="In USD")
    def usd_worth(self, row: Allocation) -> str:
        """By which the wallet's limit moved."""
        return usd(int(row.usd))


class RefundInline(ReadOnlyInline):
    """What went back of a payment."""

    model = Refund
    fk_name = "payment"
    fields = ("created_at", "kind", "status", "shown", "reason", "failure", "provider_id", "actor")
    readonly_fields = fields
    ordering = ("id",)
    per_page = 20

    @admin.display(description="Amount")
    def shown(self, row: Refund) -> str:
        """In the payment's currency."""
        return format_minor(row.amount, row.payment.currency)


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """Payments; adding one records money that arrived by itself."""

    list_display = ("id", "tenant", "shown", "method", "status", "memo", "received_on", "created_at")
    list_filter = ("status", "method", "currency", "is_automatic")
    search_fields = ("tenant__slug", "tenant__name", "memo", "session_id", "intent_id", "reference")
    list_select_related = ("tenant",)
    ordering = ("-id",)
    inlines = (AllocationInline, RefundInline)
    fields = (
        ("tenant", "status"), ("shown", "method"), ("invoice", "memo"), ("received_on", "actor"),
        ("created_at", "ended_at"), ("is_automatic", "saves_card"), "rate", "reference", "session_id", "intent_id",
        "failure", "back",
    )  # fmt: skip
    readonly_fields = ("shown", "rate", "back")

    @admin.display(description="Amount", ordering="amount")
    def shown(self, payment: Payment) -> str:
        """In its currency."""
        return f"{format_minor(payment.amount, payment.currency)} {payment.currency}"

    @admin.display(description="Rate of what is credit")
    def rate(self, payment: Payment) -> str:
        """Units of its currency for one USD, and where that is from."""
        if payment.rate_numerator is None or payment.rate_on is None:
            return "–"
        source = f"{payment.rate_source}, {payment.rate_on}"
        return f"{payment.rate_numerator} / {payment.rate_denominator} {payment.currency} = 1 USD ({source})"

    @admin.display(description="Pay back")
    def back(self, payment: Payment) -> str:
        """A link to the page where money goes back."""
        left = refunds.refundable(payment) if payment.status == Payment.Status.SUCCEEDED else 0
        if not left:
            return "–"
        amount = f"{format_minor(left, payment.currency)} {payment.currency}"
        url = reverse("admin:billing_payment_refund", args=[payment.pk])
        return format_html('<a href="{}">Refund up to {}</a>', url, amount)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may add rows by the permissions of the admin."""
        return bool(request.user.has_perm("billing.add_payment"))

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the one where money goes back."""
        view = self.admin_site.admin_view(self.refund)
        return [path("<int:payment_id>/refund/", view, name="billing_payment_refund"), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Record money that arrived."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PaymentForm(request.POST or None, initial={"form_key": uuid.uuid4(), "received_on": now().date()})
        if request.method == "POST" and form.is_valid():
            try:
                payment = _record(request, form)
            except PaymentProblem as problem:
                form.add_error(None, str(problem))
            else:
                messages.success(request, f"{self.shown(payment)} of {payment.tenant} are recorded.")
                return HttpResponseRedirect(reverse("admin:billing_payment_change", args=[payment.pk]))
        return self._page(request, form, "Record money that arrived", "Record it")

    def refund(self, request: HttpRequest, payment_id: int) -> HttpResponse:
        """Pay back, by Stripe or by hand, with a reason and an audit row."""
        payment = Payment.objects.filter(pk=payment_id).select_related("tenant").first()
        if payment is None or not request.user.has_perm("billing.add_refund"):
            raise Http404
        left = format_minor(refunds.refundable(payment), payment.currency)
        form = RefundForm(request.POST or None, initial={"form_key": uuid.uuid4(), "amount": left}, payment=payment)
        if request.method == "POST" and form.is_valid():
            try:
                done = _refund(request, payment, form)
            except RefundProblem as problem:
                form.add_error(None, str(problem))
            else:
                words = "is on its way" if done.status == Refund.Status.REQUESTED else "is noted"
                messages.success(request, f"The refund {words}.")
                return HttpResponseRedirect(reverse("admin:billing_payment_change", args=[payment.pk]))
        return self._page(request, form, f"Refund of payment {payment.pk} of {payment.tenant}", "Pay it back", payment)

    def _page(
        self, request: HttpRequest, form: forms.Form, title: str, button: str, payment: Payment | None = None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request), "title": title, "form": form, "button": button,
            "payment": payment, "opts": self.model._meta,
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/payment/act.html", context)


@admin.register(ProviderEvent)
class ProviderEventAdmin(ReadOnlyAdmin):
    """What Stripe said, as it came. A problem without an end is tried again by itself."""

    list_display = ("id", "kind", "payment", "received_at", "processed_at", "problem")
    list_filter = ("kind", ("processed_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "kind")
    list_select_related = ("payment",)
    ordering = ("-received_at", "-id")
    fields = (("id", "kind"), "payment", ("received_at", "tried_at", "processed_at"), "problem", "raw")


@transaction.atomic
def _record(request: HttpRequest, form: PaymentForm) -> Payment:
    moment, tenant = now(), form.cleaned_data["tenant"]
    ask = form.ask(str(request.user))
    payment = payments.record(tenant=tenant, ask=ask, chosen=form.cleaned_data["chosen"], now=moment)
    detail: dict[str, object] = {
        "amount": format_minor(payment.amount, payment.currency), "currency": payment.currency,
        "method": payment.method, "memo": payment.memo,
    }  # fmt: skip
    audit.record(
        tenant=tenant, actor=actor_of(request), action="payment.record", subject=f"payment {payment.pk}", now=moment,
        detail=detail,
    )  # fmt: skip
    return payment


@transaction.atomic
def _refund(request: HttpRequest, payment: Payment, form: RefundForm) -> Refund:
    moment, values = now(), form.cleaned_data
    if not values["by_hand"] and not provider.is_set_up():
        raise RefundProblem("Card payments are not set up here: pay it back and tick that you did.")
    back = Back(values["amount"], values["reason"], str(request.user), values["by_hand"], values["form_key"])
    done = refunds.ask(payment=payment, back=back, now=moment)
    detail: dict[str, object] = {
        "amount": format_minor(done.amount, payment.currency), "currency": payment.currency, "reason": done.reason,
        "by_hand": values["by_hand"],
    }  # fmt: skip
    audit.record(
        tenant=payment.tenant, actor=actor_of(request), action="payment.refund", subject=f"payment {payment.pk}",
        now=moment, detail=detail,
    )  # fmt: skip
    return done
