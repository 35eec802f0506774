"""Paying in a browser, on a running product, at a fake Stripe that sends each message twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Demo
from tests.fake_stripe.server import KEY, SECRET, FakeStripe
from tests.gallery.browser import Window
from tests.product import Product

pytestmark = pytest.mark.timeout(300)
PREPARE = """
from django.utils.timezone import now
from billing import charges, invoices
from billing.charges import Wanted
from billing.periods import month
from portal.models import Tenant, User
from portal.tenancy import create_tenant
owner, moment = User.objects.get(email="demo@example.com"), now()
create_tenant(slug="shop", name="Shop", timezone="UTC", owner=owner, mode="prepaid", credit_limit=0, now=moment)
demo = Tenant.objects.get(slug="demo")
period = month(moment.strftime("%Y-%m"), demo.timezone, demo.billing_anchor_day)
charges.bring_to(tenant=demo, period=period, now=moment,
    wanted=Wanted(kind="other", subject="test", description="Support", exact=119 * 10**12))
invoices.finalise(invoice=invoices.draft(tenant=demo, month=period.label, now=moment), now=moment)
"""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeStripe]:
    one = FakeStripe(doubled=2).start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, test_servers: Any, fake: FakeStripe) -> Iterator[Demo]:
    """The whole product with jobs, with the fake Stripe, a prepaid shop and an invoice to pay."""
    keys = {"SECRET_KEY": KEY, "WEBHOOK_SECRET": SECRET, "API_BASE": fake.base}
    variables = {f"TOLLGATE_STRIPE_{name}": value for name, value in keys.items()}
    product = Product(test_servers, tmp_path_factory.mktemp("paying"), jobs=True, variables=variables)
    fake.webhook = f"{product.web_url}/webhooks/stripe"
    try:
        product.start()
        told = json.loads(product.manage("seed_demo", "--sandbox-url", product.sandbox.url, "--json"))
        product.manage("shell", "-c", PREPARE)
        yield Demo(product, told["api_key"], told["email"], told["password"])
    finally:
        product.stop()


@pytest.fixture
def window(chromium: Browser, demo: Demo) -> Iterator[Window]:
    """Problems of the fake's own pages are not ours."""
    made = Window(chromium, demo.product.web_url)
    yield made
    made.close()
    assert [problem for problem in made.problems if "policy" in problem] == []


def sign_in(page: Page, demo: Demo) -> None:
    page.goto("/")
    page.get_by_label("Email").fill(demo.email)
    page.get_by_label("Password").fill(demo.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/t/*/")


def pay(page: Page, card: str) -> None:
    """On Stripe's page."""
    page.wait_for_url("**/pay/**")
    page.get_by_label("Card number").fill(card)
    page.get_by_role("button", name="Pay").click()


def test_a_top_up_by_card_raises_the_balance(window: Window, demo: Demo) -> None:
    page = window.open()
    sign_in(page, demo)
    page.goto("/t/shop/wallet/")
    form = page.locator("#top-up")
    form.get_by_label("Amount").fill("25.00")
    form.get_by_label("Keep this card").check()
    form.get_by_role("button", name="Pay by card").click()
    pay(page, "4000 0000 0000 0002")
    expect(page.get_by_text("declined").first).to_be_visible()
    pay(page, "4242 4242 4242 4242")
    expect(page.get_by_text("The money is here")).to_be_visible()  # the page asks by itself
    page.get_by_role("link", name="Wallet").click()
    expect(page.locator(".figures").get_by_text("$25.00").first).to_be_visible()
    expect(page.get_by_text("Visa ending in 4242")).to_be_visible()


def test_an_invoice_is_paid_by_card(window: Window, demo: Demo) -> None:
    page = window.open()
    sign_in(page, demo)
    page.goto("/t/demo/invoices/")
    page.get_by_role("link", name="INV-").first.click()
    page.get_by_role("button", name="by card").click()
    pay(page, "4242 4242 4242 4242")
    expect(page.get_by_text("The money is here")).to_be_visible()
    page.get_by_role("link", name="INV-").first.click()
    expect(page.get_by_text("paid", exact=True).first).to_be_visible()
    expect(page.get_by_role("button", name="by card")).to_have_count(0)
