"""``manage.py set_cost UPSTREAM MODEL input=0.15 …``: what an upstream charges for one of its models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from billing import costs
from billing.meters import SURCHARGES
from billing.money import MoneyProblem, parse_price, parse_usd


class Command(BaseCommand):
    """Stores a cost from a day on."""

    help = "Say what an upstream charges: USD per 1M tokens by class, or USD each (per_request, per_web_search …)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("upstream")
        parser.add_argument("model", help="the upstream's own name of the model")
        parser.add_argument("costs", nargs="+", metavar="CLASS=USD", help="for example input=0.15 output=0.60")
        parser.add_argument("--from", dest="day", help="first UTC day, for example 2026-12-01; now if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        moment = now()
        try:
            begins = datetime.fromisoformat(options["day"]).replace(tzinfo=UTC) if options["day"] else moment
            stored = costs.record(
                upstream=options["upstream"], upstream_model=options["model"],
                costs=dict(_cost(text) for text in options["costs"]), effective_from=begins, now=moment,
            )  # fmt: skip
        except (MoneyProblem, costs.CostProblem, ValueError) as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"Stored: {stored}." if stored else "That is what it charges already.")


def _cost(text: str) -> tuple[str, int]:
    name, _, amount = text.partition("=")
    return name, (parse_usd if name in SURCHARGES else parse_price)(amount)
