#!/usr/bin/env python
"""Runs a management command, as the database role that command needs."""

from __future__ import annotations

import os
import sys

OWNER_COMMANDS = {"migrate", "makemigrations", "sqlmigrate", "showmigrations", "flush", "dbshell"}


def main() -> None:
    """Commands act for the operator; those that shape the schema act as its owner."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    os.environ.setdefault("TOLLGATE_ROLE", "owner" if command in OWNER_COMMANDS else "operator")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, connection

    from portal.environment import EnvironmentProblem

    try:
        execute_from_command_line(sys.argv)
    except EnvironmentProblem as problem:
        sys.exit(str(problem))
    except OperationalError as error:
        if connection.connection is not None:
            raise
        told = str(error).splitlines()[0]
        sys.exit(f"PostgreSQL cannot be reached: {told}. Start it (make up), or correct DATABASE_URL.")


if __name__ == "__main__":
    main()
