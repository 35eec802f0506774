"""``manage.py date_guide``: note today as the day of every page of the guide whose text has changed."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.timezone import now

from proxy.guide import pages


class Command(BaseCommand):
    """Write docs/guide/changed.json."""

    help = "Note today as the day of every page of the guide whose text has changed."

    def handle(self, *args: Any, **options: Any) -> None:
        """Keep the day of pages whose hash is the noted one."""
        noted = pages.changed() if pages.CHANGED.exists() else {}
        dated = pages.dated(noted, today=now().date().isoformat())
        pages.CHANGED.write_text(json.dumps(dated, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        self.stdout.write(", ".join(slug for slug in dated if dated[slug] != noted.get(slug)) or "nothing has changed")
