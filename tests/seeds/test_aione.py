"""AIone's page of complete examples: its requests as they stand, its shapes, and what it promises."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx
import pytest

from tests.clients.shop import spoken
from tests.proxy.refusals import refused
from tests.seeds.pages import Market, events, like

COMPLETIONS = "/v1/chat/completions"
MODEL = "claude-sonnet-4-6"
EXAMPLE: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant. Please answer concisely."},
        {"role": "user", "content": "What is a RESTful API? Explain in 3 sentences."},
    ],
    "max_tokens": 500,
    "temperature": 0.7,
    "stream": True,
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather for a specified city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "City name"}},
                "required": ["city"],
            },
        },
    }
]
CHUNK = {
    "id": "chatcmpl-abc",
    "object": "chat.completion.chunk",
    "model": "claude-sonnet-4-6",
    "choices": [{"index": 0, "delta": {}}],
}
ANSWER = {
    "id": "chatcmpl-abc123def456",
    "object": "chat.completion",
    "created": 1711500000,
    "model": "claude-sonnet-4-6",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 42, "completion_tokens": 85, "total_tokens": 127},
}


def test_the_streaming_example(api: httpx.Client) -> None:
    answer = api.post(COMPLETIONS, json=EXAMPLE)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    chunks = events(answer.text)
    for chunk in chunks:
        like(chunk, CHUNK)
    *before, last = (chunk["choices"][0] for chunk in chunks)
    assert [choice["finish_reason"] for choice in before] == [None] * len(before)
    assert last["finish_reason"] == "stop"
    assert "".join(choice["delta"].get("content") or "" for choice in before) == EXAMPLE["messages"][1]["content"]


def test_the_example_without_streaming(api: httpx.Client) -> None:
    answer = api.post(COMPLETIONS, json={**EXAMPLE, "stream": False}).json()
    like(answer, ANSWER)
    assert (answer["object"], answer["model"]) == ("chat.completion", MODEL)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_the_openai_library(market: Market, key: str) -> None:
    with market.client(key) as client:
        stream = client.chat.completions.create(**EXAMPLE)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == EXAMPLE["messages"][1]["content"]


def test_a_limit_of_tokens_ends_with_length(api: httpx.Client) -> None:
    answer = api.post(COMPLETIONS, json={**EXAMPLE, "stream": False, "max_tokens": 3}).json()
    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 3)
    chunks = events(api.post(COMPLETIONS, json={**EXAMPLE, "max_tokens": 3}).text)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_conversations_of_several_turns(api: httpx.Client) -> None:
    turns = [*EXAMPLE["messages"], {"role": "assistant", "content": "An interface."}]
    turns.append({"role": "user", "content": "Go on"})
    answer = api.post(COMPLETIONS, json={"model": MODEL, "messages": turns}).json()
    assert answer["choices"][0]["message"]["content"] == "Go on"


@pytest.mark.parametrize("temperature", [0, 0.7, 1.5, 2])
def test_temperatures_in_range(api: httpx.Client, temperature: float) -> None:
    body = {**EXAMPLE, "stream": False, "temperature": temperature}
    assert api.post(COMPLETIONS, json=body).status_code == 200


def test_tools(api: httpx.Client) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Oslo"}], "tools": TOOLS}
    choice = api.post(COMPLETIONS, json=body).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


def test_json_mode_on_a_claude_model(api: httpx.Client) -> None:
    messages = [{"role": "user", "content": '{"a": 1}'}]
    body = {"model": MODEL, "messages": messages, "response_format": {"type": "json_object"}}
    assert api.post(COMPLETIONS, json=body).json()["choices"][0]["message"]["content"] == '{"a": 1}'


def test_a_key_that_is_not_authorised_for_the_model(market: Market) -> None:
    answer = market.post(market.key("--models", "gpt-4o-mini"), MODEL)
    refused(answer, 403, "permission_error", "model_not_allowed", "model")


def test_errors_have_real_statuses(market: Market, api: httpx.Client) -> None:
    messages = [{"role": "user", "content": "x"}]
    for kind, status in (("503", 503), ("500", 502), ("400", 400)):
        model = market.fresh("openai", kind)
        for stream in (False, True):
            answer = api.post(COMPLETIONS, json={"model": model, "messages": messages, "stream": stream})
            assert answer.status_code == status
    narrow = market.key("--rpm", "1")
    assert [market.post(narrow, MODEL).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("dialect", spoken())
def test_streams_are_not_buffered(api: httpx.Client, dialect: str) -> None:
    body = {"model": f"{dialect}/paced-100x10", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with api.stream("POST", COMPLETIONS, json=body) as answer:
        at = [time.monotonic() for line in answer.iter_lines() if line.startswith("data: {")]
    assert at[-1] - at[0] > 0.5
    assert max(later - sooner for sooner, later in itertools.pairwise(at)) < 0.5


def test_image_models_take_their_parameters(api: httpx.Client) -> None:
    body = {
        "model": "gemini-2.5-flash-image-preview",
        "messages": [{"role": "user", "content": "A banana"}],
        "aspect_ratio": "16:9",
        "image_size": "1K",
        "top_k": 40,
    }
    answer = api.post(COMPLETIONS, json=body)
    assert answer.status_code == 200, answer.text
    [image] = answer.json()["choices"][0]["message"]["images"]
    assert image["type"] == "image_url"
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert answer.json()["cost"]["amount"] > 0


@pytest.mark.parametrize("dialect", spoken())
def test_cached_tokens_are_shown_and_cheaper(api: httpx.Client, market: Market, dialect: str) -> None:
    parts = [{"type": "text", "text": "a b c d e f g h", "cache_control": {"type": "ephemeral"}}]
    body = {"model": f"{dialect}/cached", "messages": [{"role": "user", "content": parts}], "prompt_cache_key": "k"}
    cached = api.post(COMPLETIONS, json=body).json()
    plain = api.post(COMPLETIONS, json={**body, "model": f"{dialect}/echo"}).json()
    assert cached["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert cached["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"]
    assert cached["cost"]["amount"] < plain["cost"]["amount"]


def test_answers_say_which_upstream_and_model_gave_them(api: httpx.Client) -> None:
    headers = api.post(COMPLETIONS, json={**EXAMPLE, "stream": False}).headers
    wanted = "anthropic" if "anthropic" in spoken() else "openai"
    assert (headers["x-tollgate-upstream"], headers["x-tollgate-model"]) == (wanted, "sandbox/tools")


def test_clients_may_back_off_exponentially(market: Market, key: str) -> None:
    model = market.fresh("openai", "flaky-1")
    with market.client(key, max_retries=2) as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}], user="seed")
    assert answer.choices[0].message.content == "x"
