"""``manage.py probe_routes``: ask routes the fixed prompts now, and say what they answered."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.utils.timezone import now

from proxy import verification
from proxy.models import RouteProbe


class Command(BaseCommand):
    """Probe every active route, or one."""

    help = "Ask routes three fixed prompts, compare with earlier probes, and raise findings. It costs a few tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which, and how to tell."""
        parser.add_argument("--route", type=int, action="append", help="only the route of this id; may be repeated")
        parser.add_argument("--json", action="store_true", help="one object per probe")

    def handle(self, *args: Any, **options: Any) -> None:
        """Fails only where there is nothing to probe: trouble of a route is an answer."""
        probes = verification.probe_routes(now=now(), route_ids=options["route"])
        if not probes and options["route"]:
            raise CommandError("There is no active route of this id that can be probed.")
        if options["json"]:
            self.stdout.write(json.dumps([_told(probe) for probe in probes], indent=2))
            return
        for probe in probes:
            said = probe.trouble or f"{probe.reported_model or 'no model named'}, {max(probe.latency_ms)} ms"
            self.stdout.write(f"{probe.route_id}  {probe.route}: {said}")


def _told(probe: RouteProbe) -> dict[str, Any]:
    fields = ("trouble", "reported_model", "fingerprint", "prompt_tokens", "completion_tokens", "latency_ms")
    told = {name: getattr(probe, name) for name in fields}
    return {"route": probe.route_id, "name": str(probe.route), "made_at": probe.made_at.isoformat(), **told}
