"""Closing a tenant's month: post what is settled, draft, and finalise when that tenant's books balance."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from billing import (
    books,
    contract_months,
    credit_rounds,
    invoice_doubts,
    invoices,
    posted,
    posting,
    reports,
    terms,
)
from billing.invoices import CarriedOver, InvoiceProblem
from billing.models import Invoice
from billing.parties import Tenant
from billing.periods import Period, last_ended

HOURS_AFTER = timedelta(hours=6)
"""How long after a month's end it is closed: calls admitted in it have ended by then."""

MOST_ROUNDS = 3
"""How often a draft is built anew for usage that was posted meanwhile."""

logger = logging.getLogger(__name__)


class NothingUsed(InvoiceProblem):
    """There is nothing to invoice."""


def close(*, tenant: Tenant, month: str, now: datetime, finalise: bool) -> Invoice:
    """The draft of a month or, with ``finalise``, its invoice; what is used later goes on the next one.

    Closing again when nothing new was used returns the invoice there is. If the tenant's books do not balance, or the
    sum is far above what it was, the draft is parked with the reason, nobody else's. A month that only gives back is on
    the next invoice: CarriedOver.
    Raises InvoiceProblem and PeriodProblem.
    """
    invoice = draft(tenant=tenant, month=month, now=now)
    credit_rounds.use(tenant=tenant, now=now)
    if invoice.parked_reason:
        return invoice
    if not invoice.lines.exists():
        closed = invoices.latest_finalised(tenant_id=tenant.id, month=month)
        if closed or finalise:
            invoices.discard(invoice=invoice)
        if closed:
            return closed
        if finalise:
            raise NothingUsed(f"Nothing was used in {month}: there is nothing to invoice.")
    if not finalise:
        return invoice
    if reason := doubts(invoice):
        return invoices.park(invoice=invoice, reason=reason)
    invoices.seal(invoice=invoice, now=now)
    try:
        return invoices.finalise(invoice=invoice, now=now)
    except CarriedOver:
        invoices.discard(invoice=invoice)
        raise


def draft(*, tenant: Tenant, month: str, now: datetime) -> Invoice:
    """Post what is settled, charge what the tenant's contract makes of it, and draft the month.

    Usage that is posted between the two is on the draft and not in the charges: then both are done again. What comes
    later still is seen by the next draft. Raises InvoiceProblem and PeriodProblem.
    """
    posting.post_everything(now=now, tenant_id=tenant.id)
    terms.apply_until(tenant=tenant, label=month, now=now)
    invoice = invoices.draft(tenant=tenant, month=month, now=now)
    for _round in range(MOST_ROUNDS):
        if not terms.apply_until(tenant=tenant, label=month, now=now):
            break
        invoice = invoices.draft(tenant=tenant, month=month, now=now)
    return invoice


def doubts(invoice: Invoice) -> str:
    """Why a draft should wait for a person, in words; empty if nothing speaks against its number.

    The tenant's books are checked from the first month on that something of is on the draft; the nightly check reads
    what is closed, too.
    """
    differences = books.check(tenant_id=invoice.tenant_id, since=posted.begins(invoice)).differences
    if differences:
        first = differences[0]
        logger.error("books of tenant %s differ: %s", invoice.tenant_id, first)
        return f"The books differ: {first.check} ({first.what})."
    return invoice_doubts.far_above_average(invoice)


def close_ended(*, tenant: Tenant, now: datetime) -> Invoice | None:
    """Close the last month that is over for HOURS_AFTER in the tenant's zone, once: its invoice, parked draft, or None.

    Usage that comes after that goes on the next month's invoice, under its own month.
    """
    period = last_ended(now - HOURS_AFTER, tenant.timezone, tenant.billing_anchor_day)
    if not _is_due(tenant, period):
        return None
    try:
        return close(tenant=tenant, month=period.label, now=now, finalise=True)
    except (NothingUsed, CarriedOver):
        return None
    except InvoiceProblem as problem:
        logger.error("the invoice of tenant %s for %s waits: %s", tenant.id, period.label, problem)
        return None


def _is_due(tenant: Tenant, period: Period) -> bool:
    """Whether a month that is over has no invoice made after its end, and there is something to put on one.

    A month under a contract's minimum has, even where nothing was used.
    """
    made = Invoice.objects.filter(
        tenant_id=tenant.id, kind=Invoice.Kind.INVOICE, period_start_at=period.start, finalised_at__gte=period.end
    )
    if made.exists():
        return False
    end = period.end or period.start
    return reports.has_uninvoiced(tenant_id=tenant.id, until=end) or contract_months.has_minimum(
        tenant_id=tenant.id, start=period.start, end=end
    )
