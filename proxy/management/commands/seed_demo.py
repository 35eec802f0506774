"""``manage.py seed_demo``: a tenant, a user, a key and the sandbox's models, so that the first call works at once."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils.timezone import now

from proxy.apply.changes import ApplyProblem
from proxy.demo import offers, tenant


class Command(BaseCommand):
    """Prints one line of JSON with ``--json``, else the same in words."""

    help = "Make the demo tenant, its user and key, and the models of the sandbox. Idempotent: keeps what is there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sandbox-url", required=True, help="where the sandbox upstream listens")
        parser.add_argument("--renew", action="store_true", help="set a new password and make another key")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        moment = now()
        try:
            with transaction.atomic():
                offers.offer(sandbox_url=options["sandbox_url"], now=moment)
                made = tenant.ensure(now=moment, renew=options["renew"])
        except ApplyProblem as problem:
            raise CommandError(str(problem)) from None
        told = {
            "api_key": made.api_key,
            "model": offers.FIRST_MODEL,
            "email": tenant.EMAIL,
            "password": made.password,
            "tenant": tenant.SLUG,
        }
        if options["json"]:
            self.stdout.write(json.dumps(told))
            return
        for name, value in told.items():
            self.stdout.write(f"{name}: {value or 'unchanged'}")
