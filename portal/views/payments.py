"""Payments: the list, one with its receipt and the way to its card page, and what starts one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from billing import credits, dues, payment_reports
from billing.models import Invoice, Payment
from portal import paying
from portal.access import Permission, one
from portal.models import Tenant
from portal.paying import PaymentProblem, ProviderProblem
from portal.payment_forms import TopUpForm
from portal.views.page import TenantRequest, position, render_page, tenant_page

PAGE = 25
WORDS = {
    "requested": "not paid yet", "pending": "not paid yet", "succeeded": "paid", "failed": "failed",
    "cancelled": "given up",
}  # fmt: skip


@require_safe
@tenant_page(Permission.SEE_WALLET)
def payments(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """What was paid, and what is under way."""
    rows = payment_reports.payments(tenant_id=tenant.pk)
    before = position(request, "before")
    found = list((rows.filter(pk__lt=before) if before else rows)[: PAGE + 1])
    is_prepaid = credits.is_prepaid(tenant.pk)
    purpose = paying.top_up_purpose(tenant) if is_prepaid else "the number of the invoice"
    context = {
        "payments": [(payment, WORDS[payment.status]) for payment in found[:PAGE]],
        "following": found[PAGE - 1].pk if len(found) > PAGE else None,
        "advances": dues.advances(tenant.pk),
        "bank": paying.bank_account(purpose=purpose),
        "is_prepaid": is_prepaid,
        "cards": paying.cards_taken(),
    }
    return render_page(request, "payments.html", context)


@require_POST
@tenant_page(Permission.MANAGE_WALLET)
def top_up(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Begin a top-up by card."""
    form = TopUpForm(request.POST, currency=tenant.currency)
    if not form.is_valid():
        for problem in form.errors.values():
            messages.error(request, " ".join(str(each) for each in problem))
        return redirect("wallet", tenant.slug)
    values = form.cleaned_data
    try:
        payment = paying.ask_top_up(
            tenant=tenant, amount=values["amount"], saves_card=values["save_card"], actor=request.user, now=now()
        )
    except PaymentProblem as problem:
        messages.error(request, str(problem))
        return redirect("wallet", tenant.slug)
    return _to_card_page(tenant, payment)


@require_POST
@tenant_page(Permission.MANAGE_WALLET)
def pay_invoice(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponse:
    """Begin to pay an invoice by card."""
    rows = Invoice.objects.filter(tenant=tenant, pk=invoice_id, kind=Invoice.Kind.INVOICE)
    invoice = one(rows.select_related("tenant"))
    try:
        payment = paying.ask_invoice(invoice=invoice, actor=request.user, now=now())
    except PaymentProblem as problem:
        messages.error(request, str(problem))
        return redirect("invoice", tenant.slug, invoice.pk)
    return _to_card_page(tenant, payment)


@require_safe
@tenant_page(Permission.SEE_WALLET)
def payment(request: TenantRequest, tenant: Tenant, payment_id: int) -> HttpResponse:
    """What has become of a payment: the way to pay it, word while it is waited for, the receipt once it is there."""
    moment = now()
    found = paying.look(payment=_payment(tenant, payment_id), now=moment)
    page = _page_to_pay_on(request, tenant, found) if Permission.MANAGE_WALLET in request.permissions else {}
    context = {
        "payment": found,
        "words": WORDS[found.status],
        "paid": payment_reports.paid_by(found),
        "refunds": [each for each in found.refunds.order_by("id") if each.status != "failed"],
        "seller": settings.SELLER,
        "back": request.GET.get("back", ""),
        **page,
    }
    return render_page(request, "payment.html", context)


@require_POST
@tenant_page(Permission.MANAGE_WALLET)
def cancel_payment(request: TenantRequest, tenant: Tenant, payment_id: int) -> HttpResponse:
    """Give up a payment that is not paid."""
    try:
        paying.give_up(payment=_payment(tenant, payment_id), actor=request.user, now=now())
    except ProviderProblem as problem:
        messages.error(request, str(problem))
    return redirect("payment", tenant.slug, payment_id)


@require_POST
@tenant_page(Permission.MANAGE_WALLET)
def forget_card(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Have the saved card forgotten."""
    if paying.forget_card(tenant=tenant, actor=request.user, now=now()):
        messages.success(request, "The card is forgotten. Automatic top-ups stop the next time one is due.")
    return redirect("wallet", tenant.slug)


def _to_card_page(tenant: Tenant, payment: Payment) -> HttpResponse:
    """By the payment's own page: forms lead to our own addresses only (Content-Security-Policy: form-action)."""
    return redirect(f"{reverse('payment', args=[tenant.slug, payment.pk])}?go=1")


def _page_to_pay_on(request: TenantRequest, tenant: Tenant, payment: Payment) -> dict[str, Any]:
    """Where to pay a card payment that is not paid; a problem of Stripe's in its words."""
    if payment.status not in ("requested", "pending") or payment.is_automatic or not paying.cards_taken():
        return {}
    address = request.build_absolute_uri(reverse("payment", args=[tenant.slug, payment.pk]))
    try:
        url = paying.open_page(payment=payment, address=address, now=now())
    except ProviderProblem as problem:
        return {"problem": str(problem)}
    return {"card_page": url, "go": bool(url) and request.GET.get("go") == "1"}


def _payment(tenant: Tenant, payment_id: int) -> Payment:
    return one(Payment.objects.filter(tenant=tenant, pk=payment_id).select_related("tenant", "invoice"))
