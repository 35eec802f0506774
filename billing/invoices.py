"""Invoices from draft to finalised: the only writer of Invoice, InvoiceLine, InvoicedTransfer and InvoiceSeries.

A draft claims the tenant's usage transfers that are on no other invoice, up to the end of its month, and is rebuilt at
will. Finalising changes no amount: it posts the invoice to the ledger, takes the snapshot and gives the number.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from billing import invoice_lines, ledger
from billing.invoice_lines import LineProblem
from billing.ledger import Entry, Movement
from billing.models import Invoice, InvoicedTransfer, InvoiceLine, LedgerAccount, Transfer, Wallet
from billing.money import MoneyProblem, format_minor, minor_digits, minor_to_pico
from billing.parties import Tenant
from billing.periods import month as month_period

SERIES = "INV"
ONE_BILLER = 7_002
"""First half of the advisory lock under which one tenant's invoices are made, one after the other."""

PRICED_IN = "USD"


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
    period = month_period(month, tenant.timezone)
    if period.end is None or period.start > now:
        raise InvoiceProblem(f"{month} has not begun in {tenant.timezone}.")
    _check_currency(tenant.currency)
    _lock(tenant.id)
    _drafts(tenant.id).exclude(timezone=tenant.timezone).delete()
    _drafts(tenant.id).filter(total__lt=0, period_end_at__lte=period.start).delete()
    invoice, _made = Invoice.objects.get_or_create(
        tenant_id=tenant.id,
        period_start_at=period.start,
        status=Invoice.Status.DRAFT,
        defaults={
            "period_label": period.label,
            "period_end_at": period.end,
            "timezone": tenant.timezone,
            "currency": tenant.currency,
            "created_at": now,
        },
    )
    later = _take_back(invoice)
    _claim(invoice)
    for each in (*later, invoice):
        _fill(each)
    return invoice


@transaction.atomic
def finalise(*, invoice: Invoice, now: datetime) -> Invoice:
    """Give a draft its number and make it immutable, exactly as the draft reads. Doing it again changes nothing.

    The number is taken in the last statement: call this last in your transaction, and numbers stay gapless without
    holding up other tenants. Raises InvoiceProblem if there is nothing on the draft or its sums disagree, CarriedOver
    if its total is negative: discarded, its lines are on the next invoice.
    """
    _lock(invoice.tenant_id)
    invoice = _reread(invoice)
    if invoice.status != Invoice.Status.DRAFT:
        return invoice
    if not invoice.lines.exists():
        raise InvoiceProblem(f"Nothing was used in {invoice.period_label}: there is nothing to invoice.")
    if invoice.total < 0:
        amount = f"{format_minor(-invoice.total, invoice.currency)} {invoice.currency}"
        raise CarriedOver(
            f"{amount} are given back in {invoice.period_label}: they are carried over to the next invoice."
        )
    _check_sums(invoice)
    snapshot = snapshot_of(invoice)
    _post(invoice, now)
    _number(invoice, snapshot, now)
    return Invoice.objects.get(pk=invoice.pk)


def park(*, invoice: Invoice, reason: str) -> Invoice:
    """Leave a draft for a person to look at, with the reason in words."""
    Invoice.objects.filter(pk=invoice.pk, status=Invoice.Status.DRAFT).update(parked_reason=reason[:200])
    invoice.parked_reason = reason[:200]
    return invoice


@transaction.atomic
def discard(*, invoice: Invoice) -> None:
    """Take back a draft; what was on it is on no invoice again. Raises InvoiceProblem if it is none any more."""
    _lock(invoice.tenant_id)
    invoice = _reread(invoice)
    if invoice.status != Invoice.Status.DRAFT:
        raise InvoiceProblem(f"This invoice is {invoice.status}: it can no longer be discarded.")
    invoice.delete()


def latest_finalised(*, tenant_id: int, month: str) -> Invoice | None:
    """The last numbered invoice of a month, if there is one."""
    found = Invoice.objects.filter(tenant_id=tenant_id, period_label=month).exclude(status=Invoice.Status.DRAFT)
    return found.order_by("-id").first()


def _reread(invoice: Invoice) -> Invoice:
    """The invoice as it is now, locked; somebody else may have discarded it."""
    found = Invoice.objects.select_for_update(of=("self",)).select_related("tenant").filter(pk=invoice.pk).first()
    if found is None:
        raise InvoiceProblem(f"The draft of {invoice.period_label} is gone: build it again.")
    return found


def _lock(tenant_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [ONE_BILLER, tenant_id])


def _check_currency(currency: str) -> None:
    try:
        minor_digits(currency)
    except MoneyProblem as problem:
        raise InvoiceProblem(f"{problem}.") from None
    if currency != PRICED_IN:
        raise InvoiceProblem(f"Prices are in {PRICED_IN}; an invoice in {currency} needs a rate, and there is none.")


