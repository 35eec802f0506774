"""The page of ``{BASE_URL}/api/v1``: its command as typed, and its envelope around answers and errors alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.seeds.pages import Market, Page, events, like

COMMAND = """curl --request POST '{BASE_URL}/api/v1/chat/completions' \\
--header 'Authorization: Bearer {token}' \\
--header 'Content-Type: application/json' \\
--data '{
"model": "gpt-3.5-turbo",
"messages": [
{"role": "user", "content": "Hello!"}
],
"stream": false,
"max_tokens": 2048,
"temperature": 1.0
}'
"""
ANSWER = {
    "success": True,
    "code": "200",
    "message": "successful",
    "data": {
        "id": "chatcmpl-123",
        "object": "chat.completion",
        "created": 1677652288,
        "model": "gpt-3.5-turbo",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    },
}
COMPLETIONS = "/api/v1/chat/completions"
BODY: dict[str, Any] = {"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture
def page(market: Market, key: str) -> Page:
    return Page("{BASE_URL}", "{token}", market.product.web_url, key)


def test_the_command(page: Page, tmp_path: Path) -> None:
    typed = page.curl(COMMAND, tmp_path)
    answer = typed.json()
    assert (typed.status, typed.headers["content-type"]) == (200, "application/json")
    assert list(answer) == ["success", "code", "message", "data"]
    like(answer, ANSWER)
    assert (answer["success"], answer["code"], answer["message"]) == (True, "200", "successful")
    assert answer["data"]["choices"][0]["message"]["content"] == "Hello!"
    assert answer["data"]["model"] == "gpt-3.5-turbo"


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_every_parameter_of_the_page(api: httpx.Client, limit: str) -> None:
    body = {**BODY, "stream": False, limit: 512, "temperature": 1.0, "top_p": 1.0, "user": "user-123"}
    assert api.post(COMPLETIONS, json=body).json()["success"] is True


def test_the_content_type_is_optional(api: httpx.Client) -> None:
    answer = api.post(COMPLETIONS, content=json.dumps(BODY))
    assert "content-type" not in answer.request.headers
    assert answer.json()["success"] is True


def test_errors_are_in_the_envelope_with_the_real_status(api: httpx.Client, market: Market) -> None:
    busy = market.fresh("openai", "503")
    cases = [
        ({**BODY, "temperature": 3}, {}, 400),
        (BODY, {"authorization": "Bearer nobody"}, 401),
        ({**BODY, "model": "nothing"}, {}, 404),
        ({**BODY, "model": busy}, {}, 503),
        ({**BODY, "model": busy, "stream": True}, {}, 503),
    ]
    for body, headers, status in cases:
        answer = api.post(COMPLETIONS, json=body, headers=headers)
        wrapped = answer.json()
        assert (answer.status_code, wrapped["success"], wrapped["code"]) == (status, False, str(status))
        assert wrapped["data"] is None
        assert wrapped["message"]
    assert api.get("/api/v1/nothing").json()["code"] == "404"


def test_a_spent_budget_is_in_the_envelope(market: Market) -> None:
    headers = {"authorization": f"Bearer {market.key('--budget', '0.000001')}"}
    answer = httpx.post(market.product.web_url + COMPLETIONS, json=BODY, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["success"]) == (429, "429", False)


def test_streams_are_plain_chunks(api: httpx.Client) -> None:
    answer = api.post(COMPLETIONS, json={**BODY, "stream": True, "stream_options": {"include_usage": True}})
    chunks = events(answer.text)
    assert "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]) == "Hello!"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all("success" not in chunk for chunk in chunks)


def test_the_envelope_is_nowhere_else(api: httpx.Client) -> None:
    for body in (BODY, {**BODY, "model": "nothing"}):
        answer = api.post("/v1/chat/completions", json=body).json()
        assert not {"success", "data", "code"} & answer.keys()
