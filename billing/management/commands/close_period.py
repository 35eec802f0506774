"""``manage.py close_period``: post what is settled, then the draft or the finalised invoice of a tenant's month."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from billing import closing, parties
from billing.invoices import InvoiceProblem
from billing.models import Invoice
from billing.money import format_minor, usd
from billing.periods import PeriodProblem


class Command(BaseCommand):
    """Closes a month of one tenant."""

    help = "Draft the invoice of a tenant's month; with --finalise, number it and make it immutable."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug of the tenant")
        parser.add_argument("--month", required=True, help="month in the tenant's time zone, such as 2026-11")
        parser.add_argument("--finalise", action="store_true", help="give it a number; what is used later comes next")
        parser.add_argument("--json", action="store_true", help="print number, total and lines as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = parties.tenant_by_slug(options["tenant"])
            invoice = closing.close(tenant=tenant, month=options["month"], now=now(), finalise=options["finalise"])
        except (parties.UnknownTenant, PeriodProblem, InvoiceProblem) as problem:
            raise CommandError(str(problem)) from None
        if options["json"]:
            self.stdout.write(json.dumps(as_json(invoice), indent=2))
        else:
            total = f"{format_minor(invoice.total, invoice.currency)} {invoice.currency}"
            self.stdout.write(f"{invoice}: {total} in {invoice.lines.count()} lines ({invoice.status})")
        if invoice.parked_reason:
            raise CommandError(f"The invoice is parked. {invoice.parked_reason} See check_books.")


def as_json(invoice: Invoice) -> dict[str, Any]:
    """An invoice as plain values: rounded amounts in ``currency``, exact ones in USD; both as texts."""
    return {
        "id": invoice.pk,
        "number": invoice.number,
        "status": invoice.status,
        "period": invoice.period_label,
        "period_start": invoice.period_start_at.isoformat(),
        "period_end": invoice.period_end_at.isoformat(),
        "timezone": invoice.timezone,
        "currency": invoice.currency,
        "total": format_minor(invoice.total, invoice.currency),
        "exact": usd(int(invoice.exact)),
        "lines": [
            {
                "period": line.period_label,
                "model": line.model,
                "token_class": line.token_class,
                "price_id": line.price_id,
                "quantity": line.quantity,
                "unit_price": usd(line.unit_price if line.token_class.startswith("per_") else line.unit_price * 10**6),
                "exact": usd(int(line.exact)),
                "amount": format_minor(line.amount, invoice.currency),
            }
            for line in invoice.lines.order_by("position")
        ],
    }
