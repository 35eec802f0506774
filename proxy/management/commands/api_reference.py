"""``manage.py api_reference``: parameters as Markdown, for docs/parameters.md, or rules, for docs/operating.md."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from proxy import reference


class Command(BaseCommand):
    """Print the reference."""

    help = "Print the reference of the API's parameters as Markdown."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rules", action="store_true", help="the rules of upstreams and models instead")

    def handle(self, *args: Any, **options: Any) -> None:
        """Line by line."""
        for line in reference.rules_markdown() if options["rules"] else reference.markdown():
            self.stdout.write(line)
