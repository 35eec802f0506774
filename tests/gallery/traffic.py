"""Calls of the demonstration, written as the gateway writes them: streams, errors, cached and estimated ones."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing import journal
from billing.journal import Ending, Opening
from billing.meters import NOTHING, Usage
from billing.models import Allowance
from billing.pricing import rate
from portal.models import ApiKey, Tenant
from tests.billing.world import as_gateway, new_id
from tests.gallery.calendar import Calendar
from tests.gallery.catalogue import Sold

OWNER = UUID(int=0x6A11E41)
BATCH = 300
STREAMED = 0.4
#: how often a call ends otherwise than well: the status, the code, and whether anything is charged
TROUBLE = (
    (0.965, (200, "", True)),
    (0.98, (429, "rate_limit_exceeded", False)),
    (0.99, (502, "upstream_error", False)),
    (1.0, (499, "client_closed_request", True)),
)
LOST = "client_closed_request"


@dataclass(frozen=True, slots=True)
class Busy:
    """How much a tenant calls: calls a day, and how large they are, in per cent of what is usual."""

    tenant: Tenant
    calls: int
    size: int = 100


def call(busy: Busy, sold: Sequence[Sold], days: Sequence[datetime], seed: int) -> None:
    """Calls of these days, the same for the same seed."""
    chance = random.Random(seed)
    keys = list(ApiKey.objects.filter(tenant=busy.tenant, revoked_at=None).order_by("id"))
    made: list[tuple[Opening, Ending]] = []
    for day in days:
        calm = 0.35 if day.weekday() >= 5 else 1.0
        allowances = _allowances(busy.tenant, day)
        for _ in range(max(1, round(busy.calls * calm * chance.uniform(0.8, 1.2)))):
            moment = day + timedelta(seconds=_second(chance))
            made.append(_call(busy, moment, chance.choice(keys), (chance.choice(sold), allowances), chance))
    for start in range(0, len(made), BATCH):
        part = made[start : start + BATCH]
        with as_gateway():
            refused = journal.open_usage(OWNER, [opening for opening, _ending in part])
            assert refused == [], refused[0]
            journal.settle_usage([ending for _opening, ending in part])


def leave_open(busy: Busy, sold: Sold, calendar: Calendar) -> None:
    """A stream that runs now."""
    key = ApiKey.objects.filter(tenant=busy.tenant, revoked_at=None).order_by("id")[0]
    allowed = [row for ids in [_allowances(busy.tenant, calendar.now)] for row in _of(ids, key)]
    opening = Opening(
        new_id(calendar.now), busy.tenant.pk, key.project_id, key.pk, sold.name, sold.price.id, calendar.now,
        calendar.now + timedelta(hours=2), 480_000_000_000, tuple(allowed), 900, stream=True,
        requested_model=sold.name,
    )  # fmt: skip
    with as_gateway():
        journal.beat(OWNER)
        assert journal.open_usage(OWNER, [opening]) == []


def days_of(start: datetime, end: datetime) -> list[datetime]:
    """The midnights from a moment until another."""
    return [start + timedelta(days=number) for number in range((end - start).days)]


def _second(chance: random.Random) -> int:
    """Mostly in the hours of work."""
    return max(0, min(86_000, round(chance.gauss(14 * 3600, 3.5 * 3600))))


def _allowances(tenant: Tenant, moment: datetime) -> list[Allowance]:
    return journal.live_allowances(tenant_id=tenant.pk, now=moment + timedelta(hours=1))


def _of(allowances: list[Allowance], key: ApiKey) -> list[int]:
    mine = {"tenant": key.tenant_id, "project": key.project_id, "api_key": key.pk}
    return [row.pk for row in allowances if row.budget is None or mine[row.budget.scope] == row.budget.scope_id]


def _call(
    busy: Busy, moment: datetime, key: ApiKey, by: tuple[Sold, list[Allowance]], chance: random.Random
) -> tuple[Opening, Ending]:
    sold, allowances = by
    streamed = chance.random() < STREAMED
    luck = chance.random()
    status, code, charged = next(ending for bound, ending in TROUBLE if luck < bound)
    usage = _usage(sold, chance, busy.size) if charged else NOTHING
    cost = rate(usage, sold.price)
    opening = Opening(
        new_id(moment), busy.tenant.pk, key.project_id, key.pk, sold.name, sold.price.id, moment,
        moment + timedelta(minutes=10), cost * 2 + 10**9, tuple(_of(allowances, key)), usage.prompt_tokens,
        stream=streamed, requested_model=sold.name,
    )  # fmt: skip
    first = round(chance.lognormvariate(6, 0.5))
    whole = first + usage.completion_tokens * 9
    ending = Ending(
        opening.id, opening.tenant_id, usage, cost, state="settled" if charged else "voided",
        basis=("estimated" if code else "exact") if charged else None, flags=1 if code == LOST else 0,
        facts=(1 if chance.random() < 0.95 else 2, status, first, whole), upstream=sold.upstream,
        upstream_model=sold.upstream_model, error_code=code, finish_reason="" if code else "stop",
        reported_model=sold.upstream_model, route_id=sold.route_id,
    )  # fmt: skip
    return opening, ending


def _usage(sold: Sold, chance: random.Random, size: int) -> Usage:
    read = math.ceil(chance.lognormvariate(9.6, 0.9) * size / 100)
    cached = read * 2 // 3 if chance.random() < 0.3 else 0
    written = math.ceil(chance.lognormvariate(7.2, 0.8) * size / 100)
    thought = written * 2 if sold.name.endswith("thinking") else 0
    return Usage(input=read - cached, cache_read=cached, output=written, reasoning=thought)
