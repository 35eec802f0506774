"""aiapi.services' JavaScript examples in Node, as they stand."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.seeds import fetch
from tests.seeds.pages import Market, Page


@pytest.fixture
def page(market: Market, key: str) -> Page:
    return Page("https://aiapi.services", "YOUR_API_KEY", market.product.web_url, key)


def heard(page: Page, snippet: str) -> list[str]:
    """What a snippet wrote to its console."""
    run = f"(async () => {{ {page.ours(fetch.body_of(snippet))} }})()"
    script = f"{run}.then((lines) => process.stdout.write(JSON.stringify(lines)))"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines: list[str] = json.loads(done.stdout)
    return lines


def test_a_conversation_and_its_usage(page: Page) -> None:
    first, second = heard(page, fetch.CONVERSATION + fetch.USAGE)
    prompt, completion = (int(part.split(": ")[1]) for part in second.split(", "))
    assert first == f"Used {prompt + completion} tokens"
    assert completion == 5


def test_errors_are_handled(page: Page, market: Market) -> None:
    assert heard(page, fetch.ERRORS) == ["Hello"]
    stranger = Page(page.origin, page.key, page.our_origin, "nobody")
    assert heard(stranger, fetch.ERRORS) == ["API Error: Invalid API key provided"]
    [said] = heard(page, fetch.asking(fetch.ERRORS, market.fresh("openai", "503")))
    assert said.startswith("API Error: The model is overloaded upstream")


def test_retries_get_there(page: Page, market: Market) -> None:
    call = "const data = await callWithRetry(); console.log(data.choices[0].message.content);"
    for model in ("gemini-2.5-flash", market.fresh("openai", "flaky-1")):
        assert heard(page, fetch.asking(fetch.RETRIES, model) + call) == ["Hello"]
