"""How routes and models did: uptime, time to the first token, speed, over a day, a week or a month. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from proxy.buckets import quantile

DAY, WEEK, MONTH = timedelta(days=1), timedelta(days=7), timedelta(days=30)
SPANS = (("24 hours", DAY), ("7 days", WEEK), ("30 days", MONTH))
FAILURES = ("timeouts", "server_errors", "overloaded", "auth", "unreachable", "broken")

_SUMS = ", ".join(
    f"sum({name})::bigint AS {name}" for name in ("successes", "refused", *FAILURES, "output_tokens", "output_ms")
)
_BUCKETS = ", ".join(
    f"ARRAY(SELECT sum(v) FROM chosen c, unnest(c.{name}) WITH ORDINALITY AS u(v, i) "  # noqa: S608 - constants
    f"WHERE c.of IS NOT DISTINCT FROM g.of GROUP BY i ORDER BY i)::bigint[]"
    for name in ("first_token", "whole")
)


@dataclass(frozen=True, slots=True)
class Quality:
    """What was seen in a stretch of time. Shares are from 0 to 1, times in seconds; None is nothing to tell from."""

    successes: int
    refused: int
    failures: dict[str, int]
    output_tokens: int
    output_ms: int
    first_token: tuple[int, ...]
    whole: tuple[int, ...]

    @property
    def attempts(self) -> int:
        """All that was sent, or tried to be sent."""
        return self.successes + self.refused + sum(self.failures.values())

    @property
    def uptime(self) -> float | None:
        """The share of attempts that succeeded, those left out that were the client's own fault."""
        judged = self.attempts - self.refused
        return self.successes / judged if judged else None

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens per second of writing: after the first token in streams, of the whole wait elsewhere."""
        return self.output_tokens * 1000 / self.output_ms if self.output_ms else None

    @property
    def first_token_p50(self) -> float | None:
        """Half of the streams began within this."""
        return quantile(self.first_token, 0.5)

    @property
    def first_token_p95(self) -> float | None:
        """Nineteen in twenty streams began within this."""
        return quantile(self.first_token, 0.95)

    @property
    def whole_p50(self) -> float | None:
        """Half of the whole answers came within this."""
        return quantile(self.whole, 0.5)

    @property
    def whole_p95(self) -> float | None:
        """Nineteen in twenty whole answers came within this."""
        return quantile(self.whole, 0.95)


def of_routes(*, now: datetime, span: timedelta, routes: Sequence[int] | None = None) -> dict[int, Quality]:
    """By route id, of those that had traffic."""
    condition = "" if routes is None else " AND route_id = ANY (%s)"
    found = _read("route_id", f"route_id IS NOT NULL AND starts_at >= %s{condition}", now - span, routes)
    return {int(str(of)): quality for of, quality in found.items()}


def of_models(*, now: datetime, span: timedelta, models: Sequence[str] | None = None) -> dict[str, Quality]:
    """By public name of a model, over all routes it had."""
    condition = "" if models is None else " AND model = ANY (%s)"
    found = _read("model", f"starts_at >= %s{condition}", now - span, models)
    return {str(of): quality for of, quality in found.items()}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a span: how many attempts succeeded of those that count for uptime."""

    starts_at: datetime
    successes: int
    judged: int

    @property
    def uptime(self) -> float | None:
        """None is a part without traffic."""
        return self.successes / self.judged if self.judged else None


def course_of_models(
    *, now: datetime, span: timedelta, parts: int, models: Sequence[str] | None = None
) -> dict[str, list[Stretch]]:
    """By public name: the span in equal parts up to now, the oldest first, for models that had traffic in it."""
    step, since = span / parts, now - span
    condition = "" if models is None else "AND model = ANY (%(models)s)"
    failed = " + ".join(FAILURES)
    statement = (
        "SELECT model, floor(extract(epoch FROM starts_at - %(since)s) / %(step)s)::int AS part, "  # noqa: S608 - constants
        f"sum(successes)::bigint, sum(successes + {failed})::bigint "
        f"FROM proxy_routehealth WHERE starts_at >= %(since)s AND starts_at < %(now)s {condition} GROUP BY 1, 2"
    )
    values: dict[str, Any] = {"since": since, "now": now, "step": step.total_seconds(), "models": list(models or ())}
    course: dict[str, list[Stretch]] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        for model, part, successes, judged in cursor.fetchall():
            empty = [Stretch(since + step * place, 0, 0) for place in range(parts)]
            stretches = course.setdefault(model, empty)
            stretches[part] = Stretch(since + step * part, successes, judged)
    return course


def _read(column: str, condition: str, since: datetime, only: Sequence[object] | None) -> dict[object, Quality]:
    """Rows of counts, added up by a column."""
    statement = (
        f"WITH chosen AS (SELECT *, {column} AS of FROM proxy_routehealth WHERE {condition}), "  # noqa: S608 - constants
        f"g AS (SELECT of, {_SUMS} FROM chosen GROUP BY of) SELECT g.*, {_BUCKETS} FROM g"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [since] if only is None else [since, list(only)])
        rows = cursor.fetchall()
    found = {}
    for of, successes, refused, *rest in rows:
        failures = dict(zip(FAILURES, rest[:6], strict=True))
        tokens, took, first, whole = rest[6:]
        found[of] = Quality(successes, refused, failures, tokens, took, tuple(first), tuple(whole))
    return found
