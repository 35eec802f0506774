"""Learning how many bytes a model's tokens have from its settled calls, and measuring how far estimates were off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Max

from proxy.factors import USUAL, tokens
from proxy.measurement import NEWEST, Side, Usual, by_day, moved
from proxy.models import Model, ModelEstimate

LAG = timedelta(minutes=15)
"""How long a call may take to be read once only: after it, all but the slowest are settled."""
WINDOW = timedelta(days=30)
MOST_CALLS = 2_000
"""Calls of one tenant that are read at a time, the newest: factors need a sample, not all."""
LOCK = 7003

SAMPLES = """
SELECT e.model, e.input_bytes, e.prompt_tokens, e.input_estimate, e.output_bytes, e.output, e.reasoning,
    e.input_audio + e.input_image, e.output_audio + e.output_image + e.images
FROM portal_tenant t CROSS JOIN LATERAL (
    SELECT * FROM billing_usageevent u
    WHERE u.tenant_id = t.id AND u.id >= uuid_floor(%(start)s) AND u.id < uuid_floor(%(end)s)
        AND u.state = 'settled' AND u.basis = 'exact' AND u.operation <> 'images'
    ORDER BY u.id DESC LIMIT %(most)s
) e ORDER BY e.id
"""
ESTIMATED = """
SELECT u.model, to_char(u.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), count(*), sum(u.cost)::numeric(38, 0)
FROM portal_tenant t JOIN billing_usageevent u ON u.tenant_id = t.id
    AND u.id >= uuid_floor(%(start)s) AND u.id < uuid_floor(%(end)s)
WHERE u.state = 'settled' AND u.basis = 'estimated' GROUP BY 1, 2
"""


class Sample(NamedTuple):
    """One exact call: bytes and tokens both ways; ``other_input`` and ``other_output`` are tokens that are no text."""

    model: str
    input_bytes: int
    prompt_tokens: int
    input_estimate: int
    output_bytes: int
    output: int
    reasoning: int
    other_input: int
    other_output: int

    def said(self) -> int:
        """Tokens that the bytes of the answer can be: reasoning among them if it was shown.

        A token has at least a byte: where there are fewer bytes than tokens, the reasoning was kept back.
        """
        every = self.output + self.reasoning
        return every if self.output_bytes >= every else self.output


def learn(*, now: datetime, lag: timedelta = LAG) -> int:
    """Read the calls admitted since the last time, up to ``lag`` ago, and store what they show; returns how many.

    Doing it twice, or twice at once, learns from each call once.
    """
    with transaction.atomic():
        if not _locked():
            return 0
        oldest = now - WINDOW
        known = ModelEstimate.objects.aggregate(until=Max("learned_until"))["until"]
        start, end = max(known or oldest, oldest), now - lag
        if start >= end:
            return 0
        span = {"start": start, "end": end, "most": MOST_CALLS}
        samples: dict[str, list[Sample]] = defaultdict(list)
        for row in _rows(SAMPLES, span):
            samples[row[0]].append(Sample(*row))
        estimated: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for model, day, calls, cost in _rows(ESTIMATED, span):
            estimated[model].append((day, calls, int(cost)))
        for model in Model.objects.filter(name__in=samples.keys() | estimated.keys()).order_by("id"):
            found, _ = ModelEstimate.objects.get_or_create(model=model, defaults={"learned_until": end})
            _take_in(found, samples[model.name])
            found.estimated = by_day(found.estimated, estimated[model.name], f"{oldest:%Y-%m-%d}")
            found.save()
        ModelEstimate.objects.update(learned_until=end)
        return sum(map(len, samples.values()))


def _take_in(found: ModelEstimate, samples: list[Sample]) -> None:
    """Learn from samples, the oldest first. Errors of answers are of the factor as it was before them."""
    asked = Side.restored(found.sums.get("input"), found.input_ratios, found.input_errors)
    answered = Side.restored(found.sums.get("output"), found.output_ratios, found.output_errors)
    usual = Usual(*found.sums.get("usual", ()))
    factor = found.output_factor or USUAL
    for sample in samples:
        if not sample.other_input:
            found.input_samples += asked.add(sample.input_bytes, sample.prompt_tokens, sample.input_estimate)
        if not sample.other_output:
            estimate = tokens(sample.output_bytes, factor)
            usual.add(sample.output + sample.reasoning)
            found.output_samples += answered.add(sample.output_bytes, sample.said(), estimate)
    found.sums = {"input": asked.sums(), "output": answered.sums(), "usual": [usual.weight, usual.tokens]}
    found.input_ratios, found.input_errors = asked.ratios[-NEWEST:], asked.errors[-NEWEST:]
    found.output_ratios, found.output_errors = answered.ratios[-NEWEST:], answered.errors[-NEWEST:]
    _publish(
        found,
        input_factor=asked.factor(),
        output_factor=answered.factor(),
        low_factor=asked.low_factor(),
        usual_output=usual.mean(),
    )


def _publish(found: ModelEstimate, **factors: int) -> None:
    """Change what the gateways read, where it has moved."""
    for name, factor in factors.items():
        if moved(getattr(found, name), factor):
            setattr(found, name, factor)


def _locked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def _rows(query: str, span: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, span)
        yield from cursor.fetchall()
