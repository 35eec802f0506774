"""Running management commands as manage.py does: as the operator."""

from __future__ import annotations

import io

from django.core.management import call_command

from portal.tenancy import as_operator


def run(name: str, *arguments: str, **options: object) -> str:
    """What the command printed; raises CommandError or SystemExit as it does."""
    printed = io.StringIO()
    with as_operator():
        call_command(name, *arguments, stdout=printed, stderr=io.StringIO(), **options)
    return printed.getvalue()
