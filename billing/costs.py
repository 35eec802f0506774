"""What upstreams charge us: prices with dates by upstream and upstream model, and the SQL that rates calls by them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import connection, transaction

from billing.meters import COUNTERS, PARENT_CLASS, SURCHARGES, TOKEN_CLASSES, UNIT_PRICES
from billing.models import CostPrice

MOST = 2**62


class CostProblem(Exception):
    """A cost that cannot be stored, in plain words."""


@transaction.atomic
def record(
    *,
    upstream: str,
    upstream_model: str,
    costs: Mapping[str, int],
    effective_from: datetime,
    now: datetime,
    source: str = CostPrice.Source.OPERATOR,
) -> CostPrice | None:
    """Say what an upstream charges from a moment on; None if that is what it charges already.

    Token classes are micro-USD per 1M tokens, surcharges picodollars each; a class left out takes its parent's. The
    moment may be past, as margins are computed when they are asked for, but not before the last price known.
    """
    numbers = _complete(f"{upstream} {upstream_model}", costs)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('cost:' || %s, 0))", [upstream])
    known = CostPrice.objects.filter(upstream=upstream, upstream_model=upstream_model)
    last = known.order_by("effective_from").last()
    if last is not None:
        if last.effective_to is None and all(getattr(last, name) == number for name, number in numbers.items()):
            return None
        if effective_from <= last.effective_from:
            raise CostProblem(f"{last} is known already: a new cost begins after it.")
        if last.effective_to is None:
            known.filter(pk=last.pk).update(effective_to=effective_from)
        elif effective_from < last.effective_to:
            raise CostProblem(f"{last} ends only at {last.effective_to:%Y-%m-%d %H:%M}.")
    return CostPrice.objects.create(
        upstream=upstream, upstream_model=upstream_model, effective_from=effective_from, source=source,
        created_at=now, **numbers,
    )  # fmt: skip


def _complete(what: str, costs: Mapping[str, int]) -> dict[str, int]:
    unknown = set(costs) - {*TOKEN_CLASSES, *SURCHARGES}
    if unknown:
        raise CostProblem(f"{what}: {', '.join(sorted(unknown))} is no token class or surcharge.")
    if any(isinstance(cost, bool) or not isinstance(cost, int) or not 0 <= cost < MOST for cost in costs.values()):
        raise CostProblem(f"{what}: a cost is a whole number from 0.")
    numbers = {"input": costs.get("input", 0), "output": costs.get("output", 0)}
    if not costs:
        raise CostProblem(f"{what}: no cost is given.")
    for name in TOKEN_CLASSES:
        numbers[name] = costs.get(name, numbers[PARENT_CLASS[name]] if name in PARENT_CLASS else numbers.get(name, 0))
    return numbers | {name: costs.get(name, 0) for name in SURCHARGES}


def cost_sql(event: str, price: str) -> str:
    """SQL of what a call cost us, in picodollars: counters of the row ``event`` by the row ``price``."""
    parts = [f"{event}.{counter} * {price}.{UNIT_PRICES[counter]}::numeric" for counter in COUNTERS]
    return f"({' + '.join(parts)} + {price}.per_request)"


def join_sql(event: str, price: str) -> str:
    """SQL that joins the cost in force when the call ``event`` was admitted, if any is known."""
    return f"""LEFT JOIN billing_costprice {price} ON {price}.upstream = {event}.upstream
        AND {price}.upstream_model = {event}.upstream_model AND {price}.effective_from <= {event}.opened_at
        AND ({price}.effective_to IS NULL OR {event}.opened_at < {price}.effective_to)"""
