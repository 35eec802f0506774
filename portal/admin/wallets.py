"""Wallets: topping up a prepaid one, and the credit line of a postpaid one."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import ledger
from billing.models import Allowance, LedgerAccount, Wallet
from billing.money import usd
from portal import audit
from portal.admin.audited import AuditedAdmin, actor_of
from portal.admin.money_fields import UsdField
from portal.models import Tenant

LARGEST = 10**9 * 10**12


class WalletForm(forms.ModelForm):  # type: ignore[type-arg]
    """A movement of money, or another credit line. ``key`` makes a form that is sent twice count once."""

    top_up = UsdField(required=False, label="Top up (USD)", help_text="What the tenant paid, such as 25.00.")
    memo = forms.CharField(required=False, max_length=200, widget=UnfoldAdminTextInputWidget)
    credit_line = UsdField(required=False, label="Credit line (USD)", help_text="For postpaid billing.")
    key = forms.UUIDField(widget=forms.HiddenInput)

    class Meta:
        model = Wallet
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["key"] = uuid.uuid4()
        self.initial["credit_line"] = int(self.instance.credit_limit)

    def clean(self) -> dict[str, Any]:
        """Each mode has its own field."""
        values = super().clean() or {}
        prepaid = self.instance.mode == Wallet.Mode.PREPAID
        amount, line = values.get("top_up"), values.get("credit_line")
        if amount is not None and not prepaid:
            self.add_error("top_up", "This tenant pays by invoice: change its credit line.")
        if amount is not None and not 0 < amount <= LARGEST:
            self.add_error("top_up", "A top-up is more than nothing and at most a billion.")
        if line and prepaid:
            self.add_error("credit_line", "A prepaid tenant has no credit line: top it up.")
        if line is not None and line > LARGEST:
            self.add_error("credit_line", "A credit line is at most a billion.")
        return values


@admin.register(Wallet)
class WalletAdmin(AuditedAdmin):
    """How each tenant pays, what is left, and topping up."""

    form = WalletForm
    list_display = ("tenant", "mode", "left")
    list_filter = ("mode",)
    search_fields = ("tenant__slug", "tenant__name")
    list_select_related = ("tenant",)
    ordering = ("tenant__slug",)
    fields = ("tenant", "mode", "balance", "left", "top_up", "memo", "credit_line", "key")
    readonly_fields = ("tenant", "mode", "balance", "left")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A wallet is made with its tenant."""
        return False

    @admin.display(description="Balance (USD)")
    def balance(self, wallet: Wallet) -> str:
        """Prepaid: paid minus used, as posted to the ledger."""
        return usd(-ledger.balance(tenant_id=wallet.tenant_id, kind=LedgerAccount.Kind.WALLET))

    @admin.display(description="Left for calls (USD)")
    def left(self, wallet: Wallet) -> str:
        """What the next calls may cost."""
        row = Allowance.objects.filter(tenant_id=wallet.tenant_id, kind=Allowance.Kind.WALLET).first()
        return usd(int(row.limit - row.spent - row.held)) if row else "–"

    def save_model(self, request: HttpRequest, obj: Wallet, form: forms.ModelForm[Any], change: bool) -> None:
        """By the ledger's verbs, each with its audit row."""
        moment = now()
        tenant = Tenant.objects.get(pk=obj.tenant_id)
        amount, line = form.cleaned_data.get("top_up"), form.cleaned_data.get("credit_line")
        if amount:
            self._top_up(request, tenant, amount, form.cleaned_data)
        if line is not None and obj.mode == Wallet.Mode.POSTPAID and line != int(obj.credit_limit):
            ledger.set_credit_limit(tenant=tenant, credit_limit=line, now=moment)
            audit.record(
                tenant=tenant,
                actor=actor_of(request),
                action="wallet.credit_limit",
                subject=tenant.slug,
                now=moment,
                detail={"from": usd(int(obj.credit_limit)), "to": usd(line)},
            )

    def _top_up(self, request: HttpRequest, tenant: Tenant, amount: int, values: dict[str, Any]) -> None:
        moment = now()
        key = f"admin:{values['key']}"
        try:
            ledger.top_up(tenant=tenant, amount=amount, key=key, now=moment, memo=values["memo"])
        except ledger.LedgerProblem as problem:
            messages.error(request, str(problem))
            return
        audit.record(
            tenant=tenant,
            actor=actor_of(request),
            action="wallet.top_up",
            subject=tenant.slug,
            now=moment,
            detail={"amount": usd(amount), "memo": values["memo"], "key": key},
        )
        messages.success(request, f"{tenant.slug} was topped up by {usd(amount)} USD.")
