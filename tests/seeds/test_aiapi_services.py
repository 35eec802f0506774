"""aiapi.services' page: its commands as typed, its models by every name, its ranges at both ends, its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from portal import key_format
from tests.clients.shop import spoken
from tests.proxy.refusals import refused
from tests.seeds.pages import CATALOGUE, Market, Page, like

#: The page prints each command on one line; its line breaks are restored.
COMMAND = """curl https://aiapi.services/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{ "model": "gemini-2.5-flash", "messages": [ { "role": "system", "content": "You are a helpful AI assistant." },
 { "role": "user", "content": "Explain the history of artificial intelligence." } ],
 "temperature": 0.7, "max_tokens": 1000 }'
"""
STREAMING_COMMAND = """curl https://aiapi.services/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{ "model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}], "stream": true }'
"""
ANSWER = {
    "id": "chatcmpl-123",
    "object": "chat.completion",
    "created": 1677652288,
    "model": "gemini-2.5-flash",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 56, "completion_tokens": 150, "total_tokens": 206},
}
CHUNK = {
    "id": "chatcmpl-123",
    "object": "chat.completion.chunk",
    "created": 1694268190,
    "model": "gpt-4",
    "choices": [{"index": 0, "delta": {}}],
}
INVALID_KEY = {
    "error": {"message": "Invalid API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}
}
COMPLETIONS = "/v1/chat/completions"
NAMES = [name for model, (aliases, _, _) in CATALOGUE.items() for name in (model, *aliases)]
TALKERS = [name for name in NAMES if "image" not in name]
RANGES = [
    ("temperature", 0, 2, "decimal"),
    ("top_p", 0, 1, "decimal"),
    ("presence_penalty", -2, 2, "decimal"),
    ("frequency_penalty", -2, 2, "decimal"),
]


@pytest.fixture
def page(market: Market, key: str) -> Page:
    return Page("https://aiapi.services", "YOUR_API_KEY", market.product.web_url, key)


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello there you"}], **fields}


def test_the_command(page: Page, tmp_path: Path) -> None:
    typed = page.curl(COMMAND, tmp_path)
    like(typed.json(), ANSWER)
    assert (typed.status, typed.json()["object"]) == (200, "chat.completion")
    message = typed.json()["choices"][0]["message"]
    assert message["content"] == "Explain the history of artificial intelligence."


def test_the_streaming_command(page: Page, tmp_path: Path) -> None:
    typed = page.curl(STREAMING_COMMAND, tmp_path)
    assert typed.headers["content-type"].startswith("text/event-stream")
    chunks = typed.events()
    for chunk in chunks:
        like(chunk, CHUNK)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "Hello"
    assert chunks[0]["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_found_by_every_name(api: httpx.Client, name: str) -> None:
    for written in (name, quote(name, safe="")):
        found = api.get(f"/v1/models/{written}")
        assert (found.status_code, found.json()["id"], found.json()["object"]) == (200, name, "model")
        assert float(found.json()["price"]["input"]) > 0
    assert name in [model["id"] for model in api.get("/v1/models").json()["data"]]


@pytest.mark.parametrize("name", TALKERS)
def test_every_model_answers_by_every_name(api: httpx.Client, name: str) -> None:
    assert api.post(COMPLETIONS, json=body(model=name)).json()["model"] == name


def test_an_alias_is_the_model_it_names(api: httpx.Client) -> None:
    found = [api.get(f"/v1/models/{name}").json() for name in ("claude-sonnet-4-5", "claude-sonnet-4-5@20250929")]
    assert {one["canonical"] for one in found} == {"claude-sonnet-4-5"}
    assert found[0]["price"] == found[1]["price"]


@pytest.mark.parametrize(("name", "least", "most", "kind"), RANGES)
def test_ranges_hold_at_both_ends(api: httpx.Client, name: str, least: float, most: float, kind: str) -> None:
    for inside in (least, (least + most) / 2, most):
        assert api.post(COMPLETIONS, json=body(**{name: inside})).status_code == 200
    below = api.post(COMPLETIONS, json=body(**{name: least - 0.01}))
    refused(below, 400, "invalid_request_error", f"{kind}_below_min_value", name)
    above = api.post(COMPLETIONS, json=body(**{name: most + 0.01}))
    refused(above, 400, "invalid_request_error", f"{kind}_above_max_value", name)


def test_required_parameters_are_required(api: httpx.Client) -> None:
    for name in ("model", "messages"):
        lacking = {key: value for key, value in body().items() if key != name}
        answer = api.post(COMPLETIONS, json=lacking)
        refused(answer, 400, "invalid_request_error", "missing_required_parameter", name)


@pytest.mark.parametrize("dialect", spoken())
@pytest.mark.parametrize("stop", [" you", ["nothing", " you"]])
def test_stop_is_a_text_or_a_list(api: httpx.Client, dialect: str, stop: Any) -> None:
    choice = api.post(COMPLETIONS, json=body(model=f"{dialect}/echo", stop=stop)).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello there", "stop")


def test_the_end_user_may_be_named(api: httpx.Client) -> None:
    assert api.post(COMPLETIONS, json=body(user="user-1")).status_code == 200
    answer = api.post(COMPLETIONS, json=body(user=1))
    refused(answer, 400, "invalid_request_error", "invalid_type", "user")


@pytest.mark.parametrize("dialect", spoken())
def test_a_filtered_answer_says_so(market: Market, api: httpx.Client, dialect: str) -> None:
    model = market.fresh(dialect, "refusal")
    answer = api.post(COMPLETIONS, json=body(model=model)).json()
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    stream = api.post(COMPLETIONS, json=body(model=model, stream=True)).text
    assert '"finish_reason":"content_filter"' in stream


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {key_format.generate().text}"}, {"authorization": ""}])
def test_the_error_of_a_wrong_key_is_exactly_the_page_s(api: httpx.Client, headers: dict[str, str]) -> None:
    answer = api.post(COMPLETIONS, json=body(), headers=headers)
    assert answer.status_code == 401
    error = answer.json()
    assert error["error"].pop("param") is None
    assert error == INVALID_KEY


def test_every_status_of_the_page(market: Market, api: httpx.Client) -> None:
    assert api.post(COMPLETIONS, json=body(temperature=3)).status_code == 400
    assert api.post(COMPLETIONS, json=body(), headers={"authorization": "Bearer x"}).status_code == 401
    narrow = {"authorization": f"Bearer {market.key('--rpm', '1')}"}
    assert [api.post(COMPLETIONS, json=body(), headers=narrow).status_code for _ in range(2)] == [200, 429]
    answer = api.post(COMPLETIONS, json=body(model=market.fresh("openai", "503")))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("dialect", spoken())
@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_fit_the_context_is_refused(
    market: Market, api: httpx.Client, dialect: str, stream: bool
) -> None:
    answer = api.post(COMPLETIONS, json=body(model=market.fresh(dialect, "too-long"), stream=stream))
    refused(answer, 400, "invalid_request_error", "context_length_exceeded")


def test_a_browser_may_call_from_anywhere(api: httpx.Client, market: Market) -> None:
    origin = {"origin": "https://app.example"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    preflight = httpx.options(market.product.web_url + COMPLETIONS, headers={**origin, **asked})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    for sent in (body(), body(temperature=3), body(stream=True)):
        answer = api.post(COMPLETIONS, content=json.dumps(sent), headers={**origin, "content-type": "application/json"})
        assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example")
