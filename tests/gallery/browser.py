"""Chromium, wherever it is, and pages in it that remember what went wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PATIENCE_MS = 20_000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "The pages are looked at in Chromium, and there is none: apt-get install chromium, or playwright install chromium."
)
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
#: Reported by the page itself, because a console message can be missed.
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


class NoBrowser(Exception):
    """There is no Chromium on this machine; the message says how to get one."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, headless. While it runs, Playwright's loop bars every other from its thread. Raises NoBrowser."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            raise NoBrowser(MISSING)
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


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

    def close(self) -> None:
        """Close its pages."""
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def _heard(self, kind: str, text: str) -> None:
        expected = "Failed to load resource" in text and "422" in text  # a form that came back with errors
        if kind in ("error", "warning") and not expected:
            self.problems.append(f"{kind}: {text}")

    def _failed(self, url: str, why: str | None) -> None:
        if not url.startswith(self.origin):
            self.problems.append(f"asked another origin: {url} ({why})")
