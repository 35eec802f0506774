"""aiapi.services' JavaScript examples in a browser, on a page of another origin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from tests.browser.conftest import chromium
from tests.seeds import fetch
from tests.seeds.pages import Market, Page

__all__ = ["chromium"]


@pytest.fixture
def page(market: Market, key: str) -> Page:
    return Page("https://aiapi.services", "YOUR_API_KEY", market.product.web_url, key)


@pytest.fixture
def tab(chromium: Browser, market: Market) -> Iterator[Tab]:
    """A page of another origin: the sandbox's."""
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(market.sandbox.url + "/health")
    yield tab
    context.close()


def heard(tab: Tab, page: Page, snippet: str) -> list[str]:
    """What a snippet wrote to its console."""
    lines: list[str] = tab.evaluate(f"async () => {{ {page.ours(fetch.body_of(snippet))} }}")
    return lines


def test_the_examples_run(tab: Tab, page: Page) -> None:
    assert len(heard(tab, page, fetch.CONVERSATION + fetch.USAGE)) == 2
    assert heard(tab, page, fetch.ERRORS) == ["Hello"]


def test_errors_can_be_read(tab: Tab, page: Page) -> None:
    stranger = Page(page.origin, page.key, page.our_origin, "nobody")
    assert heard(tab, stranger, fetch.ERRORS) == ["API Error: Invalid API key provided"]
    [said] = heard(tab, page, fetch.asking(fetch.ERRORS, "nothing"))
    assert said.startswith("API Error: The model 'nothing' does not exist")


def test_a_stream_and_its_headers_can_be_read(tab: Tab, page: Page) -> None:
    streaming = fetch.CONVERSATION.replace("messages: messages", "messages: messages, stream: true")
    read = "console.log((await response.text()).trim().split('\\n').at(-1), response.headers.get('x-request-id'));"
    [line] = heard(tab, page, streaming + read)
    assert line.startswith("data: [DONE] req_")
