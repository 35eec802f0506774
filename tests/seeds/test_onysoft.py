"""Onysoft's page: its command as typed, ids of its shape by a setting, the cost in the answer, and its language."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.seeds.conftest import open_client, open_market
from tests.seeds.pages import Market, Page, events, like

COMMAND = """curl https://api.onysoft.com/v1/chat/completions \\
  -H "Authorization: Bearer sk-ony-your-api-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "openai/gpt-4o-mini",
    "messages": [
      {
        "role": "system",
        "content": "Sen yardımcı bir asistansın."
      },
      {
        "role": "user",
        "content": "Python'da liste nasıl oluşturulur?"
      }
    ],
    "temperature": 0.7,
    "max_tokens": 500
  }'
"""
ANSWER = {
    "id": "req_a1b2c3d4e5f6a1b2c3d4e5f6",
    "object": "chat.completion",
    "created": 1706000000,
    "model": "openai/gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Python"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 28, "completion_tokens": 95, "total_tokens": 123},
    "cost": {"amount": 0.000061, "currency": "USD"},
}
QUESTION = "Python'da liste nasıl oluşturulur?"


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    """A market whose answers have ids of the page's shape."""
    yield from open_market({"TOLLGATE_ID_PREFIX": "req_"})


@pytest.fixture(scope="module")
def key(market: Market) -> str:
    return market.key()


@pytest.fixture(scope="module")
def api(market: Market, key: str) -> Iterator[httpx.Client]:
    yield from open_client(market, key)


@pytest.fixture
def page(market: Market, key: str) -> Page:
    return Page("https://api.onysoft.com", "sk-ony-your-api-key", market.product.web_url, key)


def body(**fields: object) -> dict[str, object]:
    return {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}], **fields}


def in_the_shell(command: str) -> str:
    """The page's command with the apostrophe of its question as a shell wants it, which the page forgot."""
    return command.replace("Python'da", "Python'\\''da")


def test_the_command(page: Page, market: Market, tmp_path: Path) -> None:
    typed = page.curl(in_the_shell(COMMAND), tmp_path)
    answer = typed.json()
    assert typed.status == 200
    like(answer, ANSWER)
    assert re.fullmatch("req_[0-9a-f]{24}", answer["id"])
    assert answer["id"] == typed.headers["x-request-id"]
    assert answer["choices"][0]["message"]["content"] == QUESTION
    assert QUESTION in typed.body
    event = market.event(answer["id"])
    exact = json.loads(typed.body, parse_float=Decimal)["cost"]
    assert exact == {"amount": Decimal(event["cost"]) / 10**12, "currency": "USD"}


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4"])
def test_models_named_with_their_provider(api: httpx.Client, model: str) -> None:
    assert api.post("/v1/chat/completions", json=body(model=model)).json()["model"] == model
    assert api.get(f"/v1/models/{model}").json()["id"] == model


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4"])
def test_a_stream_tells_its_cost_with_its_usage(api: httpx.Client, market: Market, model: str) -> None:
    asked = body(model=model, stream=True, stream_options={"include_usage": True})
    answer = api.post("/v1/chat/completions", json=asked)
    *before, last = events(answer.text)
    said = "".join(choice["delta"].get("content") or "" for chunk in before for choice in chunk["choices"])
    assert said == QUESTION
    assert all(re.fullmatch("req_[0-9a-f]{24}", chunk["id"]) for chunk in before)
    assert all("cost" not in chunk for chunk in before)
    exact = json.loads(re.findall(r"data: (\{.*)", answer.text)[-1], parse_float=Decimal)["cost"]
    assert exact == {"amount": Decimal(market.event(last["id"])["cost"]) / 10**12, "currency": "USD"}


def test_no_temperature_is_sent_that_nobody_asked_for(api: httpx.Client, market: Market) -> None:
    """The page's own default would change what other pages promise, so the upstream's default stands."""
    model = market.fresh("openai", "no-sampling")
    assert api.post("/v1/chat/completions", json=body(model=model)).status_code == 200
