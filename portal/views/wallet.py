"""The wallet: what is left and held, credit with its ends, movements, vouchers, automatic top-ups and alerts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from billing import payment_reports, top_ups, wallets
from billing.balance_alerts import AlertProblem
from billing.money import usd
from billing.top_ups import TopUpProblem
from billing.vouchers import VoucherProblem
from portal import paying
from portal import wallet as verbs
from portal.access import Permission
from portal.models import Tenant
from portal.payment_forms import TopUpForm
from portal.views.page import TenantRequest, position, render_page, tenant_page
from portal.wallet_forms import AlertsForm, TopUpRuleForm, VoucherForm, shown_thresholds

MOVEMENT_WORDS = {
    "usage": "Calls",
    "adjustment": "Correction of calls",
    "charge": "Charge",
    "top_up": "Top-up",
    "payment": "Payment",
    "invoice": "Rounding of an invoice",
    "reversal": "Reversal",
    "grant": "Credit",
    "expiry": "Expired credit",
    "refund": "Refund",
    "credit_note": "Credit note",
}


@require_safe
@tenant_page(Permission.SEE_WALLET)
def wallet(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """The wallet with its movements."""
    return _shown(request, tenant)


@require_POST
@tenant_page(Permission.MANAGE_WALLET)
def redeem_voucher(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Redeem a code."""
    form = VoucherForm(request.POST)
    if form.is_valid():
        try:
            grant = verbs.redeem(tenant=tenant, code=form.cleaned_data["code"], actor=request.user, now=now())
        except VoucherProblem as problem:
            form.add_error("code", str(problem))
        else:
            messages.success(request, f"{usd(int(grant.amount))} USD credit is in your wallet.")
            return redirect("wallet", tenant.slug)
    return _shown(request, tenant, voucher_form=form)


@require_POST
@tenant_page(Permission.MANAGE_WALLET)
def set_top_up_rule(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Set the rule, or switch it off."""
    if "off" in request.POST:
        if verbs.drop_rule(tenant=tenant, actor=request.user, now=now()):
            messages.success(request, "The wallet no longer fills itself.")
        return redirect("wallet", tenant.slug)
    form = TopUpRuleForm(request.POST)
    if form.is_valid():
        try:
            verbs.set_rule(tenant=tenant, rule=form.rule(), actor=request.user, now=now())
        except TopUpProblem as problem:
            form.add_error(None, str(problem))
        else:
            messages.success(request, "Saved. The wallet fills itself from now on.")
            return redirect("wallet", tenant.slug)
    return _shown(request, tenant, rule_form=form)


@require_POST
@tenant_page(Permission.MANAGE_WALLET)
def set_alerts(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Say at which amounts left to be told."""
    form = AlertsForm(request.POST)
    if form.is_valid():
        try:
            verbs.set_thresholds(
                tenant=tenant, thresholds=form.cleaned_data["thresholds"], actor=request.user, now=now()
            )
        except AlertProblem as problem:
            form.add_error("thresholds", str(problem))
        else:
            messages.success(request, "Saved.")
            return redirect("wallet", tenant.slug)
    return _shown(request, tenant, alerts_form=form)


def _shown(request: TenantRequest, tenant: Tenant, **posted: forms.Form) -> HttpResponse:
    """The page, with a form that came back if one did."""
    state = wallets.state(tenant_id=tenant.pk, now=now())
    with_calls = request.GET.get("calls") == "1"
    rows, following = wallets.movements(
        tenant_id=tenant.pk, before=position(request, "before"), limit=25, usage=with_calls
    )
    context: dict[str, Any] = {
        "wallet": state,
        "rule_words": top_ups.words(state.rule) if state.rule else "",
        "movements": [(row, MOVEMENT_WORDS.get(row.kind, row.kind)) for row in rows],
        "following": following,
        "with_calls": with_calls,
        "voucher_form": VoucherForm(),
        "rule_form": TopUpRuleForm(initial=_rule(state)),
        "alerts_form": AlertsForm(initial=shown_thresholds(state.thresholds)),
        "top_up_form": TopUpForm(currency=tenant.currency),
        "cards": paying.cards_taken(),
        "bank": paying.bank_account(purpose=paying.top_up_purpose(tenant)),
        "saved_card": payment_reports.saved_card(tenant_id=tenant.pk),
        "seller": settings.SELLER,
        **posted,
    }
    return render_page(request, "wallet.html", context, status=422 if posted else 200)


def _rule(state: wallets.WalletState) -> dict[str, Any]:
    if state.rule is None:
        return {}
    rule = state.rule
    return {
        "threshold": int(rule.threshold),
        "amount": int(rule.amount),
        "most_per_month": rule.most_per_month,
    }
