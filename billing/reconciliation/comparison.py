"""A provider's report against our calls, by UTC day and upstream model: what differs, and why it may."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from billing import costs
from billing.meters import COUNTERS
from billing.models import ProviderReport, ProviderReportRow
from billing.reconciliation.formats import COUNTS

DAY = timedelta(days=1)
TOKENS = ("input", "cache_read", "cache_write", "output")
INPUTS = ("input", "cache_read", "cache_write")


@dataclass(slots=True)
class Ours:
    """What our journal has of a day and model. ``cost`` is None if of some call it is not known what it cost us."""

    requests: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    cost: int | None = 0
    estimated: int = 0
    retries: int = 0
    voided: int = 0

    def add(self, other: Ours) -> None:
        """Take in calls of the same day that the provider calls by the same name."""
        for name in ("requests", *TOKENS, "estimated", "retries", "voided"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost


@dataclass(frozen=True, slots=True)
class Pair:
    """One count of both sides; None is what a side does not say."""

    name: str
    theirs: int | None
    ours: int | None
    agrees: bool

    @property
    def difference(self) -> int:
        """What the provider has more than we do."""
        return (self.theirs or 0) - (self.ours or 0)


@dataclass(slots=True)
class Line:
    """A day and model of both sides, green or red, with the likely causes of a difference."""

    day: date
    model: str
    ours: Ours
    pairs: tuple[Pair, ...]
    causes: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether everything that both sides say is the same, within the tolerance."""
        return all(pair.agrees for pair in self.pairs)

    def pair(self, name: str) -> Pair | None:
        """One of the counts."""
        return next((pair for pair in self.pairs if pair.name == name), None)


def compare(report: ProviderReport) -> list[Line]:
    """Every day and model that either side has, in order. Reads the calls of the report's days; run as operator."""
    theirs = {(row.day, row.model): row for row in ProviderReportRow.objects.filter(report=report)}
    ours = _ours(report, {model for _, model in theirs})
    lines = [_line(key, theirs.get(key), ours.get(key, Ours()), report.tolerance) for key in sorted({*theirs, *ours})]
    by_key = {(line.day, line.model): line for line in lines}
    used = {model for _, model in ours}
    for line in lines:
        if not line.agrees:
            line.causes = _causes(line, by_key, line.model in used)
    return lines


def _ours(report: ProviderReport, names: set[str]) -> dict[tuple[date, str], Ours]:
    """Our calls by the name that the report uses: what the upstream called itself, or what it was asked for."""
    begins = datetime(report.first_day.year, report.first_day.month, report.first_day.day, tzinfo=UTC)
    ends = begins + (report.last_day - report.first_day + DAY)
    found: dict[tuple[date, str], Ours] = {}
    with connection.cursor() as cursor:
        cursor.execute(OURS, {"upstream": report.upstream, "since": begins, "until": ends})
        for day, model, reported, *counts in cursor.fetchall():
            numbers = [None if count is None else int(count) for count in counts]
            name = reported if reported in names else model
            one = Ours(*numbers)  # type: ignore[arg-type]  # only cost, the sixth, can be null
            found.setdefault((day, name), Ours()).add(one)
    return found


def _line(key: tuple[date, str], row: ProviderReportRow | None, ours: Ours, tolerance: int) -> Line:
    """``row`` is None where the provider says nothing of a day and model: then it says 0 of what its reports count."""
    pairs = []
    for name in COUNTS:
        theirs = getattr(row, name) if row else (0 if name in ("input", "output") else None)
        mine: int | None = getattr(ours, name)
        if theirs is None or (name == "cost" and mine is None):
            pairs.append(Pair(name, theirs, mine, agrees=True))
            continue
        apart = abs(int(theirs) - (mine or 0))
        pairs.append(Pair(name, int(theirs), mine, agrees=apart * 10_000 <= abs(int(theirs)) * tolerance))
    return Line(*key, ours, tuple(pairs))


def _causes(line: Line, lines: dict[tuple[date, str], Line], is_ours: bool) -> list[str]:
    """Why a line may differ, the likeliest first."""
    if not is_ours:
        return ["No call of ours went to this model: it was called past the gateway, or has another name here."]
    found = []
    if _cached_differently(line):
        found.append("All input together is the same: cached tokens are counted in another class.")
    if _at_midnight(line, lines):
        found.append("The day beside it differs by as much the other way: calls around midnight UTC.")
    of_ours = line.ours
    if of_ours.estimated:
        were = "call of the day was" if of_ours.estimated == 1 else "calls of the day were"
        found.append(f"{of_ours.estimated} {were} estimated, as the true usage never came.")
    more = any(pair.difference > 0 for pair in line.pairs if not pair.agrees)
    if more and of_ours.retries:
        attempts = "attempt" if of_ours.retries == 1 else "attempts"
        found.append(f"{of_ours.retries} further {attempts} of ours may have been counted there.")
    if more and of_ours.voided:
        calls = "call" if of_ours.voided == 1 else "calls"
        found.append(f"{of_ours.voided} {calls} failed here, and may have been counted there.")
    if more:
        found.append("Calls with the same account that did not go through us.")
    else:
        found.append("The report may have been made before the day was counted to its end.")
    return found


