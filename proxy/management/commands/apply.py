"""``manage.py apply FILE.toml [--dry-run]``: upstreams, models, prices, tenants, projects and budgets as code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from proxy.apply import document, run
from proxy.apply.changes import ApplyProblem


class Command(BaseCommand):
    """Exit status 1 with one line per problem, and nothing changed; else what changed."""

    help = "Make upstreams, models, aliases, routes, prices, tenants, projects and budgets like a file. Idempotent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path}: {error}") from None
        try:
            lines = run.apply(document.parse(text, path.name), now=now(), dry_run=options["dry_run"])
        except (document.DocumentProblem, ApplyProblem) as problem:
            raise CommandError(str(problem)) from None
        for line in lines:
            self.stdout.write(line)
        if all(line.startswith("!") for line in lines):
            self.stdout.write("= nothing to change")
        if options["dry_run"]:
            self.stderr.write("Dry run: nothing was changed.")
