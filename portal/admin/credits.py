"""Credit for tenants: granting it, seeing what used it up, refunding what was paid for."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import credit_ends, credits
from billing.admin import ReadOnlyInline
from billing.credits import CreditProblem
from billing.grants import Terms
from billing.models import CreditGrant, CreditUse
from billing.money import usd
from portal import audit
from portal.admin.audited import AuditedAdmin, actor_of
from portal.admin.money_fields import UsdField
from portal.models import Tenant

SHOWN = (
    "tenant", "kind", "amount_usd", "unused_usd", "priority", "starts_at", "expires_at", "memo", "key", "created_at",
)  # fmt: skip


class NewGrantForm(forms.ModelForm):  # type: ignore[type-arg]
    """A grant. ``form_key`` makes a form that is sent twice count once."""

    usd = UsdField(label="Amount (USD)")
    priority = forms.IntegerField(
        required=False, min_value=0, widget=UnfoldAdminTextInputWidget,
        help_text="Smaller is used first. Empty: promotional 10, goodwill 20, paid 50.",
    )  # fmt: skip
    form_key = forms.UUIDField(widget=forms.HiddenInput)

    class Meta:
        model = CreditGrant
        fields = ("tenant", "kind", "starts_at", "expires_at", "memo")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.update({"form_key": uuid.uuid4(), "starts_at": now()})

    def clean(self) -> dict[str, Any]:
        """Refused as the verb would, in its words."""
        values = super().clean() or {}
        moment = now()
        if not self.errors:
            try:
                credits.check(
                    tenant=values["tenant"], terms=self.terms(moment), key=str(values["form_key"]), now=moment
                )
            except CreditProblem as problem:
                self.add_error(None, str(problem))
        return values

    def terms(self, moment: datetime) -> Terms:
        """What is granted, from a moment or later."""
        values = self.cleaned_data
        begins = max(values["starts_at"], moment)
        return Terms(values["kind"], values["usd"], begins, values["priority"], values["expires_at"], values["memo"])


class RefundForm(forms.ModelForm):  # type: ignore[type-arg]
    """A refund of what is unused."""

    refund = UsdField(
        required=False, label="Refund (USD)", help_text="Of paid credit. Pay the money back by yourself as well."
    )
    form_key = forms.UUIDField(widget=forms.HiddenInput)

    class Meta:
        model = CreditGrant
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["form_key"] = uuid.uuid4()


class CreditUseInline(ReadOnlyInline):
    """What took of a credit, or gave back to it."""

    model = CreditUse
    fields = ("at", "kind", "amount_usd", "transfer")
    readonly_fields = fields
    ordering = ("-id",)
    per_page = 20

    @admin.display(description="Taken (USD)")
    def amount_usd(self, use: CreditUse) -> str:
        """Negative where a correction gave it back."""
        return usd(int(use.amount))


@admin.register(CreditGrant)
class CreditGrantAdmin(AuditedAdmin):
    """Credit of every kind; a grant is never changed, only used up, expired or refunded."""

    list_display = ("tenant", "kind", "amount_usd", "unused_usd", "priority", "starts_at", "expires_at", "memo")
    list_filter = ("kind",)
    search_fields = ("tenant__slug", "tenant__name", "memo", "key")
    list_select_related = ("tenant",)
    ordering = ("-pk",)
    inlines = (CreditUseInline,)

    def get_form(self, request: HttpRequest, obj: CreditGrant | None = None, change: bool = False, **kw: Any) -> Any:
        """One form to grant, one to refund."""
        kw["form"] = NewGrantForm if obj is None else RefundForm
        return super().get_form(request, obj, change=change, **kw)

    def get_fieldsets(self, request: HttpRequest, obj: CreditGrant | None = None) -> Any:
        """What is asked, and what is shown."""
        if obj is None:
            asked = ("tenant", "kind", "usd", "priority", "starts_at", "expires_at", "memo", "form_key")
            return ((None, {"fields": asked}),)
        return ((None, {"fields": (*SHOWN, "refundable", "refund", "form_key")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: CreditGrant | None = None) -> tuple[str, ...]:
        """Everything of a grant stays as it was agreed."""
        return (*SHOWN, "refundable") if obj else ()

    def get_inlines(self, request: HttpRequest, obj: CreditGrant | None) -> Any:
        """Nothing has used a grant that is not there yet."""
        return self.inlines if obj else ()

    @admin.display(description="Amount (USD)", ordering="amount")
    def amount_usd(self, grant: CreditGrant) -> str:
        """What was granted."""
        return usd(int(grant.amount))

    @admin.display(description="Unused (USD)", ordering="unused")
    def unused_usd(self, grant: CreditGrant) -> str:
        """What is left of it."""
        return usd(int(grant.unused))

    @admin.display(description="Can be refunded (USD)")
    def refundable(self, grant: CreditGrant) -> str:
        """Paid, unused and not held."""
        return usd(credit_ends.refundable(grant))

    def save_model(self, request: HttpRequest, obj: CreditGrant, form: forms.ModelForm[Any], change: bool) -> None:
        """By the verbs, each with its audit row."""
        if change:
            self._refund(request, obj, form.cleaned_data)
        elif isinstance(form, NewGrantForm):
            self._grant(request, obj, form)

    def _grant(self, request: HttpRequest, obj: CreditGrant, form: NewGrantForm) -> None:
        moment, tenant = now(), form.cleaned_data["tenant"]
        terms = form.terms(moment)
        key = f"admin:{form.cleaned_data['form_key']}"
        made = credits.grant(tenant=tenant, terms=terms, key=key, now=moment)
        obj.pk = made.pk
        obj._state.adding = False
        detail: dict[str, object] = {"amount": usd(terms.amount), "kind": terms.kind, "memo": terms.memo}
        audit.record(
            tenant=tenant, actor=actor_of(request), action="credit.grant", subject=tenant.slug, now=moment,
            detail=detail,
        )  # fmt: skip

    def _refund(self, request: HttpRequest, obj: CreditGrant, values: dict[str, Any]) -> None:
        amount, moment = values.get("refund"), now()
        if not amount:
            return
        tenant = Tenant.objects.get(pk=obj.tenant_id)
        try:
            key = f"admin:{values['form_key']}"
            credit_ends.refund(tenant=tenant, grant=obj, amount=amount, key=key, now=moment)
        except CreditProblem as problem:
            messages.error(request, str(problem))
            return
        detail: dict[str, object] = {"amount": usd(amount), "credit": obj.pk}
        audit.record(
            tenant=tenant, actor=actor_of(request), action="credit.refund", subject=tenant.slug, now=moment,
            detail=detail,
        )  # fmt: skip
        messages.success(request, f"{usd(amount)} USD left the wallet of {tenant.slug}.")
