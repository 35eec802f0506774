"""``manage.py export``: a tenant's calls, usage, ledger or invoices of some months as a CSV or Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import parties
from billing.exports import files
from billing.exports.kinds import EXPORTS
from billing.exports.span import Row, Span
from billing.periods import PeriodProblem, month


class Command(BaseCommand):
    """Writes the file whole or not at all: it is renamed into its place at the end."""

    help = "Export " + "; ".join(f"{export.name}: {export.about}" for export in EXPORTS.values()) + "."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=sorted(EXPORTS))
        parser.add_argument("file", type=Path, help="ends in .csv or .parquet")
        parser.add_argument("--tenant", required=True, help="slug of the tenant")
        parser.add_argument("--from", dest="first", required=True, metavar="YYYY-MM", help="the first month")
        parser.add_argument("--to", dest="last", metavar="YYYY-MM", help="the last month; else the first alone")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if path.suffix not in (".csv", ".parquet"):
            raise CommandError(f"{path.name}: the file ends in .csv or .parquet.", returncode=2)
        try:
            tenant = parties.tenant_by_slug(options["tenant"])
            first = month(options["first"], tenant.timezone)
            last = month(options["last"] or options["first"], tenant.timezone)
        except (parties.UnknownTenant, PeriodProblem) as problem:
            raise CommandError(f"{problem}", returncode=2) from None
        if last.start < first.start:
            raise CommandError(f"{last.label} is before {first.label}.", returncode=2)
        export = EXPORTS[options["kind"]]
        found = export.pages(Span.of(tenant, first, last))
        unfinished = path.with_name(f".{path.name}.part")
        try:
            with unfinished.open("wb") as target:
                if path.suffix == ".parquet":
                    files.write_parquet(target, export.columns, self._counted(found))
                else:
                    target.writelines(files.csv_parts(export.columns, self._counted(found)))
                target.flush()
                os.fsync(target.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self.stderr.write("")
        self.stdout.write(str(path))

    def _counted(self, found: Iterator[list[Row]]) -> Iterator[list[Row]]:
        """The pages, with what is written so far shown beside them."""
        total = 0
        for page in found:
            yield page
            total += len(page)
            self.stderr.write(f"\r{total:,} rows", ending="")
            self.stderr.flush()
