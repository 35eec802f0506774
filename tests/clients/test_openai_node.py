"""openai-node, as it comes, against every dialect: one run of the script, one test per case."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import nodejs
from tests.clients.material import SAID
from tests.clients.shop import ONE_ANSWER, Shop, spoken

Told = dict[str, Any]
FAILING = ("400", "500", "503", "timeout", "flaky-1", "429-1")
ERRORS = {
    "badRequest": ("BadRequestError", 400, "decimal_above_max_value"),
    "wrongKey": ("AuthenticationError", 401, "invalid_api_key"),
    "forbidden": ("PermissionDeniedError", 403, "model_not_allowed"),
    "notFound": ("NotFoundError", 404, "model_not_found"),
    "tooLarge": ("APIError", 413, "request_too_large"),
    "rate": ("RateLimitError", 429, "rate_limit_exceeded"),
    "upstream400": ("BadRequestError", 400, "invalid_value"),
    "upstream500": ("InternalServerError", 502, "bad_gateway"),
    "upstream503": ("InternalServerError", 503, "upstream_overloaded"),
    "upstreamTimeout": ("InternalServerError", 504, "timeout"),
}


@pytest.fixture(scope="module")
def scenes(shop: Shop, key: str) -> dict[str, Told]:
    """What each case of the script came to, by dialect."""
    nodejs.install()
    return nodejs.run("openai.mjs", shop.product.base_url, key, {name: scene(shop, name) for name in spoken()})


def scene(shop: Shop, dialect: str) -> dict[str, Any]:
    """What the script needs for a dialect: models that fail, keys that are limited."""
    return {
        "dialect": dialect,
        "models": {kind: shop.fresh(dialect, kind, "brief" if kind == "timeout" else "") for kind in FAILING},
        "narrow": shop.key("--models", f"{dialect}/echo"),
        "slow": shop.key("--rpm", "1"),
        "spent": shop.key("--budget", "0.000001"),
        "user": f"node-{dialect}",
    }


@pytest.fixture
def told(scenes: dict[str, Told], dialect: str) -> Told:
    """What each case came to."""
    return scenes[dialect]


def test_it_answers(told: Told, dialect: str) -> None:
    answer = told["plain"]
    assert answer["choices"][0]["message"]["content"] == SAID
    assert (answer["model"], answer["usage"]["completion_tokens"]) == (f"{dialect}/echo", 3)
    assert answer["requestId"] == "req_" + answer["id"].removeprefix("chatcmpl-")


def test_it_streams_with_usage(told: Told) -> None:
    assert told["stream"]["text"] == SAID
    assert told["stream"]["choices"] == []
    assert told["stream"]["usage"]["completion_tokens"] == 3


def test_it_calls_tools_and_reads_their_results(told: Told) -> None:
    assert told["tools"]["call"]["name"] == "look_up"
    assert told["tools"]["call"]["arguments"].replace(" ", "") == '{"text":"Paris"}'
    assert (told["tools"]["finish"], told["tools"]["after"]) == ("tool_calls", "The tool says: sunny")


def test_it_streams_tools(told: Told) -> None:
    [call] = told["streamedTools"]
    assert (call["name"], call["arguments"].replace(" ", "")) == ("look_up", '{"text":"Paris"}')
    assert told["toolsRunThemselves"] == "The tool says: found Paris"


def test_it_answers_in_a_shape(told: Told) -> None:
    assert told["shape"] == {"echo": SAID}


def test_it_is_shown_a_picture(told: Told) -> None:
    assert told["picture"] == "What is this?"


def test_it_gives_two_answers_and_probabilities(told: Told, dialect: str) -> None:
    if dialect in ONE_ANSWER:
        assert told["twoAnswers"]["threw"]["param"] == "n"
        assert told["probabilities"] is None
        return
    assert told["twoAnswers"] == [SAID, SAID]
    assert [token["token"] for token in told["probabilities"]["content"]] == ["one", " two", " three"]


def test_fifty_at_once_and_five_megabytes(told: Told) -> None:
    assert told["fiftyAtOnce"] == 50
    assert told["fiveMegabytes"]["prompt_tokens"] > 1_000_000


def test_a_stream_that_is_aborted_is_settled_at_what_it_used(told: Told, shop: Shop) -> None:
    event = shop.event(told["aborted"])
    assert (event["state"], event["basis"], event["completion_tokens"]) == ("settled", "exact", 100)


def test_it_lists_and_finds_models(told: Told, dialect: str) -> None:
    assert told["models"] == {"listed": True, "found": f"{dialect}/echo"}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_its_own(told: Told, case: str) -> None:
    error = told[case]["threw"]
    assert (error["kind"], error["status"], error["code"]) == ERRORS[case]
    assert error["requestId"].startswith("req_")


def test_it_calls_again_when_told_and_only_then(told: Told) -> None:
    assert (told["quota"]["kind"], told["quota"]["code"], told["quota"]["calls"]) == (
        "RateLimitError", "insufficient_quota", 1,
    )  # fmt: skip
    assert (told["flaky"]["content"], told["flaky"]["calls"]) == (SAID, 2)
    assert told["patient"]["calls"] == 2
    assert told["patient"]["waited"] >= 900
