"""``manage.py import_rates FILE``: keep the exchange rates of a file of the European Central Bank, XML or CSV."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.timezone import now

from billing import exchange, rate_files
from billing.exchange import ExchangeProblem
from billing.rate_files import RateFileProblem


class Command(BaseCommand):
    """Rates of days that are there already stay; a different one for such a day stops the whole file."""

    help = "Keep the exchange rates of an ECB file (eurofxref-daily.xml, eurofxref-hist.csv)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Keep them all or none."""
        moment = now()
        try:
            rates = rate_files.read(options["file"].read_bytes())
            with transaction.atomic():
                made = [row for rate in rates if (row := exchange.keep(rate, now=moment))]
        except (OSError, RateFileProblem, ExchangeProblem) as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{len(made)} rates kept, {len(rates) - len(made)} were there.")
