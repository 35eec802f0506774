"""The operators' pages of bank statements: a CSV file is shown first, then taken in; what nobody knew is assigned."""

from __future__ import annotations

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
from unfold.widgets import UnfoldAdminSelectWidget

from billing import bank_files, bank_lines
from billing.admin import ReadOnlyAdmin
from billing.bank_files import BankFileProblem
from billing.bank_lines import DUPLICATE, MATCHED, UNMATCHED, Match
from billing.models import BankLine
from billing.money import format_minor
from billing.payments import PaymentProblem
from portal import audit
from portal.admin.audited import actor_of
from portal.admin.payments import CURRENCIES
from portal.models import Tenant


class FileForm(forms.Form):
    """A file of a bank, or what was shown of it and is sent back to be taken in."""

    file = forms.FileField(required=False, help_text="CSV with headings for date, amount, and reference or payer.")
    currency = forms.ChoiceField(
        choices=CURRENCIES, initial="EUR", widget=UnfoldAdminSelectWidget,
        help_text="Of files without a column that says so.",
    )  # fmt: skip
    content = forms.CharField(required=False, max_length=bank_files.MOST_BYTES, strip=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """The lines, matched. A file is read only if it is not too large."""
        values = super().clean() or {}
        file = values.get("file")
        if file and file.size > bank_files.MOST_BYTES:
            raise forms.ValidationError(f"The file is larger than {bank_files.MOST_BYTES >> 20} MB.")
        raw = file.read() if file else str(values.get("content") or "").encode()
        if not raw:
            raise forms.ValidationError("Choose a file.")
        try:
            lines = bank_files.read(content=raw, currency=values.get("currency", "EUR"))
        except BankFileProblem as problem:
            raise forms.ValidationError(str(problem)) from None
        values["matches"] = bank_lines.match(lines)
        values["text"] = bank_files.text_of(raw)
        return values


class AssignForm(forms.Form):
    """Whose money it is."""

    tenant = forms.ModelChoiceField(Tenant.objects.order_by("slug"), widget=UnfoldAdminSelectWidget)


@admin.register(BankLine)
class BankLineAdmin(ReadOnlyAdmin):
    """Lines of bank statements; adding takes a file in."""

    list_display = ("booked_on", "shown", "payer", "purpose", "paid_in")
    list_filter = (("payment", admin.EmptyFieldListFilter), "currency")
    search_fields = ("payer", "purpose")
    list_select_related = ("payment",)
    ordering = ("-booked_on", "digest")
    fields = (("booked_on", "shown"), "payer", "purpose", "paid_in", ("imported_at", "digest"))
    readonly_fields = ("shown", "paid_in")

    @admin.display(description="Amount", ordering="amount")
    def shown(self, line: BankLine) -> str:
        """In its currency."""
        return f"{format_minor(line.amount, line.currency)} {line.currency}"

    @admin.display(description="Payment")
    def paid_in(self, line: BankLine) -> str:
        """Its payment, or the page where somebody says whose money it is."""
        if line.payment_id is not None:
            url = reverse("admin:billing_payment_change", args=[line.payment_id])
            return format_html('<a href="{}">{}</a>', url, line.payment)
        url = reverse("admin:billing_bankline_assign", args=[line.pk])
        return format_html('<a href="{}">Whose is it?</a>', url)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may add rows by the permissions of the admin."""
        return bool(request.user.has_perm("billing.add_bankline"))

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the one where a line is assigned."""
        view = self.admin_site.admin_view(self.assign)
        return [path("<slug:digest>/assign/", view, name="billing_bankline_assign"), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what a file says; on “Take it in” record it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = FileForm(request.POST or None, request.FILES or None)
        if request.method != "POST" or not form.is_valid():
            return self._page(request, "add", {"title": "Read a bank statement", "form": form})
        matches: list[Match] = form.cleaned_data["matches"]
        if "take_in" in request.POST:
            paid, kept = _take_in(request, matches)
            words = f"Recorded as payments: {paid}. Waiting for somebody to say whose they are: {kept}."
            messages.success(request, words)
            return HttpResponseRedirect(reverse("admin:billing_bankline_changelist"))
        context = {
            "title": "What the statement says", "form": form, "currency": form.cleaned_data["currency"],
            "text": form.cleaned_data["text"], "rows": [_shown(each) for each in matches],
            "counts": [(state, sum(each.state == state for each in matches)) for state in
                       (MATCHED, UNMATCHED, DUPLICATE)],
        }  # fmt: skip
        return self._page(request, "preview", context)

    def assign(self, request: HttpRequest, digest: str) -> HttpResponse:
        """Say whose money a line is: it pays the oldest invoices first, or is credit."""
        line = BankLine.objects.filter(pk=digest, payment=None).first()
        if line is None or not self.has_add_permission(request):
            raise Http404
        form = AssignForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                _assign(request, line, form.cleaned_data["tenant"])
            except PaymentProblem as problem:
                form.add_error(None, str(problem))
            else:
                return HttpResponseRedirect(reverse("admin:billing_bankline_changelist"))
        context = {"title": f"{self.shown(line)} of {line.payer or 'nobody named'}: whose is it?", "form": form}
        return self._page(request, "assign", {**context, "line": line})

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.model._meta}
        return TemplateResponse(request, f"admin/billing/bankline/{name}.html", {**shared, **context})


def _shown(found: Match) -> dict[str, str]:
    line = found.line
    amount = f"{format_minor(line.amount, line.currency)} {line.currency}"
    return {"day": line.booked_on.isoformat(), "amount": amount, "payer": line.payer, "purpose": line.purpose,
            "state": found.state, "words": found.words}  # fmt: skip


@transaction.atomic
def _take_in(request: HttpRequest, matches: list[Match]) -> tuple[int, int]:
    moment = now()
    paid, kept = bank_lines.take_in(matches=matches, actor=str(request.user), now=moment)
    detail: dict[str, object] = {"lines": len(matches), "payments": paid, "unmatched": kept}
    audit.record(
        tenant=None, actor=actor_of(request), action="bank.take_in", subject="bank statement", now=moment, detail=detail
    )
    return paid, kept


@transaction.atomic
def _assign(request: HttpRequest, line: BankLine, tenant: Tenant) -> None:
    moment = now()
    payment = bank_lines.assign(line=line, tenant=tenant, chosen=None, actor=str(request.user), now=moment)
    audit.record(
        tenant=tenant, actor=actor_of(request), action="payment.record", subject=f"payment {payment.pk}", now=moment,
        detail={"bank line": line.pk[:12], "amount": format_minor(payment.amount, payment.currency)},
    )  # fmt: skip
