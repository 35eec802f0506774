"""Idempotency keys over HTTP: the same call twice is one call, one answer and one charge."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.deadline import until
from tests.proxy.refusals import error_of
from tests.proxy.town import Town, bearer, body

pytestmark = pytest.mark.timeout(180)
COMPLETIONS = "/v1/chat/completions"


def send(town: Town, key: str, name: str, asked: dict[str, Any], path: str = COMPLETIONS) -> httpx.Response:
    return town.http.post(path, json=asked, headers={**bearer(key), "idempotency-key": name})


def settled(town: Town, key: str) -> int:
    requests: int = town.http.get("/v1/usage", headers=bearer(key)).json()["requests"]
    return requests


def test_a_repeated_call_gets_the_first_answer_and_is_charged_once(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    first, again = send(town, key, name, body()), send(town, key, name, body())
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["x-tollgate-cost"] == first.headers["x-tollgate-cost"]
    until(lambda: settled(town, key) == 1)


def test_an_answer_in_its_envelope_is_not_repeated_without_it(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    assert send(town, key, name, body(), path="/api/v1/chat/completions").json()["success"] is True
    assert send(town, key, name, body()).status_code == 422


def test_a_stream_is_repeated_byte_by_byte(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    asked = body("sandbox/paced-20x20", stream=True, stream_options={"include_usage": True})
    first, again = send(town, key, name, asked), send(town, key, name, asked)
    assert again.content == first.content
    assert first.content.endswith(b"data: [DONE]\n\n")
    assert again.headers["content-type"] == first.headers["content-type"]
    until(lambda: settled(town, key) == 1)


def test_while_the_first_runs_the_second_is_told_to_come_back(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    asked = body("sandbox/slow-1500")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(town, key, name, asked), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    conflict = next(answer for answer in answers if answer.status_code == 409)
    assert conflict.json()["error"]["code"] == "idempotency_in_progress"
    assert conflict.headers["x-should-retry"] == "true"
    assert "retry-after" in conflict.headers
    error_of(conflict)
    until(lambda: settled(town, key) == 1)


def test_another_body_or_path_under_the_same_key_is_refused(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    assert send(town, key, name, body()).status_code == 200
    other = send(town, key, name, body("sandbox/fixed"))
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    elsewhere = send(town, key, name, {"model": "sandbox/echo", "input": "x"}, "/v1/responses")
    assert elsewhere.status_code == 422


def test_tenants_do_not_share_keys(town: Town) -> None:
    name = secrets.token_hex(8)
    mine, theirs = town.key(), town.key(tenant=town.tenant())
    first = send(town, mine, name, body())
    other = send(town, theirs, name, body())
    assert (first.status_code, other.status_code) == (200, 200)
    assert first.json()["id"] != other.json()["id"]


def test_an_error_is_not_kept(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    asked = body("sandbox/flaky-1", user=name)
    refused, served = send(town, key, name, asked), send(town, key, name, asked)
    assert (refused.status_code, served.status_code) == (503, 200)
    for fresh in (name, secrets.token_hex(8)):
        assert send(town, key, fresh, {**body(), "temperature": 9}).status_code == 400


def test_an_api_key_gets_no_answer_of_a_model_that_it_may_not_use(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    assert send(town, key, name, body()).status_code == 200
    refused = send(town, town.key("--models", "sandbox/fixed"), name, body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")


def test_the_rates_come_before_the_claim(town: Town) -> None:
    key, name = town.key("--rpm", "2", "--tpm", "1000"), secrets.token_hex(8)
    asked = body(max_tokens=900)
    first = send(town, key, name, asked)
    town.event(first.headers["x-request-id"])
    again = send(town, key, name, asked)  # fits, since the first used but a few of the tokens that it took
    assert again.headers["idempotent-replayed"] == "true"
    refused = send(town, key, name, asked)
    assert (refused.status_code, error_of(refused)["code"]) == (429, "rate_limit_exceeded")


def test_a_repeated_call_gives_its_tokens_and_its_place_back(town: Town) -> None:
    key, name = town.key("--tpm", "1000", "--concurrency", "1"), secrets.token_hex(8)
    asked = body(max_tokens=500)
    assert send(town, key, name, asked).status_code == 200
    for _ in range(6):
        until(lambda: send(town, key, name, asked).headers.get("idempotent-replayed") == "true", seconds=5)


def test_an_answer_whose_client_hung_up_is_there_when_it_comes_back(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    asked = body("sandbox/paced-20x20", stream=True)
    headers = {**bearer(key), "idempotency-key": name}
    with town.http.stream("POST", COMPLETIONS, json=asked, headers=headers) as answer:
        next(answer.iter_bytes())

    def again() -> httpx.Response | None:
        came = send(town, key, name, asked)
        return came if came.status_code == 200 else None

    kept = until(again)
    assert kept is not None
    assert kept.headers["idempotent-replayed"] == "true"
    assert kept.content.endswith(b"data: [DONE]\n\n")
    until(lambda: settled(town, key) == 1)


@pytest.mark.parametrize("name", ["", "a b", "x" * 256])
def test_a_key_that_is_none_is_refused(town: Town, name: str) -> None:
    refused = send(town, town.key(), name, body())
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "Idempotency-Key"


def test_a_repeated_answer_goes_by_the_name_of_the_call_that_was_charged(town: Town) -> None:
    key, name = town.key(), secrets.token_hex(8)
    first, again = send(town, key, name, body()), send(town, key, name, body())
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-request-id"].removeprefix("req_") == again.json()["id"].removeprefix("chatcmpl-")
