"""Limits over HTTP: rates, budgets and wallets refuse with all they know, and admit exactly what fits."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.deadline import until
from tests.proxy.town import Town, bearer, body

pytestmark = pytest.mark.timeout(240)
PICO = 10**12
CROWD = 200


def limit_of(answer: httpx.Response, status: int, kind: str, code: str) -> dict[str, Any]:
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (status, kind, code)
    assert {"scope", "name", "limit", "used", "held", "resets_at", "remedy"} <= error["limit"].keys()
    limit: dict[str, Any] = error["limit"]
    return limit


# -- rates


def test_requests_a_minute(town: Town) -> None:
    key = town.key("--rpm", "3")
    answers = [town.post(key) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    for left, answer in zip((2, 1, 0), answers, strict=False):
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    refused = answers[3]
    limit = limit_of(refused, 429, "rate_limit_error", "rate_limit_exceeded")
    assert (limit["scope"], limit["limit"]) == ("api_key", 3)
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert 0 < int(refused.headers["retry-after-ms"]) <= 20_000
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert refused.headers.get("x-should-retry") != "false"
    assert town.events("id = %s::uuid", refused.headers["x-request-id"].removeprefix("req_") + "00000000") == []


def test_tokens_a_minute_go_by_what_was_used(town: Town) -> None:
    key = town.key("--tpm", "1000")
    for _ in range(4):  # each takes 500 and uses a handful
        answer = town.post(key, max_tokens=500)
        assert answer.status_code == 200
        town.event(answer.headers["x-request-id"])
    assert int(answer.headers["x-ratelimit-limit-tokens"]) == 1000
    answers = town.parallel(4, key, "sandbox/slow-1500", max_tokens=600)
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert limit_of(refused, 429, "rate_limit_error", "rate_limit_exceeded")["limit"] == 1000
    assert "retry-after" in refused.headers
    assert refused.headers["x-ratelimit-limit-tokens"] == "1000"


def test_calls_at_once(town: Town) -> None:
    key = town.key("--concurrency", "3")
    for _ in range(2):
        answers = town.parallel(8, key, "sandbox/slow-1500")
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 5
        until(lambda: town.post(key).status_code == 200)
    refused = next(answer for answer in answers if answer.status_code == 429)
    limit = limit_of(refused, 429, "rate_limit_error", "rate_limit_exceeded")
    assert (limit["limit"], "at once" in limit["name"]) == (3, True)
    assert "retry-after" in refused.headers


def test_calls_that_the_rates_refuse_leave_no_runs(town: Town) -> None:
    issued = town.issue("--rpm", "1")
    codes = []
    for number in range(5):
        headers = {**bearer(issued["key"]), "x-run-id": f"{issued['id']}-{number}", "x-run-budget": "1"}
        codes.append(town.http.post("/v1/chat/completions", json=body(), headers=headers).status_code)
    assert codes == [200, 429, 429, 429, 429]
    made = town.product.query("SELECT run_id FROM billing_run WHERE run_id LIKE %s", f"{issued['id']}-%")
    assert made == [(f"{issued['id']}-0",)]


@pytest.mark.parametrize("name", ["x-max-cost", "x-run-id", "x-run-budget", "idempotency-key"])
def test_what_bounds_a_call_is_said_once(town: Town, key: str, name: str) -> None:
    given = {"x-max-cost": "1", "x-run-id": "twice", "x-run-budget": "1", "idempotency-key": "twice"}
    headers = [*bearer(key).items(), *given.items(), (name, "5")]
    for path in ("/v1/chat/completions", "/v1/estimate"):
        refused = town.http.post(path, json=body(), headers=headers)
        if path.endswith("completions") or name != "idempotency-key":
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)


# -- money


def encoded(sent: dict[str, Any]) -> str:
    """The body as it goes over the wire."""
    return json.dumps(sent, separators=(",", ":"), ensure_ascii=False)


def ceiling(sent: dict[str, Any]) -> int:
    """What a call of the sandbox's models can cost at most: a token a byte, and the dearest output."""
    most: int = sent["max_tokens"]
    return len(encoded(sent).encode()) * 10**6 + most * 6 * 10**6


@pytest.mark.parametrize("scope", ["api_key", "tenant", "wallet of credit", "wallet"])
def test_money_that_is_not_there_is_not_spent(town: Town, scope: str) -> None:
    fields: dict[str, str] = {
        "tenant": {"monthly_budget": "0.001"},
        "wallet of credit": {"credit_limit": "0.001"},
        "wallet": {"billing": "prepaid", "top_up": "0.001"},
    }.get(scope, {})
    tenant = town.tenant(**fields)
    key = town.key(*(("--budget", "0.001", "--window", "day") if scope == "api_key" else ()), tenant=tenant)
    assert town.post(key, max_tokens=10).status_code == 200
    until(lambda: town.held() == 0)
    refused = town.post(key, max_tokens=4000)
    limit = limit_of(refused, 429, "insufficient_quota", "insufficient_quota")
    assert limit["scope"] == scope.split()[0]
    assert float(limit["limit"]) == 0.001
    assert 0 < float(limit["used"]) < 0.001
    assert float(limit["held"]) == 0
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    if limit["scope"] == "wallet":
        assert limit["resets_at"] is None
    else:
        assert datetime.fromisoformat(limit["resets_at"]) > datetime.now(UTC)
    assert town.charge(refused.headers["x-request-id"]) is None
    assert town.events("id = %s::uuid", refused.headers["x-request-id"].removeprefix("req_") + "00000000") == []
    assert town.post(key, max_tokens=10).status_code == 200


@pytest.mark.parametrize("kind", ["budget", "wallet"])
def test_a_crowd_gets_exactly_what_fits(town: Town, kind: str) -> None:
    fits = 7
    sent = body("hasty/paced-100x200", stream=True, max_tokens=100)
    money = f"{(ceiling(sent) * fits + ceiling(sent) * 9 // 10) / PICO:.9f}".rstrip("0")
    money = money[: money.index(".") + 7]  # budgets have six decimals
    assert float(money) * PICO // ceiling(sent) == fits
    if kind == "budget":
        key = town.key("--budget", money, tenant=town.tenant())
    else:
        key = town.key(tenant=town.tenant(billing="prepaid", top_up=money))
    statuses = statuses_of_a_crowd(town, key, sent)
    assert sorted(statuses) == [200] * fits + [429] * (CROWD - fits)
    until(lambda: town.held() == 0, seconds=60)
    assert town.books()["differences"] == []


def statuses_of_a_crowd(town: Town, key: str, sent: dict[str, Any]) -> list[int]:
    """Calls at once over fresh connections, none of which ends before all have an answer."""

    async def call(client: httpx.AsyncClient, gate: asyncio.Barrier) -> int:
        request = client.build_request("POST", "/chat/completions", content=encoded(sent), headers=bearer(key))
        answer = await client.send(request, stream=True)
        await gate.wait()
        await answer.aclose()
        return answer.status_code

    async def crowd() -> list[int]:
        gate = asyncio.Barrier(CROWD)
        limits = httpx.Limits(max_connections=CROWD, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=town.product.base_url, limits=limits, timeout=60) as client:
            return list(await asyncio.gather(*(call(client, gate) for _ in range(CROWD))))

    return asyncio.run(crowd())
