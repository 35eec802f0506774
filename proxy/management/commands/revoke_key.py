"""``manage.py revoke_key ID``: refuse an API key from now on."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from portal import api_keys
from portal.key_format import PREFIX
from portal.models import ApiKey


class Command(BaseCommand):
    """Exit status 1 if there is no such key. Revoking twice is no error."""

    help = "Revoke an API key by its id, the 12 characters after sk-tg-."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id")
        parser.add_argument("--cut-streams", action="store_true", help="also end answers that are being streamed")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        public_id = options["id"].removeprefix(PREFIX)[:12]
        key = ApiKey.objects.filter(public_id=public_id).select_related("tenant").first()
        if key is None:
            raise CommandError(f"There is no key with the id “{public_id}”.")
        changed = api_keys.revoke(key=key, actor=None, now=now(), cut_streams=options["cut_streams"])
        if options["json"]:
            at = key.revoked_at.isoformat() if key.revoked_at else None
            self.stdout.write(json.dumps({"id": key.public_id, "revoked_at": at, "changed": changed}))
        else:
            self.stdout.write(f"{key} is revoked." if changed else f"{key} was revoked before.")
