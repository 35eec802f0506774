"""Money of the demonstration: months closed into invoices of every state, credit, vouchers, reports and the books."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from django.db import connection

from billing import (
    balance_alerts,
    books_history,
    charges,
    closing,
    credit_notes,
    credits,
    invoice_states,
    ledger,
    payments,
    posting,
    top_ups,
    vouchers,
)
from billing.charges import Wanted
from billing.grants import Terms
from billing.invoice_events import Said
from billing.models import CreditGrant, Invoice, Payment, TaxRate, UsageRollup
from billing.payments import Ask
from billing.periods import Period
from billing.reconciliation import reports
from portal.models import Tenant
from portal.row_scope import RowScope, entered
from tests.gallery.calendar import CLOSED_AFTER, Calendar
from tests.gallery.people import USD, Cast

SUPPORT = Wanted("other", "support", "Support, gold", 250 * USD)


def close_month(cast: Cast, month: Period, place: int) -> None:
    """Close a month of everyone who pays by invoice; ``place`` counts from the oldest."""
    assert month.end is not None
    moment = month.end + CLOSED_AFTER
    for tenant in (cast.postpaid, cast.doubtful, cast.prepaid):
        if tenant == cast.postpaid:
            charges.bring_to(tenant=tenant, period=month, wanted=SUPPORT, now=moment)
        invoice = closing.close(tenant=tenant, month=month.label, now=moment, finalise=True)
        _go_on(cast, invoice, place, moment)


def _go_on(cast: Cast, invoice: Invoice, place: int, moment: datetime) -> None:
    """What becomes of an invoice in the weeks after."""
    if invoice.tenant_id == cast.postpaid.pk and place == 0:
        _pay(invoice, invoice.total, moment + timedelta(days=9))
    elif invoice.tenant_id == cast.postpaid.pk and place == 2:
        line = invoice.lines.order_by("position")[0]
        said = Said("Operator", "Credit for the outage of the 14th")
        credit_notes.issue(
            invoice=invoice, amounts={line.pk: line.amount // 4}, said=said, now=moment + timedelta(days=2)
        )  # fmt: skip
        dispute = Said("Grace", "We count fewer calls of the support bot")
        invoice_states.dispute(invoice=invoice, said=dispute, now=moment + timedelta(days=3))
    elif invoice.tenant_id == cast.doubtful.pk and place == 0:
        said = Said("Operator", "Issued to the wrong legal entity")
        invoice_states.void(invoice=invoice, said=said, now=moment + timedelta(days=1))
    elif invoice.tenant_id == cast.doubtful.pk and place == 1:
        said = Said("Operator", "The company was wound up")
        invoice_states.write_off(invoice=invoice, said=said, now=moment + timedelta(days=70))


def _pay(invoice: Invoice, amount: int, moment: datetime) -> None:
    """A bank transfer for an invoice, in minor units of its currency."""
    ask = Ask(amount, invoice.currency, Payment.Method.BANK, memo=f"{invoice.number}", received_on=moment.date())
    payments.record(tenant=invoice.tenant, ask=ask, chosen=[invoice], now=moment)


def draft_running(cast: Cast, calendar: Calendar) -> None:
    """A draft of the month that runs, and everything else posted."""
    closing.close(tenant=cast.postpaid, month=calendar.running.label, now=calendar.now, finalise=False)
    posting.post_everything(now=calendar.now)
    credits.consume(cast.prepaid.pk, calendar.now)


def fund(tenant: Tenant, calendar: Calendar) -> str:
    """Top-ups, grants, a voucher, alerts and a rule of a prepaid tenant; returns a code nobody has redeemed."""
    kinds = CreditGrant.Kind
    for place, month in enumerate((*calendar.ended, calendar.running)):
        memo = f"Wire transfer {2041 + 17 * place}"
        ledger.top_up(
            tenant=tenant, amount=40 * USD, key=f"wire-{place}", now=month.start + timedelta(hours=1), memo=memo
        )  # fmt: skip
    began, ends = calendar.began + timedelta(hours=2), calendar.now + timedelta(days=25)
    for terms in (
        Terms(kinds.PROMOTIONAL, 50 * USD, began, expires_at=ends, memo="Welcome"),
        Terms(kinds.GOODWILL, 20 * USD, began, memo="Slow answers in the first week"),
        Terms(kinds.PROMOTIONAL, 15 * USD, began, expires_at=began + timedelta(days=30), memo="Launch"),
    ):
        credits.grant(tenant=tenant, terms=terms, key=f"gallery-{terms.memo}", now=began)
    offer = vouchers.Offer(
        kinds.PROMOTIONAL, 10 * USD, calendar.began, ends, credit_days=90, most_redemptions=100, memo="Meet-up"
    )  # fmt: skip
    (_first, redeemed), (_second, free) = vouchers.make(offer=offer, number=2, now=began)
    vouchers.redeem(tenant=tenant, code=redeemed, now=calendar.running.start + timedelta(days=1))
    balance_alerts.set_thresholds(tenant=tenant, thresholds=[100 * USD, 25 * USD])
    top_ups.set_rule(tenant=tenant, rule=top_ups.Rule(50 * USD, 200 * USD, 4), now=calendar.now)
    return free


def take_in_reports(calendar: Calendar) -> None:
    """A provider's report that agrees but for one day and one model."""
    last = calendar.ended[-1]
    with connection.cursor() as cursor:
        cursor.execute(COUNTED, ["northwind", last.start, last.end])
        rows = cursor.fetchall()
    buckets = [_bucket(place, *row) for place, row in enumerate(rows)]
    content = json.dumps({"object": "page", "data": buckets, "has_more": False}).encode()
    name = f"northwind-usage-{last.label}.json"
    reports.take_in(upstream="northwind", file_name=name, content=content, tolerance=10, now=calendar.now)


def _bucket(place: int, day: datetime, model: str, calls: int, plain: int, cached: int, written: int) -> object:
    """One day and model as OpenAI's usage API says it; one of them with more calls than we know of."""
    starts = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    extra = 3 if place == 4 else 0
    result = {
        "object": "organization.usage.completions.result", "input_tokens": plain + cached + extra * 1_240,
        "output_tokens": written + extra * 310, "input_cached_tokens": cached, "num_model_requests": calls + extra,
        "model": model,
    }  # fmt: skip
    return {"object": "bucket", "start_time": starts, "end_time": starts + 86_400, "results": [result]}


def check_books(cast: Cast, calendar: Calendar) -> tuple[int, int]:
    """Checks of some nights, all green, and a red one at the end; returns the ids of a green one and the red one."""
    TaxRate.objects.filter(source="").update(source="Operator")
    for night in range(6, 0, -1):
        books_history.run(now=calendar.now - timedelta(days=night))
    green = books_history.latest()
    with entered(RowScope("none")):
        row = UsageRollup.objects.filter(tenant_id=cast.doubtful.pk).order_by("-bucket_at")[0]
        UsageRollup.objects.filter(pk=row.pk).update(cost=row.cost + 1_250_000_000)
    books_history.run(now=calendar.now)
    red = books_history.latest()
    assert green is not None
    assert red is not None
    assert (green.differences, red.differences > 0) == (0, True), (green.found, red.found)
    return green.pk, red.pk


COUNTED = """
SELECT (opened_at AT TIME ZONE 'UTC')::date AS day, upstream_model, count(*), sum(input), sum(cache_read),
    sum(completion_tokens)
FROM billing_usageevent WHERE upstream = %s AND state = 'settled' AND opened_at >= %s AND opened_at < %s
GROUP BY 1, 2 ORDER BY 1, 2
"""
