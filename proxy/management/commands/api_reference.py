"""``manage.py api_reference``: the reference of parameters as Markdown, for docs/parameters.md."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from proxy import reference


class Command(BaseCommand):
    """Print the reference."""

    help = "Print the reference of the API's parameters as Markdown."

    def handle(self, *args: Any, **options: Any) -> None:
        """Line by line."""
        for line in reference.markdown():
            self.stdout.write(line)
