"""A real browser on a real running product. A script error or a breach of the content policy fails the test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.product import Product

PATIENCE_MS = 20_000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
#: Reported by the page itself, because a console message can be missed.
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


@dataclass
class Window:
    """Opens pages of one product and remembers what went wrong in them."""

    browser: Browser
    origin: str
    problems: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, **options: Any) -> Page:
        """A page with cookies of its own; options such as ``color_scheme`` and ``viewport`` are playwright's."""
        context = self.browser.new_context(base_url=self.origin, **options)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(WATCH_POLICY)
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure))
        return page

    def _heard(self, kind: str, text: str) -> None:
        expected = "Failed to load resource" in text and "422" in text  # a form that came back with errors
        if kind in ("error", "warning") and not expected:
            self.problems.append(f"{kind}: {text}")

    def _failed(self, url: str, why: str | None) -> None:
        if not url.startswith(self.origin):
            self.problems.append(f"asked another origin: {url} ({why})")


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
    """One browser for the tests of a module. While Playwright runs, its loop bars every other from its thread."""
    expect.set_options(timeout=PATIENCE_MS)
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            pytest.fail("The browser tests need Chromium: apt-get install chromium, or playwright install chromium.")
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


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
    for context in made.contexts:
        context.close()
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