def _cached_differently(line: Line) -> bool:
    pairs = [pair for pair in line.pairs if pair.name in INPUTS and pair.theirs is not None]
    return any(not pair.agrees for pair in pairs) and sum(pair.difference for pair in pairs) == 0


def _at_midnight(line: Line, lines: dict[tuple[date, str], Line]) -> bool:
    apart = [(pair.name, pair.difference) for pair in line.pairs if not pair.agrees]
    for beside in (lines.get((line.day + DAY, line.model)), lines.get((line.day - DAY, line.model))):
        other = {pair.name: pair.difference for pair in beside.pairs} if beside else {}
        if apart and all(other.get(name) == -difference for name, difference in apart):
            return True
    return False


def calls_of(report: ProviderReport, day: date, model: str, limit: int = 200) -> list[dict[str, Any]]:
    """Our calls of a day and model, the ones that may explain a difference first: estimated, voided, tried again."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    scope: dict[str, str | int | datetime] = {
        "upstream": report.upstream, "model": model, "since": begins, "until": begins + DAY, "most": limit,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(CALLS, scope)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


OURS = f"""
WITH late AS (
    SELECT tenant_id, event_id, {", ".join(f"sum(counts[{n}]) AS c{n}" for n in range(1, len(COUNTERS) + 1))}
    FROM billing_usageadjustment WHERE opened_at >= %(since)s AND opened_at < %(until)s GROUP BY 1, 2
), calls AS (
    SELECT (e.opened_at AT TIME ZONE 'UTC')::date AS day, e.upstream, e.upstream_model, e.reported_model, e.opened_at,
        e.state, e.basis, e.attempts, d.event_id,
        {", ".join(f"e.{name} + coalesce(d.c{n}, 0) AS {name}" for n, name in enumerate(COUNTERS, 1))}
    FROM billing_usageevent e LEFT JOIN late d ON d.tenant_id = e.tenant_id AND d.event_id = e.id
    WHERE e.id >= uuid_floor(%(since)s) AND e.id < uuid_floor(%(until)s) AND e.upstream = %(upstream)s
        AND e.state <> 'open'
)
SELECT c.day, c.upstream_model, c.reported_model, count(*) FILTER (WHERE c.state = 'settled'),
    sum(c.input + c.input_audio + c.input_image), sum(c.cache_read), sum(c.cache_write_5m + c.cache_write_1h),
    sum(c.output + c.reasoning + c.output_audio + c.output_image),
    CASE WHEN count(*) FILTER (WHERE p.id IS NULL AND c.state = 'settled') = 0
        THEN coalesce(sum({costs.cost_sql("c", "p")}) FILTER (WHERE c.state = 'settled'), 0) END,
    count(*) FILTER (WHERE c.basis = 'estimated' AND c.event_id IS NULL),
    coalesce(sum(greatest(c.attempts - 1, 0)), 0), count(*) FILTER (WHERE c.state = 'voided')
FROM calls c {costs.join_sql("c", "p")} GROUP BY 1, 2, 3
"""

CALLS = """
SELECT t.slug AS tenant, 'req_' || left(replace(e.id::text, '-', ''), 24) AS call, e.opened_at, e.state, e.basis,
    e.attempts, e.input + e.input_audio + e.input_image AS input, e.cache_read,
    e.cache_write_5m + e.cache_write_1h AS cache_write,
    e.output + e.reasoning + e.output_audio + e.output_image AS output, e.error_code
FROM billing_usageevent e JOIN portal_tenant t ON t.id = e.tenant_id
WHERE e.id >= uuid_floor(%(since)s) AND e.id < uuid_floor(%(until)s) AND e.upstream = %(upstream)s
    AND %(model)s IN (e.upstream_model, e.reported_model) AND e.state <> 'open'
ORDER BY e.basis = 'estimated' DESC NULLS LAST, e.state = 'voided' DESC, e.attempts DESC, e.id LIMIT %(most)s
"""
