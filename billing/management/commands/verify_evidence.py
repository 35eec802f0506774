"""``manage.py verify_evidence FILE``: whether an evidence pack is the one an invoice was sealed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import evidence, evidence_format
from billing.evidence_format import Tally
from billing.models import Evidence
from billing.money import usd


class Command(BaseCommand):
    """Measures a CSV or Parquet file and looks its hash up among the seals."""

    help = "Check an evidence pack (CSV or Parquet) against the seals of invoices; exit status 1 if it is none of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV or Parquet file, as downloaded")
        parser.add_argument("--invoice", help="number of the invoice it should be of: a difference is then told")

    def handle(self, *args: Any, **options: Any) -> None:
        tally = _measured(options["file"])
        self.stdout.write(f"{tally.rows} rows, {usd(tally.exact)} USD, SHA-256 {tally.sha256}")
        found = evidence.by_hash(tally.sha256)
        wanted = evidence.by_number(options["invoice"]) if options["invoice"] else found
        if wanted is None:
            raise CommandError("No invoice was sealed with these rows.", returncode=1)
        if found is None or found.pk != wanted.pk:
            self._differ(tally, wanted)
            raise CommandError(f"These are not the rows of invoice {wanted.invoice.number}.", returncode=1)
        self.stdout.write(f"They are the rows that invoice {found.invoice.number} was sealed with.")

    def _differ(self, tally: Tally, wanted: Evidence) -> None:
        for name, count in wanted.counts.items():
            if tally.counts()[name] != count:
                self.stdout.write(f"{name}: sealed {count}, found {tally.counts()[name]}")
        if tally.exact != int(wanted.exact):
            self.stdout.write(f"USD: sealed {usd(int(wanted.exact))}, found {usd(tally.exact)}")


def _measured(path: Path) -> Tally:
    try:
        return evidence_format.measure(path)
    except (OSError, ValueError) as problem:
        raise CommandError(f"{path} is no evidence pack: {problem}.", returncode=2) from None
