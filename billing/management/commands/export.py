"""``manage.py export``: what a tenant used and owes, or the operator's revenue, as a CSV or Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import parties, revenue
from billing.exports import files, revenue_months
from billing.exports.columns import Column
from billing.exports.kinds import EXPORTS
from billing.exports.span import Row, Span
from billing.periods import PeriodProblem, month
from billing.revenue import RevenueProblem

REVENUE = "revenue"


class Command(BaseCommand):
    """Writes the file whole or not at all: it is renamed into its place at the end."""

    help = (
        "Export " + "; ".join(f"{export.name}: {export.about}" for export in EXPORTS.values())
        + f"; {REVENUE}: what was earned by month, of everybody or one tenant, from the ledger."
    )  # fmt: skip

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=sorted((*EXPORTS, REVENUE)))
        parser.add_argument("file", type=Path, help="ends in .csv or .parquet")
        parser.add_argument("--tenant", help=f"slug of the tenant; {REVENUE} is of all without it")
        parser.add_argument("--from", dest="first", required=True, metavar="YYYY-MM", help="the first month")
        parser.add_argument("--to", dest="last", metavar="YYYY-MM", help="the last month; else the first alone")
        parser.add_argument(
            "--basis", choices=sorted(revenue.BASES), default="effective",
            help=f"{REVENUE} by the month in which it counts, or in which it was written",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if path.suffix not in (".csv", ".parquet"):
            raise CommandError(f"{path.name}: the file ends in .csv or .parquet.", returncode=2)
        try:
            columns, found = self._asked(options)
        except (parties.UnknownTenant, PeriodProblem, RevenueProblem) as problem:
            raise CommandError(f"{problem}", returncode=2) from None
        unfinished = path.with_name(f".{path.name}.part")
        try:
            with unfinished.open("wb") as target:
                if path.suffix == ".parquet":
                    files.write_parquet(target, columns, self._counted(found))
                else:
                    target.writelines(files.csv_parts(columns, self._counted(found)))
                target.flush()
                os.fsync(target.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self.stderr.write("")
        self.stdout.write(str(path))

    def _asked(self, options: dict[str, Any]) -> tuple[Sequence[Column], Iterator[list[Row]]]:
        """The columns and the pages of rows."""
        last_label = options["last"] or options["first"]
        tenant = parties.tenant_by_slug(options["tenant"]) if options["tenant"] else None
        if options["kind"] == REVENUE:
            since, until = revenue.month_start(options["first"]), revenue.month_after(revenue.month_start(last_label))
            columns, rows = revenue_months.table(
                first=since, until=until, basis=options["basis"], tenant_id=tenant.id if tenant else None
            )
            return columns, iter([rows])
        if tenant is None:
            raise parties.UnknownTenant("Name the organisation: --tenant slug.")
        first, last = month(options["first"], tenant.timezone), month(last_label, tenant.timezone)
        if last.start < first.start:
            raise PeriodProblem(f"{last.label} is before {first.label}.")
        export = EXPORTS[options["kind"]]
        return export.columns, export.pages(Span.of(tenant, first, last))

    def _counted(self, found: Iterator[list[Row]]) -> Iterator[list[Row]]:
        """The pages, with what is written so far shown beside them."""
        total = 0
        for page in found:
            yield page
            total += len(page)
            self.stderr.write(f"\r{total:,} rows", ending="")
            self.stderr.flush()
