"""What an upstream says of its usage, and what of it a client is shown."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.meters import NOTHING
from proxy.dialects.openai import OpenAI
from proxy.dialects.shape import Asked, FailureMessage
from proxy.upstream import judge

ASKED = Asked("chatcmpl-1", "ours", include_usage=True, context_window=1000)
OWN = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}
ROUTER = {**OWN, "cost": 0.0001, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}
XAI = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "total_tokens": 33,
    "completion_tokens_details": {"reasoning_tokens": 16},
}


def whole(usage: dict[str, Any]) -> dict[str, Any]:
    """The usage that a whole answer shows."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    body = {"id": "1", "model": "m", "choices": [choice], "usage": usage, "cost": 0.0001}
    shown = OpenAI().answer(orjson.dumps(body), ASKED).body
    assert "cost" not in shown
    found: dict[str, Any] = shown["usage"]
    return found


def streamed(usage: dict[str, Any]) -> dict[str, Any]:
    """The usage that a stream shows."""
    stream = OpenAI().stream(ASKED)
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
    stream.feed(b"data: " + orjson.dumps({"id": "1", "model": "m", "choices": [choice]}) + b"\n\n")
    stream.feed(b"data: " + orjson.dumps({"id": "1", "model": "m", "choices": [], "usage": usage}) + b"\n\n")
    tail = stream.tail(stream.usage or NOTHING, {})
    found: dict[str, Any] = orjson.loads(tail.partition(b"data: ")[2].partition(b"\n")[0])["usage"]
    return found


@pytest.mark.parametrize("show", [whole, streamed])
def test_openais_own_words_are_shown_as_they_are(show: Any) -> None:
    assert show(OWN) == OWN


@pytest.mark.parametrize("show", [whole, streamed])
def test_what_the_operator_pays_is_not_shown(show: Any) -> None:
    shown = show(ROUTER)
    assert {name: shown[name] for name in OWN} == OWN
    assert not {"cost", "is_byok", "cost_details"} & shown.keys()


@pytest.mark.parametrize("show", [whole, streamed])
def test_completion_tokens_include_reasoning_whatever_the_upstream_thinks(show: Any) -> None:
    shown = show(XAI)
    assert (shown["prompt_tokens"], shown["completion_tokens"], shown["total_tokens"]) == (10, 23, 33)
    assert shown["completion_tokens_details"]["reasoning_tokens"] == 16


@pytest.mark.parametrize("code", ["content_policy_violation", "content_policy", "content_filter"])
def test_a_prompt_that_a_filter_refused_has_one_name(code: str) -> None:
    assert judge(400, FailureMessage("no", code), None).error.code == "content_filter"


def test_a_wait_that_is_only_in_the_body_is_heeded() -> None:
    told = FailureMessage("slow down", extra={"retry_after_s": 7.0})
    failure = judge(429, told, None)
    assert failure.retry_after_s == 7.0
    assert (b"retry-after", b"7") in failure.error.headers
    assert judge(429, told, "3").retry_after_s == 3.0
