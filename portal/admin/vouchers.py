"""Vouchers: making codes, which are shown once, and withdrawing them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import vouchers
from billing.admin import ReadOnlyInline
from billing.models import Voucher, VoucherRedemption
from billing.money import usd
from billing.vouchers import MOST_MADE, Offer, VoucherProblem
from portal import audit
from portal.admin.audited import AuditedAdmin, actor_of
from portal.admin.money_fields import UsdField

SHOWN = (
    "last_four", "kind", "amount_usd", "priority", "valid_from", "valid_until", "credit_days", "most_redemptions",
    "redeemed", "memo", "created_at",
)  # fmt: skip
OFFERED = ("kind", "priority", "valid_from", "valid_until", "credit_days", "most_redemptions", "memo")
ASKED = ("number", "usd", *OFFERED)


class NewVouchersForm(forms.ModelForm):  # type: ignore[type-arg]
    """Any number of codes of one offer."""

    number = forms.IntegerField(
        label="How many codes", min_value=1, max_value=MOST_MADE, initial=1, widget=UnfoldAdminTextInputWidget
    )
    usd = UsdField(label="Amount (USD)", help_text="What each redemption puts into a wallet.")

    class Meta:
        model = Voucher
        fields = OFFERED
        help_texts = {
            "priority": "Smaller is used first.",
            "valid_until": "When the code stops to count. Empty: never.",
            "credit_days": "How long the credit lasts from its redemption. Empty: without an end.",
            "most_redemptions": "By so many tenants, each once.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.update({"valid_from": now(), "priority": 10, "kind": "promotional"})

    def clean(self) -> dict[str, Any]:
        """Refused as the verb would, in its words."""
        values = super().clean() or {}
        if not self.errors:
            try:
                vouchers.check(offer=self.offer(), number=values["number"])
            except VoucherProblem as problem:
                self.add_error(None, str(problem))
        return values

    def offer(self) -> Offer:
        """What each code gives."""
        values = self.cleaned_data
        return Offer(amount=values["usd"], **{name: values[name] for name in OFFERED})


class RedemptionInline(ReadOnlyInline):
    """Who redeemed a code."""

    model = VoucherRedemption
    fields = ("tenant", "grant", "redeemed_at")
    readonly_fields = fields


@admin.register(Voucher)
class VoucherAdmin(AuditedAdmin):
    """Codes by their last four characters; nobody can read one again."""

    list_display = ("__str__", "kind", "amount_usd", "redeemed", "most_redemptions", "valid_until", "is_active", "memo")
    list_filter = ("is_active", "kind")
    search_fields = ("last_four", "memo")
    ordering = ("-pk",)
    inlines = (RedemptionInline,)

    def get_form(self, request: HttpRequest, obj: Voucher | None = None, change: bool = False, **kwargs: Any) -> Any:
        """A form to make codes; of one that is made only whether it counts."""
        if obj is None:
            kwargs["form"] = NewVouchersForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Voucher | None = None) -> Any:
        """What is asked, and what is shown."""
        return ((None, {"fields": ASKED if obj is None else (*SHOWN, "is_active")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Voucher | None = None) -> tuple[str, ...]:
        """An offer stays as it was made."""
        return SHOWN if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Voucher | None) -> Any:
        """Nobody redeemed a code that is not there yet."""
        return self.inlines if obj else ()

    @admin.display(description="Amount (USD)", ordering="amount")
    def amount_usd(self, voucher: Voucher) -> str:
        """What a redemption gives."""
        return usd(int(voucher.amount))

    def save_model(self, request: HttpRequest, obj: Voucher, form: forms.ModelForm[Any], change: bool) -> None:
        """By the verbs, with an audit row of the installation. The codes wait for ``response_add``."""
        moment = now()
        detail: dict[str, object]
        if change:
            vouchers.set_active(voucher=obj, is_active=obj.is_active)
            action, detail = "voucher.change", {"is_active": obj.is_active}
        elif isinstance(form, NewVouchersForm):
            offer = form.offer()
            made = vouchers.make(offer=offer, number=form.cleaned_data["number"], now=moment)
            obj.pk, obj.last_four = made[0][0].pk, made[0][0].last_four
            obj._state.adding = False
            request.made_codes = [code for _voucher, code in made]  # type: ignore[attr-defined]
            action, detail = "voucher.make", {"number": len(made), "amount": usd(offer.amount), "kind": offer.kind}
        audit.record(tenant=None, actor=actor_of(request), action=action, subject=str(obj), now=moment, detail=detail)

    def response_add(self, request: HttpRequest, obj: Voucher, post_url_continue: str | None = None) -> HttpResponse:
        """The codes, in this answer and nowhere else."""
        context = {
            **self.admin_site.each_context(request),
            "title": "New voucher codes",
            "codes": request.made_codes,  # type: ignore[attr-defined]
            "opts": self.model._meta,
        }
        answer = TemplateResponse(request, "admin/billing/voucher/made.html", context)
        answer["Cache-Control"] = "no-store"
        return answer
