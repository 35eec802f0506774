"""Providers' exports are understood whole, to the token and the cent, or refused with row and column."""

from __future__ import annotations

import json
from datetime import date

import pytest

from billing.reconciliation import formats
from billing.reconciliation.formats import parse
from billing.reconciliation.values import ReportProblem

DAY = date(2027, 3, 15)
BEGINS = 1_805_068_800
OPENAI = {
    "object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
    "input_cached_tokens": 800, "num_model_requests": 5, "model": "gpt-5",
}  # fmt: skip
ANTHROPIC = {
    "uncached_input_tokens": 1500, "cache_read_input_tokens": 200, "output_tokens": 500, "model": "claude-opus-5",
    "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
}  # fmt: skip


def openai(*results: object, has_more: bool = False, **bucket: object) -> bytes:
    one = {"object": "bucket", "start_time": BEGINS, "end_time": BEGINS + 86_400, "results": list(results), **bucket}
    return json.dumps({"object": "page", "data": [one], "has_more": has_more, "next_page": None}).encode()


def anthropic(*results: object) -> bytes:
    times = {"starting_at": "2027-03-15T00:00:00Z", "ending_at": "2027-03-16T00:00:00Z"}
    return json.dumps({"data": [{**times, "results": list(results)}], "has_more": False}).encode()


def test_it_reads_pages_of_openai_usage_and_tells_cached_input_apart() -> None:
    parsed = parse(openai(OPENAI, OPENAI))
    assert parsed.kind == "openai_usage"
    assert parsed.rows == {
        (DAY, "gpt-5"): {"requests": 10, "input": 400, "cache_read": 1600, "cache_write": 0, "output": 1000}
    }


def test_it_reads_the_csv_of_openai_usage_with_its_empty_minutes() -> None:
    content = (
        "start_time,end_time,start_time_iso,end_time_iso,num_model_requests,model,input_tokens,input_cached_tokens,"
        "output_tokens\n"
        f"{BEGINS},{BEGINS + 60},x,y,2,gpt-5,1000,800,50\n"
        f"{BEGINS + 60},{BEGINS + 120},x,y,,,,,\n"
        f"{BEGINS + 120},{BEGINS + 180},x,y,1,gpt-5,10,,5\n"
    )
    counts = parse(content.encode()).rows[DAY, "gpt-5"]
    assert counts == {"requests": 3, "input": 210, "cache_read": 800, "cache_write": 0, "output": 55}


def test_it_reads_costs_of_openai_exactly() -> None:
    results = [
        {"amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-5, input"},
        {"amount": {"value": 0.0000001, "currency": "usd"}, "line_item": "gpt-5, output"},
    ]
    assert parse(openai(*results)).rows == {(DAY, "gpt-5"): {"cost": 60_000_100_000}}
    table = f"start_time,end_time,amount_value,amount_currency,line_item\n{BEGINS},{BEGINS + 86400},0.1,usd,gpt-5\n"
    assert parse(table.encode()).rows == {(DAY, "gpt-5"): {"cost": 10**11}}


def test_it_reads_anthropic_usage_from_json_and_csv_alike() -> None:
    content = (
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
        "usage_output_tokens,web_search_count\n2027-03-15,claude-opus-5,k,Default,standard,200k,1500,500,1000,200,500,0\n"
    )
    assert parse(anthropic(ANTHROPIC)).rows == parse(content.encode()).rows
    assert parse(content.encode()).rows[DAY, "claude-opus-5"]["cache_write"] == 1500


def test_it_reads_costs_of_anthropic_as_cents() -> None:
    result = {"amount": "123.45", "currency": "USD", "model": "claude-opus-5", "description": "x"}
    assert parse(anthropic(result)).rows == {(DAY, "claude-opus-5"): {"cost": 1_234_500_000_000}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"data": 3}', "no list called data"),
        (b"a,b\n1,2\n", "row 2: this is neither"),
        (b"start_time,start_time\n1,2\n", "twice"),
        (b"start_time,model\n1,2,3\n", "row 2: 3 columns"),
        (openai(OPENAI, has_more=True), "there are more"),
        (openai({**OPENAI, "model": None}), 'result 1, column "model": there is none'),
        (openai({**OPENAI, "input_tokens": -1}), 'column "input_tokens": "-1" is not a count'),
        (openai({**OPENAI, "input_tokens": 1.5}), '"1.5" is not a count'),
        (openai({**OPENAI, "input_tokens": True}), "not a count"),
        (openai({**OPENAI, "input_cached_tokens": 1001}), "at most the input tokens"),
        (openai(OPENAI, end_time=BEGINS + 86_401), "same UTC day"),
        (openai(OPENAI, start_time="yesterday"), "not a time"),
        (openai({"amount": {"value": 1, "currency": "eur"}, "line_item": "x"}), "not USD"),
        (openai({"amount": {"value": "NaN", "currency": "usd"}, "line_item": "x"}), "not an amount"),
        (openai({"amount": {"value": "1e999999999", "currency": "usd"}, "line_item": "x"}), "not an amount"),
        (openai(), "no model"),
        (anthropic({**ANTHROPIC, "cache_creation": 3}), "not an object"),
    ],
)
def test_it_refuses_in_plain_words_what_it_does_not_understand(content: bytes, said: str) -> None:
    with pytest.raises(ReportProblem) as refused:
        parse(content)
    assert said in str(refused.value)


def test_it_refuses_files_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MOST_ROWS", 3)
    with pytest.raises(ReportProblem, match="more than 3 rows"):
        parse(openai(*[OPENAI] * 4))
    monkeypatch.setattr(formats, "MOST_BYTES", 10)
    with pytest.raises(ReportProblem, match="larger than"):
        parse(openai(OPENAI))
