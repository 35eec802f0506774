"""Invoices from draft to finalised: writes Invoice, InvoiceLine, InvoiceTax and InvoicedTransfer.

A draft claims the tenant's usage transfers that are on no other invoice, up to the end of its month, and is rebuilt at
will. Finalising changes no amount: it posts the invoice to the ledger, takes the snapshot and gives the number.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from billing import evidence, exchange, invoice_lines, invoice_posting, invoice_series, taxes
from billing.evidence import EvidenceProblem
from billing.exchange import ExchangeProblem
from billing.invoice_lines import LineProblem
from billing.invoice_series import Issue
from billing.models import Invoice, InvoicedTransfer, InvoiceLine, InvoiceTax, Wallet
from billing.money import format_minor
from billing.parties import Tenant
from billing.periods import month as month_period
from billing.taxes import TaxProblem, Treatment
from billing.webhooks import messages

ONE_BILLER = 7_002
"""First half of the advisory lock under which one tenant's invoices are made, one after the other."""
WRITTEN = (
    "exact", "subtotal", "tax", "total", "usd_total", "parked_reason", "currency", "language", "rate_numerator",
    "rate_denominator", "rate_on", "rate_source",
)  # fmt: skip


class InvoiceProblem(Exception):
    """An invoice that cannot be made, in words for a finance person."""


class CarriedOver(InvoiceProblem):
    """More is given back than was used: no invoice says so by itself, the next one takes it in."""


@transaction.atomic
def draft(*, tenant: Tenant, month: str, now: datetime) -> Invoice:
    """The draft of a month (``2026-11`` in the tenant's time zone), built anew from what is posted and not invoiced.

    Usage of earlier months that came late is on it under its own month. What stands on drafts of later months is taken
    from them, and drafts in a time zone the tenant has left, or of earlier months that only give back, are taken back:
    they would keep it from every invoice.
    Raises PeriodProblem for a text that is no month, InvoiceProblem for a month that has not begun or a currency
    nothing is priced in.
    """
    period = month_period(month, tenant.timezone, tenant.billing_anchor_day)
    if period.end is None or period.start > now:
        raise InvoiceProblem(f"{month} has not begun in {tenant.timezone}.")
    lock(tenant.id)
    _drafts(tenant.id).exclude(timezone=tenant.timezone, anchor_day=tenant.billing_anchor_day).delete()
    _drafts(tenant.id).filter(total__lt=0, period_end_at__lte=period.start).delete()
    invoice, _made = Invoice.objects.get_or_create(
        tenant_id=tenant.id,
        period_start_at=period.start,
        status=Invoice.Status.DRAFT,
        kind=Invoice.Kind.INVOICE,
        defaults={
            "period_label": period.label,
            "period_end_at": period.end,
            "timezone": tenant.timezone,
            "anchor_day": tenant.billing_anchor_day,
            "currency": tenant.currency,
            "created_at": now,
        },
    )
    later = _take_back(invoice)
    _claim(invoice)
    for each in (*later, invoice):
        _fill(each, tenant, now)
    return invoice


@transaction.atomic
def finalise(*, invoice: Invoice, now: datetime) -> Invoice:
    """Give a draft its number and make it immutable, exactly as the draft reads. Doing it again changes nothing.

    The number is taken last, before the message that tells of it alone: call this last in your transaction, and
    numbers stay gapless without holding up other tenants. Raises InvoiceProblem if there is nothing on the draft or its
    sums disagree, CarriedOver if its total is negative: discarded, its lines are on the next invoice.
    """
    lock(invoice.tenant_id)
    invoice = reread(invoice)
    if invoice.status != Invoice.Status.DRAFT:
        return invoice
    if not invoice.lines.exists():
        if invoice.parked_reason:
            raise InvoiceProblem(invoice.parked_reason)
        raise InvoiceProblem(f"Nothing was used in {invoice.period_label}: there is nothing to invoice.")
    if invoice.total < 0:
        amount = f"{format_minor(-invoice.total, invoice.currency)} {invoice.currency}"
        raise CarriedOver(
            f"{amount} are given back in {invoice.period_label}: they are carried over to the next invoice."
        )
    _check_sums(invoice)
    _check_tax(invoice, now)
    prepaid = is_prepaid(invoice.tenant_id)
    settled = prepaid or not invoice.total
    issue = Issue(
        status=Invoice.Status.PAID if settled else Invoice.Status.FINALISED,
        due_on=None if settled else _due_on(invoice, now),
        snapshot={**snapshot_of(invoice), "evidence": seal(invoice=invoice, now=now)},
    )
    invoice_posting.post_invoice(invoice=invoice, prepaid=prepaid, now=now)
    invoice_series.number(invoice=invoice, issue=issue, now=now)
    final = Invoice.objects.get(pk=invoice.pk)
    messages.invoice_finalised(invoice=final, now=now)
    return final


