"""``manage.py error_reference``: every error of the API as Markdown, for docs/guide/errors.md."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from proxy import error_table


class Command(BaseCommand):
    """Print the errors."""

    help = "Print the errors of the API as Markdown."

    def handle(self, *args: Any, **options: Any) -> None:
        """Line by line."""
        for line in error_table.markdown():
            self.stdout.write(line)
