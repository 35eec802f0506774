"""A provider's report is compared with our calls by day and model, and a difference comes with its likely causes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from billing import costs
from billing.meters import Usage
from billing.models import ProviderReport, ProviderReportRow
from billing.pricing import rate
from billing.reconciliation import comparison, reports
from billing.reconciliation.comparison import Line
from portal.tenancy import as_operator
from tests.billing.world import START, World

USAGE = Usage(input=200, cache_read=800, output=300, reasoning=200)


class Provider:
    """An upstream by a name of its own, and calls that went there."""

    def __init__(self) -> None:
        self.world = World()
        self.upstream = f"up-{self.world.model}"

    def call(self, usage: Usage = USAGE, *, at: datetime | None = None, reported: str = "", attempts: int = 1) -> None:
        opening = self.world.opening(rate(usage, self.world.price), at=at)
        self.world.open([opening])
        ending = replace(
            self.world.ending(opening, usage), upstream=self.upstream, upstream_model="gpt-5",
            reported_model=reported, facts=(attempts, 200, 0, 0),
        )  # fmt: skip
        assert self.world.settle([ending]) == 1

    def file(self, *, requests: int = 1, model: str = "gpt-5", cached: int = 800, day: int = 0) -> bytes:
        begins = int(START.replace(hour=0).timestamp()) + day * 86_400
        result = {
            "input_tokens": 1000 * requests, "input_cached_tokens": cached * requests,
            "output_tokens": 500 * requests, "num_model_requests": requests, "model": model,
        }  # fmt: skip
        bucket = {"start_time": begins, "end_time": begins + 86_400, "results": [result]}
        return json.dumps({"data": [bucket], "has_more": False}).encode()

    def take(self, content: bytes, tolerance: int = 0) -> ProviderReport:
        with as_operator():
            return reports.take_in(
                upstream=self.upstream, file_name="u.json", content=content, now=START, tolerance=tolerance
            )[0]

    def lines(self, content: bytes, tolerance: int = 0) -> list[Line]:
        report = self.take(content, tolerance)
        with as_operator():
            return comparison.compare(report)


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider()


def test_it_agrees_to_the_token(provider: Provider) -> None:
    provider.call()
    (line,) = provider.lines(provider.file())
    assert line.agrees
    assert [pair.ours for pair in line.pairs] == [1, 200, 800, 0, 500, None]


def test_it_knows_a_model_by_what_the_upstream_calls_itself(provider: Provider) -> None:
    provider.call(reported="gpt-5-2027-01-01")
    (line,) = provider.lines(provider.file(model="gpt-5-2027-01-01"))
    assert line.agrees


def test_the_same_file_is_one_report(provider: Provider) -> None:
    first, again = provider.take(provider.file()), provider.take(provider.file())
    assert first == again
    with as_operator():
        assert ProviderReportRow.objects.filter(report=first).count() == 1


def test_a_call_past_us_is_red_until_the_tolerance(provider: Provider) -> None:
    provider.call()
    (line,) = provider.lines(provider.file(requests=2))
    assert not line.agrees
    assert "Calls with the same account that did not go through us." in line.causes
    (tolerated,) = provider.lines(provider.file(requests=2) + b"\n", tolerance=5_000)
    assert tolerated.agrees


def test_it_says_that_a_model_is_unknown(provider: Provider) -> None:
    (line,) = provider.lines(provider.file(model="o9"))
    assert line.causes == [
        "No call of ours went to this model: it was called past the gateway, or has another name here."
    ]


def test_it_says_that_cached_tokens_are_counted_differently(provider: Provider) -> None:
    provider.call()
    (line,) = provider.lines(provider.file(cached=700))
    assert "cached tokens are counted in another class" in line.causes[0]


def test_it_tells_of_retries_and_of_calls_around_midnight(provider: Provider) -> None:
    provider.call(attempts=3)
    (line,) = provider.lines(provider.file(requests=2))
    assert "2 further attempts of ours may have been counted there." in line.causes
    days = [json.loads(provider.file(day=day, requests=count))["data"][0] for day, count in ((0, 2), (1, 1))]
    days[1]["results"] = [{**days[1]["results"][0], "num_model_requests": 0, "input_tokens": 0,
                           "input_cached_tokens": 0, "output_tokens": 0}]  # fmt: skip
    provider.call(at=datetime(2027, 3, 11, 0, 0, 1, tzinfo=UTC))
    for line in provider.lines(json.dumps({"data": days}).encode()):
        assert "midnight" in line.causes[0]


def test_it_compares_what_the_calls_cost_us(provider: Provider) -> None:
    provider.call()
    with as_operator():
        costs.record(
            upstream=provider.upstream, upstream_model="gpt-5", costs={"input": 100, "cache_read": 10, "output": 1_000},
            effective_from=START - timedelta(days=1), now=START,
        )  # fmt: skip
    begins = int(START.replace(hour=0).timestamp())
    amount = 200 * 100 + 800 * 10 + 500 * 1_000
    result = {"amount": {"value": f"{amount}e-12", "currency": "usd"}, "line_item": "gpt-5, all"}
    bucket = {"start_time": begins, "end_time": begins + 86_400, "results": [result]}
    (line,) = provider.lines(json.dumps({"data": [bucket]}).encode())
    pair = line.pair("cost")
    assert pair is not None
    assert (pair.theirs, pair.ours, line.agrees) == (amount, amount, True)


def test_it_lists_the_calls_behind_a_line(provider: Provider) -> None:
    provider.call()
    provider.call(attempts=2)
    report = provider.take(provider.file())
    with as_operator():
        calls = comparison.calls_of(report, START.date(), "gpt-5")
    assert [call["attempts"] for call in calls] == [2, 1]
    assert calls[0]["tenant"] == provider.world.tenant.slug


def test_the_command_ends_with_1_when_something_differs(provider: Provider, tmp_path: Path) -> None:
    provider.call()
    out = StringIO()
    for requests in (1, 2):
        (tmp_path / f"{requests}.json").write_bytes(provider.file(requests=requests))
    with as_operator():
        call_command("reconcile", str(tmp_path / "1.json"), upstream=provider.upstream, stdout=out)
        with pytest.raises(SystemExit) as ended:
            call_command("reconcile", str(tmp_path / "2.json"), upstream=provider.upstream, stdout=out)
    assert ended.value.code == 1
    assert "1 days and models, 0 differ." in out.getvalue()
    assert "requests: theirs 2, ours 1" in out.getvalue()
