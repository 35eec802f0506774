"""``manage.py reconcile FILE --upstream NAME``: a provider's report against our calls, by day and model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from billing.money import usd
from billing.reconciliation import comparison, reports
from billing.reconciliation.formats import MOST_BYTES
from billing.reconciliation.values import ReportProblem


class Command(BaseCommand):
    """Takes a report in, once, and compares it."""

    help = "Compare a usage or cost export of OpenAI or Anthropic with our calls; exit status 1 on any difference."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="JSON pages of the provider's API, or the CSV of its console")
        parser.add_argument("--upstream", required=True, help="name of the upstream that the file is about")
        parser.add_argument("--tolerance", type=int, default=0, help="basis points that may differ (100 is 1 %%)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["file"].open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            report, is_new = reports.take_in(
                upstream=options["upstream"], file_name=options["file"].name, content=content, now=now(),
                tolerance=options["tolerance"],
            )  # fmt: skip
        except OSError as problem:
            raise CommandError(f"{options['file']}: {problem.strerror}.", returncode=2) from None
        except ReportProblem as problem:
            raise CommandError(str(problem), returncode=2) from None
        self.stdout.write(f"{report}{'' if is_new else ' (taken in before)'}")
        lines = comparison.compare(report)
        for line in lines:
            self._print(line)
        apart = sum(not line.agrees for line in lines)
        self.stdout.write(f"{len(lines)} days and models, {apart} differ.")
        if apart:
            raise SystemExit(1)

    def _print(self, line: comparison.Line) -> None:
        self.stdout.write(f"{line.day} {line.model}: {'agrees' if line.agrees else 'differs'}")
        for pair in line.pairs:
            if not pair.agrees:
                show = usd if pair.name == "cost" else str
                self.stdout.write(f"    {pair.name}: theirs {show(pair.theirs or 0)}, ours {show(pair.ours or 0)}")
        for cause in line.causes:
            self.stdout.write(f"    {cause}")