def seal(*, invoice: Invoice, now: datetime) -> dict[str, Any]:
    """What the snapshot says of a draft's evidence pack. Slow for many calls; done before finalising, quick there.

    Raises InvoiceProblem if the rows of the pack do not make up the invoice.
    """
    try:
        return evidence.seal(invoice=invoice, now=now)
    except EvidenceProblem as problem:
        raise InvoiceProblem(str(problem)) from None


def park(*, invoice: Invoice, reason: str) -> Invoice:
    """Leave a draft for a person to look at, with the reason in words."""
    Invoice.objects.filter(pk=invoice.pk, status=Invoice.Status.DRAFT).update(parked_reason=reason[:200])
    invoice.parked_reason = reason[:200]
    return invoice


@transaction.atomic
def discard(*, invoice: Invoice) -> None:
    """Take back a draft; what was on it is on no invoice again. Raises InvoiceProblem if it is none any more."""
    lock(invoice.tenant_id)
    invoice = reread(invoice)
    if invoice.status != Invoice.Status.DRAFT:
        raise InvoiceProblem(f"This invoice is {invoice.status}: it can no longer be discarded.")
    invoice.delete()


def latest_finalised(*, tenant_id: int, month: str) -> Invoice | None:
    """The last numbered invoice of a month, if there is one."""
    found = Invoice.objects.filter(tenant_id=tenant_id, period_label=month, kind=Invoice.Kind.INVOICE)
    found = found.exclude(status=Invoice.Status.DRAFT)
    return found.order_by("-id").first()


def reread(invoice: Invoice) -> Invoice:
    """The invoice as it is now, locked; somebody else may have discarded it."""
    found = Invoice.objects.select_for_update(of=("self",)).select_related("tenant").filter(pk=invoice.pk).first()
    if found is None:
        raise InvoiceProblem(f"The draft of {invoice.period_label} is gone: build it again.")
    return found


def lock(tenant_id: int) -> None:
    """Wait until nobody else makes invoices of this tenant, up to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [ONE_BILLER, tenant_id])


def _drafts(tenant_id: int) -> QuerySet[Invoice]:
    return Invoice.objects.filter(tenant_id=tenant_id, status=Invoice.Status.DRAFT, kind=Invoice.Kind.INVOICE)


def _take_back(invoice: Invoice) -> list[Invoice]:
    """Free this draft's usage from the drafts of later months, which are returned to be filled anew."""
    later = list(_drafts(invoice.tenant_id).filter(period_end_at__gt=invoice.period_end_at))
    InvoicedTransfer.objects.filter(invoice__in=later, transfer__effective_at__lt=invoice.period_end_at).delete()
    return later


