"""Looks at a page as people do: in light and dark, on a phone, and through axe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Error, Page

from tests.gallery.browser import Window
from tests.gallery.house import House
from tests.gallery.picture import Picture

LIGHT: dict[str, Any] = {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}}
DARK: dict[str, Any] = {**LIGHT, "color_scheme": "dark"}
PHONE: dict[str, Any] = {
    "color_scheme": "light", "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True,
}  # fmt: skip
LOOKS = {"light": LIGHT, "dark": DARK, "phone": PHONE}
GRAVE = ("serious", "critical")
AXE = """
async (options) => {
  const found = await axe.run(document, options);
  return found.violations.map((one) => ({
    id: one.id, impact: one.impact, help: one.help, nodes: one.nodes.map((node) => node.target.join(" ")),
  }));
}
"""
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Eyes:
    """Opens the pages of a house in one look, signed in as whoever each is for."""

    browser: Browser
    house: House
    look: dict[str, Any]
    windows: dict[str, Window] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)

    def open(self, picture: Picture) -> Page:
        """The page of a picture, loaded."""
        if picture.who not in self.pages:
            self.windows[picture.who] = window = Window(self.browser, self.house.url)
            page = self.pages[picture.who] = window.open(**self.look)
            if picture.who:
                self._sign_in(page, picture.who)
        page = self.pages[picture.who]
        try:
            answer = page.goto(picture.address)
        except Error as error:
            self.windows[picture.who].problems.append(f"not shown: {error.message.splitlines()[0]}")
        else:
            if answer is not None and answer.status >= 400 and picture.route:
                self.windows[picture.who].problems.append(f"answered {answer.status}")
        return page

    def heard(self, picture: Picture) -> list[str]:
        """What went wrong in a page since the last time this was asked."""
        problems = self.windows[picture.who].problems
        told = [problem for problem in problems if "404 (Not Found)" not in problem or picture.route]
        problems.clear()
        return told

    def close(self) -> None:
        """Close everything."""
        for window in self.windows.values():
            window.close()

    def _sign_in(self, page: Page, email: str) -> None:
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill(self.house.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/accounts/login" not in url)


def violations(page: Page, picture: Picture, *, only: tuple[str, ...] = ()) -> list[str]:
    """What axe finds in a page, the impact first: WCAG AA and, where the frame of the page is ours, good practice.

    ``only`` names rules to look at and no others.
    """
    rules = only or (WCAG if picture.route.startswith("admin:") else (*WCAG, "best-practice"))
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(AXE, {"resultTypes": ["violations"], "runOnly": list(rules)})
    return [
        f"{one['impact']}: {one['id']}, {one['help']}: {'; '.join(one['nodes'][:4])}"
        + (f" and {len(one['nodes']) - 4} more" if len(one["nodes"]) > 4 else "")
        for one in found
    ]


def too_wide(page: Page) -> int:
    """By how many pixels a page must be scrolled sideways."""
    return max(0, int(page.evaluate(TOO_WIDE)))


def take(page: Page, path: Path) -> None:
    """The whole page as a picture."""
    page.evaluate("document.fonts.ready.then(() => true)")
    page.screenshot(path=path, full_page=True, animations="disabled")
