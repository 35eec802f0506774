"""Invoices: the running month, drafts, finalising, the document."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import localdate, now
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import dues, invoice_lines, invoice_pdf, payment_reports, reports
from billing.invoices import InvoiceProblem
from billing.models import Invoice, InvoiceLine
from billing.periods import PeriodProblem
from portal import closing, contract_facts, invoice_facts, paying, readings
from portal.access import Permission, one
from portal.forms import MonthForm
from portal.models import Tenant
from portal.views.calls import CLASS_WORDS
from portal.views.page import TenantRequest, render_page, tenant_page


@require_safe
@tenant_page(Permission.SEE_INVOICES)
def invoices(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """The running month and every invoice."""
    moment = now()
    month = reports.month_so_far(
        tenant_id=tenant.pk, zone=tenant.timezone, now=moment, anchor=tenant.billing_anchor_day
    )
    context = {
        "month": month,
        "models": readings.shares(month.by_model, "model", readings.Names(tenant)),
        "wallet": reports.wallet(tenant_id=tenant.pk),
        "invoices": reports.invoices(tenant_id=tenant.pk),
        "contracts": contract_facts.shown(tenant=tenant, label=month.period.label, now=moment),
        "coming": contract_facts.coming(tenant=tenant, now=moment),
        "form": MonthForm(today=month.period.label),
        "today": localdate(),
    }
    return render_page(request, "invoices.html", context)


@require_POST
@tenant_page(Permission.CLOSE_PERIOD)
def draft_invoice(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Draft a month, or build its draft anew."""
    month = str(request.POST.get("month", ""))[:20]
    try:
        invoice = closing.draft_month(tenant=tenant, month=month, actor=request.user, now=now())
    except (InvoiceProblem, PeriodProblem) as problem:
        messages.error(request, str(problem))
        return redirect("invoices", tenant.slug)
    return redirect("invoice", tenant.slug, invoice.pk)


@require_safe
@tenant_page(Permission.SEE_INVOICES)
def invoice(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponse:
    """One invoice with its lines."""
    shown = _invoice(tenant, invoice_id)
    lines = list(shown.lines.select_related("charge").order_by("position"))
    variants = invoice_lines.variants_of(line.price_id for line in lines)
    context = {
        "invoice": shown,
        "lines": [(_counted(line, variants), _how(line), line) for line in lines],
        "running": shown.period_end_at > now(),
        "evidence": shown.snapshot.get("evidence"),
        "facts": invoice_facts.of(shown),
        "payments": payment_reports.on_invoice(shown),
        "unpaid": dues.unpaid(shown) if shown.status in dues.OWED else 0,
        "bank": paying.bank_account(purpose=shown.number or ""),
        "cards": paying.cards_taken(),
        "today": localdate(),
    }
    return render_page(request, "invoice.html", context)


@require_POST
@tenant_page(Permission.CLOSE_PERIOD)
def dispute_invoice(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponse:
    """Say that something is wrong with an invoice, or that it is settled."""
    shown = _invoice(tenant, invoice_id)
    over = request.POST.get("over") == "1"
    reason = str(request.POST.get("reason", ""))[:300]
    act = closing.settle_dispute if over else closing.dispute
    try:
        act(invoice=shown, reason=reason, actor=request.user, now=now())
    except InvoiceProblem as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, "Noted. Reminders go on." if over else "Noted. There are no reminders meanwhile.")
    return redirect("invoice", tenant.slug, shown.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.CLOSE_PERIOD)
def finalise_invoice(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponse:
    """Give a draft its number, after asking."""
    shown = _invoice(tenant, invoice_id)
    problem = ""
    if request.method == "POST":
        try:
            done = closing.finalise(invoice=shown, actor=request.user, now=now())
        except InvoiceProblem as refused:
            problem = str(refused)
        else:
            if done.number:
                messages.success(request, f"Invoice {done.number} is final.")
            return redirect("invoice", tenant.slug, done.pk)
    context = {"invoice": shown, "problem": problem, "running": shown.period_end_at > now()}
    return render_page(request, "invoice_finalise.html", context, status=422 if problem else 200)


@require_POST
@tenant_page(Permission.CLOSE_PERIOD)
def discard_invoice(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponse:
    """Take a draft back."""
    try:
        closing.discard(invoice=_invoice(tenant, invoice_id), actor=request.user, now=now())
    except InvoiceProblem as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, "The draft is gone; its calls wait for the next one.")
    return redirect("invoices", tenant.slug)


@require_safe
@tenant_page(Permission.SEE_INVOICES)
def invoice_document(request: TenantRequest, tenant: Tenant, invoice_id: int) -> HttpResponse:
    """The PDF."""
    shown = _invoice(tenant, invoice_id)
    answer = HttpResponse(invoice_pdf.render(shown), content_type="application/pdf")
    name = shown.number or f"draft-{shown.period_label}"
    answer["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
    answer["Cache-Control"] = "no-store"
    return answer


def _counted(line: InvoiceLine, variants: dict[int, str]) -> str:
    """The token class, and the conditions of its price."""
    if line.description:
        return line.description
    words = CLASS_WORDS.get(line.token_class, line.token_class)
    return f"{words}, {variants[line.price_id]}" if line.price_id in variants else words


def _how(line: InvoiceLine) -> list[str]:
    """How the amount of a charge came about."""
    return contract_facts.how(line.charge.detail) if line.charge else []


def _invoice(tenant: Tenant, invoice_id: int) -> Invoice:
    return one(Invoice.objects.filter(tenant=tenant, pk=invoice_id).select_related("tenant"))