def _drafts(tenant_id: int) -> QuerySet[Invoice]:
    return Invoice.objects.filter(tenant_id=tenant_id, status=Invoice.Status.DRAFT)


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


def _fill(invoice: Invoice) -> None:
    """Write the lines and totals of what is claimed. The total is the sum of rounded lines (EN 16931 BR-CO-10)."""
    InvoiceLine.objects.filter(invoice=invoice).delete()
    try:
        lines = invoice_lines.lines_of(invoice)
    except LineProblem as problem:
        raise InvoiceProblem(f"{problem}.") from None
    InvoiceLine.objects.bulk_create(lines, batch_size=1000)
    invoice.exact = sum(int(line.exact) for line in lines)
    invoice.subtotal = sum(line.amount for line in lines)
    invoice.tax = 0
    invoice.total = invoice.subtotal + invoice.tax
    invoice.parked_reason = ""
    invoice.save(update_fields=["exact", "subtotal", "tax", "total", "parked_reason"])


def _check_sums(invoice: Invoice) -> None:
    """Lines, totals and ledger must agree before a number is given."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT (SELECT coalesce(sum(exact), 0) FROM billing_invoiceline WHERE invoice_id = %(id)s),
            (SELECT coalesce(sum(amount), 0) FROM billing_invoiceline WHERE invoice_id = %(id)s),
            (SELECT coalesce(sum(e.amount), 0) FROM billing_invoicedtransfer i
                JOIN billing_ledgerentry e ON e.transfer_id = i.transfer_id
                JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind IN ('wallet', 'accrued')
                WHERE i.invoice_id = %(id)s)""",
            {"id": invoice.pk},
        )
        exact, rounded, posted = map(int, cursor.fetchone())
    if not exact == posted == int(invoice.exact) or rounded != invoice.total:
        raise InvoiceProblem(f"The draft of {invoice.period_label} differs from the ledger; build it again.")


def _mode(tenant_id: int) -> str:
    wallet = Wallet.objects.filter(tenant_id=tenant_id).first()
    return wallet.mode if wallet else Wallet.Mode.POSTPAID


def _post(invoice: Invoice, now: datetime) -> None:
    """Move what is owed to the books: exact out of ``accrued``, rounded into ``receivable``, the rest to ``rounding``.

    Prepaid usage has left the wallet already; the wallet bears the rounding alone.
    """
    kinds = LedgerAccount.Kind
    rounded = minor_to_pico(invoice.total, invoice.currency)
    rounding = rounded - int(invoice.exact)
    entries: tuple[Entry, ...]
    if _mode(invoice.tenant_id) == Wallet.Mode.PREPAID:
        entries = (Entry(kinds.WALLET, rounding), Entry(kinds.ROUNDING, -rounding))
    else:
        entries = (
            Entry(kinds.ACCRUED, -int(invoice.exact)),
            Entry(kinds.RECEIVABLE, rounded),
            Entry(kinds.ROUNDING, -rounding),
        )
    movement = Movement(Transfer.Kind.INVOICE, f"invoice:{invoice.pk}", now, entries)
    ledger.post(tenant=invoice.tenant, movement=movement, now=now)
    with connection.cursor() as cursor:
        cursor.execute("SELECT charge_wallet(%s, %s)", [invoice.tenant_id, rounding])


def snapshot_of(invoice: Invoice) -> dict[str, Any]:
    """Everything the document says that could change later, as it is now. Picodollars are texts."""
    tenant = invoice.tenant
    price_ids = set(invoice.lines.values_list("price_id", flat=True))
    return {
        "seller": dict(settings.SELLER),
        "buyer": {"name": tenant.name, "slug": tenant.slug, "address": tenant.address},
        "mode": _mode(tenant.id),
        "timezone": invoice.timezone,
        "prices": invoice_lines.prices_of(price_ids),
        "annex": invoice_lines.annex_of(invoice),
    }


def _number(invoice: Invoice, snapshot: dict[str, object], now: datetime) -> None:
    """The next number of the series and year: a sequence would leave gaps, MAX + 1 would give a number twice."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH given AS (
                INSERT INTO billing_invoiceseries AS s (series, year, last_number) VALUES (%s, %s, 1)
                ON CONFLICT (series, year) DO UPDATE SET last_number = s.last_number + 1
                RETURNING series, year, last_number)
            UPDATE billing_invoice SET status = 'finalised', finalised_at = %s, snapshot = %s, parked_reason = '',
                number = series || '-' || year || '-' ||
                    lpad(last_number::text, greatest(5, length(last_number::text)), '0')
            FROM given WHERE id = %s""",
            [SERIES, now.astimezone(UTC).year, now, json.dumps(snapshot), invoice.pk],
        )
