"""``manage.py check_books``: A = B = C = D to the last picodollar, or a table of differences and exit status 1."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from billing import books, books_history, parties
from billing.money import usd


class Command(BaseCommand):
    """Checks the books of everyone, or of one tenant."""

    help = "Check that events, roll-ups, ledger and invoices agree; exit status 1 on any difference."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="slug of the only tenant to check")
        parser.add_argument("--json", action="store_true", help="print sums and differences as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant_id = parties.tenant_by_slug(options["tenant"]).id if options["tenant"] else None
        except parties.UnknownTenant as problem:
            raise CommandError(str(problem), returncode=2) from None
        report = books_history.run(now=now(), tenant_id=tenant_id)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2))
        else:
            self._print(report)
        if not report.balanced:
            raise SystemExit(1)

    def _print(self, report: books.Report) -> None:
        self.stdout.write(f"{'tenant':>8}  {'period':7}  {'USD':>22}")
        for row in report.sums:
            mark = "" if row.agree else "  differs"
            self.stdout.write(f"{row.tenant_id:>8}  {row.period:7}  {usd(row.a_events):>22}{mark}")
        for found in report.differences:
            self.stdout.write(
                f"difference: {found.check}: tenant {found.tenant_id}, {found.what}: "
                f"expected {found.expected}, found {found.found}"
            )
        count = len(report.differences)
        self.stdout.write(
            "The books balance." if report.balanced else f"The books do not balance: {count} differences."
        )
