"""aiand's page: its command as typed, every parameter of its table, its messages, its usage and its tool round trip."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.material import picture
from tests.clients.shop import ONE_ANSWER, spoken
from tests.proxy.refusals import refused
from tests.seeds.pages import Market, Page, events, like

COMMAND = """curl https://api.aiand.com/v1/chat/completions \\
-H "Authorization: Bearer sk-your-api-key" \\
-H "Content-Type: application/json" \\
-d '{
"model": "gpt-4o-mini",
"stream": true,
"messages": [{"role": "user", "content": "Count to 5"}]
}'
"""
ANSWER = {
    "id": "chatcmpl-abc123",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19},
}
TOOL_EXAMPLE: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "What's the weather in Tokyo?"}],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Get current weather for a location",
                "parameters": {
                    "type": "object",
                    "properties": {"location": {"type": "string"}},
                    "required": ["location"],
                },
            },
        }
    ],
}
TOOL_ANSWER = {
    "choices": [
        {
            "message": {
                "role": "assistant",
                "tool_calls": [
                    {"id": "call_abc123", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
                ],
            },
            "finish_reason": "tool_calls",
        }
    ]
}
SCHEMA = {"name": "a", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
COMPLETIONS = "/v1/chat/completions"
#: name → values that are taken, and values that are refused with the code
TABLE: dict[str, tuple[list[Any], dict[str, list[Any]]]] = {
    "stream": ([False], {"invalid_type": ["true"]}),
    "temperature": ([0, 2], {"decimal_below_min_value": [-0.1], "decimal_above_max_value": [2.1]}),
    "top_p": ([0, 1], {"decimal_below_min_value": [-0.1], "decimal_above_max_value": [1.1]}),
    "n": ([1, 128], {"integer_below_min_value": [0], "integer_above_max_value": [129], "invalid_type": [1.5]}),
    "max_tokens": ([1, 4096], {"integer_below_min_value": [0], "invalid_type": ["10"]}),
    "max_completion_tokens": ([1, 4096], {"integer_below_min_value": [0], "invalid_type": [True]}),
    "stop": (["a", ["a", "b", "c", "d"]], {"array_above_max_length": [list("abcde")], "invalid_type": [1]}),
    "frequency_penalty": ([-2, 2], {"decimal_below_min_value": [-2.1], "decimal_above_max_value": [2.1]}),
    "presence_penalty": ([-2, 2], {"decimal_below_min_value": [-2.1], "decimal_above_max_value": [2.1]}),
    "logprobs": ([True, False], {"invalid_type": ["yes"]}),
    "seed": ([0, -1, 2**53], {"invalid_type": ["1"]}),
    "parallel_tool_calls": ([True, False], {"invalid_type": [1]}),
    "reasoning_effort": (["none", "minimal", "low", "medium", "high", "xhigh"], {"invalid_value": ["extreme"]}),
    "top_k": ([0, 40], {"invalid_type": [1.5]}),
    "min_p": ([0, 1], {"decimal_below_min_value": [-0.1], "decimal_above_max_value": [1.1]}),
    "repetition_penalty": ([1, 1.2], {"invalid_type": ["1"]}),
    "user": (["user-123"], {"invalid_type": [1]}),
    "response_format": (
        [{"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "json_schema": SCHEMA}],
        {"invalid_type": ["json"]},
    ),
    "tool_choice": (["none", "auto"], {"invalid_type": [1]}),
}


@pytest.fixture
def page(market: Market, key: str) -> Page:
    return Page("https://api.aiand.com", "sk-your-api-key", market.product.web_url, key)


def body(content: Any = "Hello", **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], **fields}


def test_the_command(page: Page, tmp_path: Path) -> None:
    typed = page.curl(COMMAND, tmp_path)
    assert typed.status == 200
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in typed.events()) == "Count to 5"


def test_the_answer(api: httpx.Client) -> None:
    messages = [{"role": "system", "content": "You are a helpful assistant."}]
    messages += [{"role": "user", "content": "What is the capital of France?"}]
    messages += [{"role": "assistant", "content": "The capital of France is Paris."}]
    messages += [{"role": "user", "content": "Hello"}]
    answer = api.post(COMPLETIONS, json=body(messages=messages)).json()
    like(answer, ANSWER)
    assert answer["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize("name", TABLE)
def test_every_parameter_of_the_table(api: httpx.Client, name: str) -> None:
    taken, not_taken = TABLE[name]
    more = {"tools": TOOL_EXAMPLE["tools"]} if name in ("tool_choice", "parallel_tool_calls") else {}
    for value in taken:
        answer = api.post(COMPLETIONS, json=body(**{name: value}, **more))
        assert answer.status_code == 200, (value, answer.text)
    for code, values in not_taken.items():
        for value in values:
            refused(api.post(COMPLETIONS, json=body(**{name: value})), 400, "invalid_request_error", code, name)


def test_numbers_of_probabilities(api: httpx.Client) -> None:
    for number in (0, 20):
        assert api.post(COMPLETIONS, json=body(logprobs=True, top_logprobs=number)).status_code == 200
    for number, code in ((-1, "integer_below_min_value"), (21, "integer_above_max_value")):
        answer = api.post(COMPLETIONS, json=body(logprobs=True, top_logprobs=number))
        refused(answer, 400, "invalid_request_error", code, "top_logprobs")
    alone = api.post(COMPLETIONS, json=body(top_logprobs=1))
    assert (alone.status_code, alone.json()["error"]["param"]) == (400, "top_logprobs")


def test_biases_of_tokens(api: httpx.Client) -> None:
    assert api.post(COMPLETIONS, json=body(logit_bias={"50256": -100, "1": 100})).status_code == 200
    for bias in (-101, 101):
        answer = api.post(COMPLETIONS, json=body(logit_bias={"50256": bias}))
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "logit_bias.50256"


def test_many_choices(api: httpx.Client) -> None:
    answer = api.post(COMPLETIONS, json=body(n=128)).json()
    assert [choice["index"] for choice in answer["choices"]] == list(range(128))


@pytest.mark.parametrize("dialect", spoken())
def test_the_usage_is_in_the_last_event(api: httpx.Client, dialect: str) -> None:
    asked = body(model=f"{dialect}/reasoning", stream=True, stream_options={"include_usage": True})
    *before, last = events(api.post(COMPLETIONS, json=asked).text)
    assert last["choices"] == []
    assert all(chunk["choices"] and chunk.get("usage") is None for chunk in before)
    details = last["usage"]["completion_tokens_details"]
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    assert dialect in ONE_ANSWER or details["reasoning_tokens"] == 16
    like(last["usage"], {"prompt_tokens_details": {"cached_tokens": 0}})


@pytest.mark.parametrize("dialect", spoken())
def test_the_details_of_usage(api: httpx.Client, dialect: str) -> None:
    usage = api.post(COMPLETIONS, json=body("a b c d e f", model=f"{dialect}/cached")).json()["usage"]
    assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


@pytest.mark.parametrize("dialect", spoken())
def test_text_and_pictures(api: httpx.Client, dialect: str) -> None:
    parts = [{"type": "text", "text": "What's in this image?"}]
    parts.append({"type": "image_url", "image_url": {"url": picture(), "detail": "auto"}})  # type: ignore[dict-item]
    answer = api.post(COMPLETIONS, json=body(parts, model=f"{dialect}/echo")).json()
    assert answer["choices"][0]["message"]["content"] == "What's in this image?"


@pytest.mark.parametrize("dialect", spoken())
def test_files(api: httpx.Client, dialect: str) -> None:
    data = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4 nothing").decode()
    parts = [{"type": "text", "text": "Read"}, {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}]
    answer = api.post(COMPLETIONS, json=body(parts, model=f"{dialect}/echo", max_tokens=10))
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Read"


@pytest.mark.parametrize("dialect", spoken())
def test_sound(api: httpx.Client, dialect: str) -> None:
    sound = {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}
    parts = [{"type": "text", "text": "Listen"}, {"type": "input_audio", "input_audio": sound}]
    answer = api.post(COMPLETIONS, json=body(parts, model=f"{dialect}/hears", max_tokens=10))
    if dialect == "anthropic":  # it has no ears
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages[0].content[1].type")
        return
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Listen"


@pytest.mark.parametrize("dialect", ["", *spoken()])
def test_the_tool_round_trip(api: httpx.Client, dialect: str) -> None:
    asked = {**TOOL_EXAMPLE, **({"model": f"{dialect}/tools"} if dialect else {})}
    answer = api.post(COMPLETIONS, json=asked).json()
    like(answer, TOOL_ANSWER)
    message = answer["choices"][0]["message"]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": '{"result": 42}'}
    after = api.post(COMPLETIONS, json={**asked, "messages": [*asked["messages"], message, result]}).json()
    assert after["choices"][0]["message"]["content"].replace(" ", "") == 'Thetoolsays:{"result":42}'
    assert after["choices"][0]["finish_reason"] == "stop"
