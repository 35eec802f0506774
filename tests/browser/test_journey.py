"""A newcomer's whole way: sign in, see a call's cost, make a key, revoke one, close the month, download the invoice."""

from __future__ import annotations

import io
import re

import httpx
import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from tests.browser.conftest import Demo
from tests.deadline import until
from tests.gallery.browser import Window

pytestmark = pytest.mark.timeout(300)


def complete(demo: Demo, key: str) -> httpx.Response:
    return demo.product.post(key, text="one two three four five")


def test_it_leads_from_the_first_call_to_the_invoice(page: Page, demo: Demo) -> None:
    assert complete(demo, demo.api_key).status_code == 200
    newest = page.locator("#live tbody a[href*='/calls/req_']").first
    expect(newest).to_be_visible()  # the page looks by itself

    newest.click()
    cost = page.locator("tfoot .money").inner_text()
    assert re.fullmatch(r"\$0\.0000\d+", cost)
    expect(page.get_by_text("sandbox/echo").first).to_be_visible()

    page.get_by_role("link", name="API keys").click()
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name").fill("Second")
    page.get_by_role("button", name="Make key").click()
    second = page.locator("#new-key").inner_text()
    until(lambda: complete(demo, second).status_code == 200, seconds=5)

    page.reload()  # shows the list, and makes no third key
    expect(page.get_by_role("link", name="Second", exact=True)).to_have_count(1)
    assert second not in page.content()

    page.get_by_role("link", name="Revoke Second").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text("is revoked")).to_be_visible()
    until(lambda: complete(demo, second).status_code == 401, seconds=2)

    close_the_month(page, demo)


def close_the_month(page: Page, demo: Demo) -> None:
    """Draft, finalise, download: the exact sum on the document is the sum of the calls."""
    page.get_by_role("link", name="Invoices").click()
    page.get_by_role("button", name="Draft the invoice").click()
    page.get_by_role("link", name="Make final").click()
    page.get_by_role("button", name="Make final").click()
    expect(page.get_by_text("is final")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download PDF").click()
    document = PdfReader(io.BytesIO(waiting.value.path().read_bytes()))
    text = "".join(part.extract_text() for part in document.pages)
    [(spent,)] = demo.product.query("SELECT sum(cost) FROM billing_usageevent WHERE state = 'settled'")
    exact = f"{int(spent) / 10**12:.12f}".rstrip("0")
    assert exact in text
    assert demo.product.books()


def test_it_takes_somebody_new_from_sign_up_to_a_call(window: Window, demo: Demo) -> None:
    page = window.open()
    page.goto("/accounts/signup/")
    page.get_by_label("Email").fill("newcomer@example.com")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Make account").click()
    page.get_by_label("Name of your organisation").fill("Newcomers Inc")
    page.get_by_label("Time zone").select_option("Europe/Paris")
    page.get_by_role("button", name="Make organisation").click()
    expect(page.get_by_role("heading", name="Newcomers Inc")).to_be_visible()
    expect(page.get_by_text("The balance is empty")).to_be_visible()
    page.get_by_role("link", name="Make the first key").click()
    page.get_by_label("Name").fill("First")
    page.get_by_label("sandbox/echo", exact=True).check()
    page.get_by_role("button", name="Make key").click()
    key = page.locator("#new-key").inner_text()
    until(lambda: complete(demo, key).status_code == 429, seconds=5)
    assert complete(demo, key).json()["error"]["code"] == "insufficient_quota"


def test_it_copies_the_key(window: Window, demo: Demo) -> None:
    page = window.open(permissions=["clipboard-read", "clipboard-write"])
    demo.sign_in(page)
    page.goto("/t/demo/keys/new/")
    page.get_by_label("Name").fill("Copied")
    page.get_by_role("button", name="Make key").click()
    button = page.locator("button[data-copy=new-key]")
    button.click()
    expect(button).to_have_text("Copied")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text == page.locator("#new-key").inner_text()
    assert re.fullmatch(r"sk-tg-\w{50}", text)
    page.get_by_text("Python", exact=True).click()
    page.locator("button[data-copy=snippet-2]").click()
    assert text in page.evaluate("navigator.clipboard.readText()")


def test_it_makes_a_key_by_keyboard_alone(page: Page) -> None:
    page.goto("/t/demo/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    press_until(page, "Tab", "New key")
    page.keyboard.press("Enter")
    page.wait_for_url("**/keys/new/")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#new-key")).to_be_visible()
    press_until(page, "Tab", "Copy")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    expect(page.locator("button[data-copy=new-key]")).not_to_have_text("Copy")


def press_until(page: Page, key: str, words: str) -> None:
    """Press a key until the focused element has these words."""
    for _ in range(40):
        page.keyboard.press(key)
        if page.evaluate("document.activeElement.textContent.trim()") == words:
            return
    raise AssertionError(f"{words} is not reached by {key}")