def _claim(invoice: Invoice) -> None:
    """Put every transfer of usage up to the period's end that is on no invoice on this draft."""
    InvoicedTransfer.objects.filter(invoice=invoice).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO billing_invoicedtransfer (transfer_id, invoice_id, tenant_id)
            SELECT t.id, %s, t.tenant_id FROM billing_transfer t
            WHERE t.tenant_id = %s AND t.kind IN ('usage', 'adjustment', 'charge') AND t.effective_at < %s
                AND NOT EXISTS (SELECT FROM billing_invoicedtransfer i WHERE i.transfer_id = t.id)""",
            [invoice.pk, invoice.tenant_id, invoice.period_end_at],
        )


def _fill(invoice: Invoice, tenant: Tenant, now: datetime) -> None:
    """Write the lines, taxes and totals of what is claimed, or park the draft empty if they cannot be told.

    The total is the sum of rounded lines and of the tax of each category and rate (EN 16931 BR-CO-10, BR-CO-14).
    """
    invoice.currency, invoice.language, invoice.parked_reason = tenant.currency, tenant.language, ""
    lines: list[InvoiceLine] = []
    try:
        rate = exchange.rate_for(currency=tenant.currency, day=_day(invoice, now))
        treatment = _treatment(tenant, invoice, now)
    except (ExchangeProblem, InvoiceProblem) as problem:
        InvoicedTransfer.objects.filter(invoice=invoice).delete()
        invoice.parked_reason = str(problem)[:200]
    else:
        invoice.rate_numerator, invoice.rate_denominator = rate.numerator, rate.denominator
        invoice.rate_on, invoice.rate_source = rate.day, rate.source
        lines = _lines(invoice, treatment)
    write_totals(invoice, lines)


def _lines(invoice: Invoice, treatment: Treatment) -> list[InvoiceLine]:
    try:
        return invoice_lines.lines_of(invoice, treatment)
    except LineProblem as problem:
        raise InvoiceProblem(f"{problem}.") from None


def write_totals(invoice: Invoice, lines: list[InvoiceLine]) -> None:
    """Store a draft with these lines instead of those it has, their tax per category and rate, and the totals."""
    InvoiceLine.objects.filter(invoice=invoice).delete()
    InvoiceTax.objects.filter(invoice=invoice).delete()
    InvoiceLine.objects.bulk_create(lines, batch_size=1000)
    groups = taxes.groups_of(lines)
    InvoiceTax.objects.bulk_create(
        InvoiceTax(
            invoice=invoice, tenant_id=invoice.tenant_id, category=group.category, rate=group.rate, base=group.base,
            amount=group.amount,
        )
        for group in groups
    )  # fmt: skip
    invoice.exact = sum(int(line.exact) for line in lines)
    invoice.subtotal = sum(line.amount for line in lines)
    invoice.tax = sum(group.amount for group in groups)
    invoice.total = invoice.subtotal + invoice.tax
    invoice.usd_total = exchange.rate_of(invoice).to_usd(invoice.total) if lines else 0
    invoice.save(update_fields=WRITTEN)


def _check_sums(invoice: Invoice) -> None:
    """Lines, totals and ledger must agree before a number is given."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT (SELECT coalesce(sum(exact), 0) FROM billing_invoiceline WHERE invoice_id = %(id)s),
            (SELECT coalesce(sum(amount), 0) FROM billing_invoiceline WHERE invoice_id = %(id)s),
            (SELECT coalesce(sum(amount), 0) FROM billing_invoicetax WHERE invoice_id = %(id)s),
            (SELECT coalesce(sum(e.amount), 0) FROM billing_invoicedtransfer i
                JOIN billing_ledgerentry e ON e.transfer_id = i.transfer_id
                JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind IN ('wallet', 'accrued')
                WHERE i.invoice_id = %(id)s)""",
            {"id": invoice.pk},
        )
        exact, rounded, tax, posted = map(int, cursor.fetchone())
    if not exact == posted == int(invoice.exact) or (rounded, tax) != (invoice.subtotal, invoice.tax):
        raise InvoiceProblem(f"The draft of {invoice.period_label} differs from the ledger; build it again.")


def _check_tax(invoice: Invoice, now: datetime) -> None:
    """What the snapshot will say of the tenant must be what its tax was decided by."""
    treatment = _treatment(invoice.tenant, invoice, now)
    lines = invoice.lines.exclude(tax_category=treatment.category, tax_rate=treatment.rate)
    if lines.exists() or invoice.currency != invoice.tenant.currency:
        raise InvoiceProblem(f"What the tax of {invoice.period_label} depends on has changed: build the draft again.")


def _due_on(invoice: Invoice, now: datetime) -> date:
    """The last day to pay: the tenant's days of payment, or those of the settings, after the day of issue."""
    days = invoice.tenant.payment_days
    issued = now.astimezone(ZoneInfo(invoice.timezone)).date()
    return issued + timedelta(days=settings.PAYMENT_DAYS if days is None else days)


def _treatment(tenant: Tenant, invoice: Invoice, now: datetime) -> Treatment:
    try:
        return taxes.treatment_of(tenant=tenant, day=_day(invoice, now))
    except TaxProblem as problem:
        raise InvoiceProblem(str(problem)) from None


def _day(invoice: Invoice, now: datetime) -> date:
    """The day whose tax and exchange rates hold: the last of the period, or today while it runs."""
    last = min(now, invoice.period_end_at - timedelta(microseconds=1))
    return last.astimezone(ZoneInfo(invoice.timezone)).date()


def is_prepaid(tenant_id: int) -> bool:
    """Whether a tenant's usage is paid from its wallet before it is invoiced."""
    return Wallet.objects.filter(tenant_id=tenant_id, mode=Wallet.Mode.PREPAID).exists()


def taxes_of(invoice: Invoice) -> list[dict[str, object]]:
    """The tax of an invoice per category and rate, for its snapshot: basis points and minor units."""
    rows = invoice.taxes.order_by("category", "rate").values("category", "rate", "base", "amount")
    return [dict(row) for row in rows]


def snapshot_of(invoice: Invoice) -> dict[str, Any]:
    """Everything the document says that could change later, as it is now. Picodollars are texts."""
    tenant = invoice.tenant
    price_ids = set(invoice.lines.values_list("price_id", flat=True))
    return {
        "seller": dict(settings.SELLER),
        "buyer": {
            "name": tenant.name, "slug": tenant.slug, "address": tenant.address, "country": tenant.country,
            "vat_id": tenant.vat_id, "email": tenant.billing_email,
        },
        "mode": Wallet.Mode.PREPAID if is_prepaid(tenant.id) else Wallet.Mode.POSTPAID,
        "language": invoice.language,
        "anchor_day": invoice.anchor_day,
        "taxes": taxes_of(invoice),
        "timezone": invoice.timezone,
        "prices": invoice_lines.prices_of(price_ids),
        "annex": invoice_lines.annex_of(invoice),
    }  # fmt: skip
