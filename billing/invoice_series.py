"""The numbers of invoices and credit notes: one series each, per year, without gap or twin. Writes InvoiceSeries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection

from billing.models import Invoice

INVOICES, CREDIT_NOTES = "INV", "CN"


@dataclass(frozen=True, slots=True)
class Issue:
    """How a draft becomes final: its status from then on, its last day to pay, and everything it says."""

    status: str
    due_on: date | None
    snapshot: dict[str, Any]


def number(*, invoice: Invoice, issue: Issue, now: datetime) -> None:
    """The next number of the series and year: a sequence would leave gaps, MAX + 1 would give a number twice.

    One statement, to be the last of its transaction: the row of the series is locked until the commit.
    """
    series = CREDIT_NOTES if invoice.kind == Invoice.Kind.CREDIT_NOTE else INVOICES
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH given AS (
                INSERT INTO billing_invoiceseries AS s (series, year, last_number) VALUES (%s, %s, 1)
                ON CONFLICT (series, year) DO UPDATE SET last_number = s.last_number + 1
                RETURNING series, year, last_number)
            UPDATE billing_invoice SET status = %s, finalised_at = %s, due_on = %s, snapshot = %s, parked_reason = '',
                number = series || '-' || year || '-' ||
                    lpad(last_number::text, greatest(5, length(last_number::text)), '0')
            FROM given WHERE id = %s""",
            [
                series, now.astimezone(UTC).year, issue.status, now, issue.due_on, json.dumps(issue.snapshot),
                invoice.pk,
            ],
        )  # fmt: skip
