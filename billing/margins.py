"""What is left of revenue after what upstreams charge: by model, tenant, upstream and day. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from billing.costs import cost_sql, join_sql
from billing.meters import COUNTERS, TOKEN_CLASSES

MOST_ROWS = 1_000
LONGEST = timedelta(days=93)
"""The longest time one question covers: it reads every call of it."""
BY = {
    "model": "c.model",
    "tenant": "t.slug",
    "upstream": "c.upstream || ' ' || c.upstream_model",
    "day": "to_char(c.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}


class MarginProblem(Exception):
    """A question that is not answered, in plain words."""


@dataclass(frozen=True, slots=True)
class Margin:
    """Picodollars of one group: what was sold, what it cost us, and what was sold without a known cost."""

    name: str
    requests: int
    revenue: int
    cost: int
    revenue_without_cost: int

    @property
    def margin(self) -> int:
        """Revenue less cost, where the cost is known."""
        return self.revenue - self.revenue_without_cost - self.cost

    @property
    def basis_points(self) -> int | None:
        """The margin's share of the revenue whose cost is known, cut; None if there is no such revenue."""
        known = self.revenue - self.revenue_without_cost
        return self.margin * 10_000 // known if known else None


@dataclass(frozen=True, slots=True)
class Loss:
    """A token class that is sold below what an upstream charges; both in picodollars per token."""

    model: str
    upstream: str
    upstream_model: str
    token_class: str
    price: int
    cost: int


def margins(*, by: str, since: datetime, until: datetime) -> list[Margin]:
    """Margins of the calls admitted in [since, until), grouped, the largest revenue first; run it as operator.

    Raises MarginProblem for a grouping or length that is not answered.
    """
    if by not in BY:
        raise MarginProblem(f"Margins are by {', '.join(BY)}.")
    if not timedelta() < until - since <= LONGEST:
        raise MarginProblem(f"Margins are of at most {LONGEST.days} days.")
    order = "1" if by == "day" else "3 DESC, 1"
    with connection.cursor() as cursor:
        cursor.execute(
            MARGINS.replace("{by}", BY[by]).replace("{order}", order),
            {"since": since, "until": until, "most": MOST_ROWS},
        )
        return [Margin(name, *map(int, numbers)) for name, *numbers in cursor.fetchall()]


def losses(*, now: datetime) -> list[Loss]:
    """What is sold below cost by the prices and costs in force, on the routes that calls of the last week took."""
    with connection.cursor() as cursor:
        cursor.execute(LOSSES, {"now": now, "since": now - timedelta(days=7)})
        return [Loss(*row) for row in cursor.fetchall()]


MARGINS = f"""
WITH late AS (
    SELECT tenant_id, event_id, sum(cost) AS cost,
        {", ".join(f"sum(counts[{n}]) AS c{n}" for n in range(1, len(COUNTERS) + 1))}
    FROM billing_usageadjustment WHERE opened_at >= %(since)s AND opened_at < %(until)s GROUP BY 1, 2
), calls AS (
    SELECT e.tenant_id, e.model, e.upstream, e.upstream_model, e.opened_at, e.cost + coalesce(d.cost, 0) AS revenue,
        {", ".join(f"e.{name} + coalesce(d.c{n}, 0) AS {name}" for n, name in enumerate(COUNTERS, 1))}
    FROM billing_usageevent e LEFT JOIN late d ON d.tenant_id = e.tenant_id AND d.event_id = e.id
    WHERE e.id >= uuid_floor(%(since)s) AND e.id < uuid_floor(%(until)s) AND e.state = 'settled'
)
SELECT {{by}}, count(*), sum(c.revenue), coalesce(sum({cost_sql("c", "p")}), 0),
    coalesce(sum(c.revenue) FILTER (WHERE p.id IS NULL), 0)
FROM calls c JOIN portal_tenant t ON t.id = c.tenant_id {join_sql("c", "p")}
GROUP BY 1 ORDER BY {{order}} LIMIT %(most)s
"""

_CLASSES = ", ".join(f"('{name}', s.{name}, p.{name})" for name in TOKEN_CLASSES)
LOSSES = f"""
WITH routes AS (
    SELECT DISTINCT e.model, e.upstream, e.upstream_model, x.book_id FROM billing_usageevent e
    JOIN billing_price x ON x.id = e.price_id
    WHERE e.id >= uuid_floor(%(since)s) AND e.state = 'settled' AND e.upstream <> ''
)
SELECT r.model, r.upstream, r.upstream_model, k.name, min(k.price), max(k.cost) FROM routes r
JOIN billing_price s ON s.book_id = r.book_id AND s.model = r.model AND s.variant = '' AND s.effective_from <= %(now)s
    AND (s.effective_to IS NULL OR %(now)s < s.effective_to)
JOIN billing_costprice p ON p.upstream = r.upstream AND p.upstream_model = r.upstream_model
    AND p.effective_from <= %(now)s AND (p.effective_to IS NULL OR %(now)s < p.effective_to)
CROSS JOIN LATERAL (VALUES {_CLASSES}) k (name, price, cost)
WHERE k.price < k.cost GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
