"""``manage.py doctor``: is this installation in order? Each line is ok, or says what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from proxy.doctor import database, row_security, surroundings
from proxy.doctor.finding import Check, Finding, wrong

NEED_NOTHING: tuple[Check, ...] = (surroundings.versions, surroundings.secrets)
NEED_DATABASE: tuple[Check, ...] = (
    row_security.roles,
    row_security.tables,
    surroundings.stored_credentials,
    database.partitions,
    database.journal,
)
NEED_OTHERS: tuple[Check, ...] = (surroundings.redis_server, surroundings.clocks)


class Command(BaseCommand):
    """Exit status 1 if anything is wrong."""

    help = "Check database, Redis, row-level security, secrets, clocks, upstreams and versions."
    requires_system_checks: list[str] = []  # it must also run where nothing else does

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--skip-upstreams", action="store_true", help="call no upstream")

    def handle(self, *args: Any, **options: Any) -> None:
        failed = False
        for finding in _findings(skip_upstreams=options["skip_upstreams"]):
            failed = failed or not finding.good
            self.stdout.write(str(finding))
        if failed:
            sys.exit(1)


def _findings(*, skip_upstreams: bool) -> Iterator[Finding]:
    for check in NEED_NOTHING:
        yield from check()
    reached = list(database.server())
    yield from reached
    for check in NEED_OTHERS:
        yield from check()
    if not reached[0].good:
        return
    upstreams: tuple[Check, ...] = () if skip_upstreams else (surroundings.upstreams,)
    for check in (*NEED_DATABASE, *upstreams):
        try:
            yield from check()
        except DatabaseError as error:
            yield wrong(f"{check.__name__}: {str(error).splitlines()[0]}: run manage.py migrate.")
