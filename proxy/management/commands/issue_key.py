"""``manage.py issue_key --tenant SLUG …``: a new API key, its text printed once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils.timezone import now

from billing.budgets import BudgetProblem
from billing.money import MoneyProblem, parse_usd
from portal import api_keys, tenancy
from portal.models import Project, Tenant
from portal.quotas import QuotaProblem
from proxy.models import Model, ModelAlias


class Command(BaseCommand):
    """Exit status 1 and a sentence if the key cannot be made."""

    help = "Make an API key. Its text is printed now and never again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--project", default=tenancy.DEFAULT_PROJECT, metavar="SLUG")
        parser.add_argument("--name", default="")
        parser.add_argument("--models", metavar="A,B", help="models or aliases it may call; all if left out")
        parser.add_argument("--rpm", type=int, metavar="N", help="requests per minute")
        parser.add_argument("--tpm", type=int, metavar="N", help="tokens per minute")
        parser.add_argument("--concurrency", type=int, metavar="N", help="calls at the same time")
        parser.add_argument("--budget", metavar="USD", help="such as 5.00")
        parser.add_argument("--window", choices=("month", "day", "lifetime"), default=None)
        parser.add_argument("--expires", metavar="ISO", help="such as 2026-12-31T23:59:59+01:00; UTC without offset")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        moment = now()
        if options["window"] and options["budget"] is None:
            raise CommandError("--window belongs to --budget: give both.")
        try:
            with transaction.atomic():
                issued = api_keys.issue(
                    project=_project(options["tenant"], options["project"]),
                    name=options["name"],
                    limits=_limits(options),
                    actor=None,
                    now=moment,
                )
        except (api_keys.KeyProblem, QuotaProblem, BudgetProblem) as problem:
            raise CommandError(str(problem)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"id": issued.key.public_id, "key": issued.text}))
        else:
            self.stdout.write(f"id: {issued.key.public_id}\nkey: {issued.text}")


def _project(tenant_slug: str, project_slug: str) -> Project:
    tenant = Tenant.objects.filter(slug=tenant_slug).first()
    if tenant is None:
        raise CommandError(f"There is no tenant “{tenant_slug}”.")
    project = Project.objects.filter(tenant=tenant, slug=project_slug).select_related("tenant").first()
    if project is None:
        raise CommandError(f"There is no project “{project_slug}” in {tenant_slug}.")
    return project


def _limits(options: dict[str, Any]) -> api_keys.KeyLimits:
    return api_keys.KeyLimits(
        models=_models(options["models"]),
        requests_per_minute=options["rpm"],
        tokens_per_minute=options["tpm"],
        concurrency=options["concurrency"],
        budget=_budget(options["budget"]),
        window=options["window"] or "month",
        expires_at=_expiry(options["expires"]),
    )


def _models(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = set(Model.objects.filter(name__in=names).values_list("name", flat=True))
    known |= set(ModelAlias.objects.filter(name__in=names).values_list("name", flat=True))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise CommandError(f"There is no model “{unknown[0] if unknown else text}”.")
    return names


def _budget(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_usd(text)
    except MoneyProblem as problem:
        raise CommandError(f"--budget: {problem}.") from None


def _expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--expires: “{text[:40]}” is not a time such as 2026-12-31T23:59:59+01:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
