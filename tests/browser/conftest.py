"""A real browser on a real running product. A script error or a breach of the content policy fails the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.gallery import browser
from tests.gallery.browser import PATIENCE_MS, NoBrowser, Window
from tests.product import Product


@dataclass(frozen=True)
class Demo:
    """The product with its demo tenant, as ``make up`` makes it."""

    product: Product
    api_key: str
    email: str
    password: str

    def sign_in(self, page: Page) -> None:
        """By the form, as people do."""
        page.goto("/")
        page.get_by_label("Email").fill(self.email)
        page.get_by_label("Password").fill(self.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/t/demo/")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a module."""
    expect.set_options(timeout=PATIENCE_MS)
    try:
        with browser.chromium() as started:
            yield started
    except NoBrowser as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, test_servers: Any) -> Iterator[Demo]:
    """The whole product with jobs, and the demo tenant in it."""
    product = Product(test_servers, tmp_path_factory.mktemp("browser"), jobs=True)
    try:
        product.start()
        told = json.loads(product.manage("seed_demo", "--sandbox-url", product.sandbox.url, "--json"))
        yield Demo(product, told["api_key"], told["email"], told["password"])
    finally:
        product.stop()


@pytest.fixture
def window(chromium: Browser, demo: Demo) -> Iterator[Window]:
    """Fails the test if a page had a script error, a warning or a breach of policy."""
    made = Window(chromium, demo.product.web_url)
    yield made
    made.close()
    assert made.problems == []


@pytest.fixture
def page(window: Window, demo: Demo) -> Page:
    """A page signed in as the demo user."""
    opened = window.open()
    demo.sign_in(opened)
    return opened


@pytest.fixture
def opened(window: Window) -> Callable[..., Page]:
    """Opens pages with options, not signed in."""
    return window.open
