"""What stored calls would have cost at other prices, to the picodollar. Only reads, as operator.

Calls are summed by the database in groups within which every call comes to the same variant of the other price: by
tenant's month, model, price that rated it, and the edges of prompt tokens and minutes of the day at which that price
changes. Rating is linear within a group, so a group is rated at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from billing.meters import COUNTERS, UNIT_PRICES, Usage
from billing.pricing import PriceVersion

SLACK = timedelta(seconds=2)
"""The time in a call's id is cut to the millisecond; the row's own time decides."""


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a tenant's month, ``[start, end)``."""

    tenant_id: int
    label: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Calls that any of the other prices rates by one variant each. ``cost`` is what they cost, in picodollars.

    ``prompt_tokens`` and ``minute`` (of the UTC day) are those of one of the calls; ``written`` is whether they have
    completion tokens. ``price_id`` is the price that rated the true usage.
    """

    window: Window
    model: str
    price_id: int
    prompt_tokens: int
    minute: int
    written: bool
    requests: int
    cost: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repriced:
    """A cost in picodollars; ``unsold`` counts surcharges used that the price does not sell: they cost nothing."""

    cost: int
    unsold: int = 0


def groups(windows: Sequence[Window], models: Sequence[str], versions: Iterable[PriceVersion]) -> list[Group]:
    """The settled calls of some models in some windows, so that each of ``versions`` can rate them by ``reprice``.

    True usage that came late counts as it is; a call that turned out to have been none is left out.
    """
    if not windows or not models:
        return []
    edges, minutes = _edges(versions)
    values: dict[str, Any] = {
        "tenants": [one.tenant_id for one in windows],
        "starts": [one.start for one in windows],
        "ends": [one.end for one in windows],
        "first": min(one.start for one in windows) - SLACK,
        "last": max(one.end for one in windows) + SLACK,
        "models": list(models),
        "edges": edges,
        "minutes": minutes,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off")  # there are few groups: sorting every call takes twice as long
        cursor.execute(GROUPS, values)
        found = cursor.fetchall()
        cursor.execute("SET LOCAL enable_sort TO DEFAULT")
        return [
            Group(
                windows[place - 1], model, price_id, prompt, minute, written, requests, int(cost), (*map(int, counts),)
            )
            for place, model, price_id, _band, _part, written, prompt, minute, requests, cost, *counts in sorted(found)
        ]


def reprice(group: Group, version: PriceVersion, service_tier: str) -> Repriced:
    """What a group costs at a price with all its variants, for calls served in a tier."""
    moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=group.minute)
    price = version.at_moment(moment).chosen(Usage(input=group.prompt_tokens), service_tier)
    cost, unsold = group.requests * price.per_request, 0
    for counter, count in zip(COUNTERS, group.counts, strict=True):
        unit = getattr(price, UNIT_PRICES[counter])
        if unit is not None:
            cost += count * unit
        elif counter != "images" or not group.written:  # else images are paid by their tokens
            unsold += count
    return Repriced(cost, unsold)


def _edges(versions: Iterable[PriceVersion]) -> tuple[list[int], list[int]]:
    """Prompt tokens from which, and minutes of the day at which, any of the prices may change; sorted."""
    edges, minutes = {0}, {0}
    for version in versions:
        for variant in version.variants:
            edges.add(variant.above_tokens + 1)
            minutes.update(minute for span in variant.hours for minute in span)
    return sorted(edges), sorted(minutes)


_NET = ", ".join(f"e.{name} + coalesce(d.c{n}, 0) AS {name}" for n, name in enumerate(COUNTERS, 1))
_LATE = ", ".join(f"sum(a.counts[{n}])::integer AS c{n}" for n in range(1, len(COUNTERS) + 1))
GROUPS = f"""
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%(tenants)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        WITH ORDINALITY w (tenant_id, starts_at, ends_at, place)
), late AS MATERIALIZED (
    SELECT a.tenant_id, a.event_id, sum(a.cost)::bigint AS cost, max(a.price_id) AS one, min(a.price_id) AS other,
        {_LATE}
    FROM billing_usageadjustment a
    WHERE a.opened_at >= %(first)s AND a.opened_at < %(last)s AND a.tenant_id = ANY (%(tenants)s) GROUP BY 1, 2
), calls AS (
    SELECT w.place, e.model, e.cost + coalesce(d.cost, 0) AS cost, d.event_id IS NOT NULL AS is_late,
        CASE WHEN d.one <> e.price_id THEN d.one WHEN d.other <> e.price_id THEN d.other ELSE e.price_id END
            AS price_id,
        (extract(hour FROM e.opened_at AT TIME ZONE 'UTC') * 60
            + extract(minute FROM e.opened_at AT TIME ZONE 'UTC'))::integer AS minute, {_NET}
    FROM billing_usageevent e
    JOIN wanted w ON w.tenant_id = e.tenant_id AND e.opened_at >= w.starts_at AND e.opened_at < w.ends_at
    LEFT JOIN late d ON d.tenant_id = e.tenant_id AND d.event_id = e.id
    WHERE e.id >= uuid_floor(%(first)s) AND e.id < uuid_floor(%(last)s) AND e.state = 'settled'
        AND e.tenant_id = ANY (%(tenants)s) AND e.model = ANY (%(models)s)
), sized AS (
    SELECT *, input::bigint + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image AS prompt,
        output > 0 OR reasoning > 0 OR output_audio > 0 OR output_image > 0 AS written
    FROM calls
)
SELECT place, model, price_id, width_bucket(prompt, %(edges)s::bigint[]) AS band,
    width_bucket(minute, %(minutes)s::integer[]) AS part, written, min(prompt), min(minute), count(*),
    sum(cost), {", ".join(f"sum({name})" for name in COUNTERS)}
FROM sized WHERE NOT (is_late AND cost = 0 AND prompt = 0 AND NOT written AND web_searches = 0 AND images = 0)
GROUP BY place, model, price_id, band, part, written
"""
