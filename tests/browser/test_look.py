"""Dark mode, phones, contrast and weight of the pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo

pytestmark = pytest.mark.timeout(300)

PAGES = (
    "",
    "keys/",
    "keys/new/",
    "usage/",
    "usage/?by=model&span=7",
    "calls/",
    "projects/",
    "projects/default/",
    "wallet/",
    "limits/",
    "limits/change/",
    "invoices/",
    "members/",
    "tokens/",
    "audit/",
    "settings/",
)
OTHERS = ("/docs/api", "/account/", "/accounts/email/", "/accounts/password/change/", "/accounts/2fa/", "/new/")
PHONE = {"width": 360, "height": 740}
MOST_BYTES = 150_000

#: Text whose contrast with what is behind it is below WCAG AA (4.5, or 3 for large text), each with its ratio.
FAINT = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (parts) => {
    const [r, g, b] = parts.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgb(getComputedStyle(element).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return rgb(getComputedStyle(document.documentElement).colorScheme === "dark" ? "#000" : "#fff");
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg, .visually-hidden, .skip, option, select") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [one, two] = [light(rgb(style.color)), light(ground(element))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...new Set(found)];
}
"""


def each(demo: Demo, page: Page) -> list[str]:
    """The addresses of every page, with a call and a key to show."""
    assert demo.product.post(demo.api_key).status_code == 200
    addresses = [f"/t/demo/{part}" for part in PAGES] + list(OTHERS)
    for listing in ("calls", "keys"):
        page.goto(f"/t/demo/{listing}/")
        addresses.append(str(page.locator("tbody th a").first.get_attribute("href")))
    return addresses


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_contrast_everywhere(opened: Callable[..., Page], demo: Demo, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    demo.sign_in(page)
    faint = {}
    for address in each(demo, page):
        page.goto(address)
        faint[address] = page.evaluate(FAINT)
    assert {address: found for address, found in faint.items() if found} == {}


def test_it_would_notice_faint_text(opened: Callable[..., Page]) -> None:
    """The measure itself: a grey one step too light is found."""
    page = opened(color_scheme="light")
    page.goto("/accounts/login/")
    page.evaluate("document.querySelector('h1').style.setProperty('color', '#969696')")
    page.evaluate("document.querySelector('h1').style.setProperty('font-size', '14px')")
    assert [found.split()[0] for found in page.evaluate(FAINT)] == ["H1."]


def test_it_fits_a_phone(opened: Callable[..., Page], demo: Demo) -> None:
    page = opened(viewport=PHONE, is_mobile=True, has_touch=True)
    demo.sign_in(page)
    for address in each(demo, page):
        page.goto(address)
        past = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert past <= 0, f"{address} is {past} px too wide"


def test_it_opens_the_drawer_on_a_phone(opened: Callable[..., Page], demo: Demo) -> None:
    page = opened(viewport=PHONE)
    demo.sign_in(page)
    usage = page.get_by_role("navigation", name="Organisation").get_by_role("link", name="Usage")
    expect(usage).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    usage.click()
    page.wait_for_url("**/usage/")
    page.get_by_role("button", name="Menu").click()
    page.keyboard.press("Escape")
    expect(usage).to_be_hidden()


def test_it_follows_the_system_and_keeps_a_choice(opened: Callable[..., Page], demo: Demo) -> None:
    page = opened(color_scheme="dark")
    demo.sign_in(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Theme: system").click()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    light = page.evaluate(ground)
    assert light != dark
    page.goto("/t/demo/usage/")
    assert page.evaluate(ground) == light
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_it_filters_usage_and_calls_without_loading_anew(page: Page, demo: Demo) -> None:
    assert demo.product.post(demo.api_key).status_code == 200
    page.goto("/t/demo/calls/")
    page.evaluate("window.stays = true")
    page.get_by_label("Status").select_option("failed")
    expect(page.get_by_text("No call fits these filters")).to_be_visible()
    page.goto("/t/demo/usage/")
    page.evaluate("window.stays = true")
    page.get_by_label("Chart of").select_option("calls")
    expect(page.get_by_role("heading", name="Calls by day")).to_be_visible()
    page.get_by_label("Days").select_option("custom")
    expect(page.get_by_label("From")).to_be_visible()
    assert page.evaluate("window.stays") is True
    assert "measure=calls" in page.url


def test_it_weighs_little_and_asks_nobody_else(opened: Callable[..., Page], demo: Demo) -> None:
    page = opened()
    weights: dict[str, int] = {}
    page.on("response", lambda answer: weights.__setitem__(answer.url, len(answer.body())) if ok(answer) else None)
    demo.sign_in(page)
    page.goto("/t/demo/usage/")
    own = {url: size for url, size in weights.items() if "/static/" in url}
    assert sum(own.values()) < MOST_BYTES, own
    assert all(url.startswith(demo.product.web_url) for url in weights)


def ok(answer: object) -> bool:
    return getattr(answer, "status", 0) == 200 and "/static/" in getattr(answer, "url", "")
