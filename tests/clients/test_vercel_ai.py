"""The Vercel AI SDK, as it comes, with its OpenAI providers, against every dialect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import nodejs
from tests.clients.material import SAID
from tests.clients.shop import Shop, spoken

Told = dict[str, Any]
PROVIDERS = ("chat", "responses", "compatible")
FAILING = ("500", "503", "429-1")
ERRORS = {
    "badRequest": (400, False),
    "wrongKey": (401, False),
    "forbidden": (403, False),
    "notFound": (404, False),
    "upstream500": (502, True),
    "upstream503": (503, True),
}


@pytest.fixture(scope="module")
def scenes(shop: Shop, key: str) -> dict[str, Told]:
    """What each case of the script came to, by provider and dialect."""
    nodejs.install()
    asked = {f"{provider} {name}": scene(shop, name, provider) for provider in PROVIDERS for name in spoken()}
    return nodejs.run("vercel.mjs", shop.product.base_url, key, asked)


def scene(shop: Shop, dialect: str, provider: str) -> dict[str, Any]:
    """What the script needs for a dialect and a provider: models that fail, keys that are limited."""
    return {
        "dialect": dialect,
        "provider": provider,
        "models": {kind: shop.fresh(dialect, kind) for kind in FAILING},
        "narrow": shop.key("--models", f"{dialect}/echo"),
        "spent": shop.key("--budget", "0.000001"),
    }


@pytest.fixture(params=PROVIDERS)
def told(scenes: dict[str, Told], dialect: str, request: pytest.FixtureRequest) -> Told:
    """What each case came to with one of the SDK's providers."""
    return scenes[f"{request.param} {dialect}"]


def test_it_answers(told: Told, dialect: str) -> None:
    answer = told["plain"]
    assert (answer["text"], answer["finish"], answer["model"]) == (SAID, "stop", f"{dialect}/echo")
    assert answer["usage"]["output"] == 3


def test_it_streams_with_usage(told: Told) -> None:
    assert (told["stream"]["text"], told["stream"]["finish"]) == (SAID, "stop")
    assert told["stream"]["usage"]["output"] == 3


def test_it_runs_tools(told: Told) -> None:
    wanted = {"text": "The tool says: found Paris", "calls": [{"text": "Paris"}]}
    assert {name: told["tools"][name] for name in wanted} == wanted
    assert told["streamedTools"] == {**wanted, "errors": 0}


def test_it_answers_in_a_shape(told: Told) -> None:
    assert [told[case] for case in ("shape", "shapeOfText", "streamedShape")] == [{"echo": SAID}] * 3


def test_it_is_shown_a_picture(told: Told) -> None:
    assert told["picture"] == "What is this?"


def test_fifty_at_once_and_five_megabytes(told: Told) -> None:
    assert told["fiftyAtOnce"] == 50
    assert told["fiveMegabytes"]["input"] > 1_000_000


def test_a_stream_can_be_aborted(told: Told) -> None:
    assert told["aborted"]["aborted"]


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_its_own(told: Told, case: str) -> None:
    error = told[case]["threw"]
    assert (error["name"], error["status"], error["isRetryable"]) == ("AI_APICallError", *ERRORS[case])
    assert error["requestId"].startswith("req_")


def test_it_calls_again_after_the_time_it_was_told(told: Told) -> None:
    assert (told["quota"]["status"], told["quota"]["body"]) == (429, "insufficient_quota")
    assert (told["patient"]["kind"], told["patient"]["calls"]) == ("AI_RetryError", 2)
    assert told["patient"]["waited"] >= 900
