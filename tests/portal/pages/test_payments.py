"""Paying on the pages and through the API: to the card page and back, receipts, who may; and Stripe's messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from billing import closing
from billing.card_payments import events
from billing.meters import Usage
from billing.models import Invoice, PayingCustomer, Payment, ProviderEvent
from portal.models import AuditEntry, Membership, Role
from portal.tenancy import as_operator
from tests.billing.card_world import keys_of
from tests.billing.test_taxes import change, keep_rate
from tests.billing.world import USD, World
from tests.fake_stripe.server import FakeStripe, sign
from tests.portal.cast import person, signed_in

HOOK = "/webhooks/stripe"


class Shop:
    """An organisation, a browser of its finance member, and the fake Stripe."""

    def __init__(self, mode: str, fake: FakeStripe) -> None:
        self.world, self.fake = World(mode=mode), fake
        self.tenant = self.world.tenant
        self.user = person(f"fin@{self.tenant.slug}.test")
        with as_operator():
            Membership.objects.create(tenant=self.tenant, user=self.user, role=Role.FINANCE)
        self.client: Client = signed_in(self.user)

    def url(self, part: str = "") -> str:
        return f"/t/{self.tenant.slug}/{part}"

    def page(self, part: str) -> str:
        answer = self.client.get(self.url(part))
        assert answer.status_code == 200
        return str(answer.content.decode())

    def payment(self) -> Payment:
        with as_operator():
            return Payment.objects.filter(tenant=self.tenant).latest("id")

    def invoice(self) -> Invoice:
        self.world.use(Usage(input=10**8))
        with as_operator():
            return closing.close(tenant=self.tenant, month="2027-03", now=self.world.clock, finalise=True)

    def deliver(self, client: Client | None = None) -> list[int]:
        """Stripe's messages so far, as it sends them: twice each."""
        sender = client or Client(enforce_csrf_checks=True)
        statuses = []
        for raw, signature in self.fake.messages() * 2:
            signed = {"stripe-signature": signature}
            statuses.append(sender.post(HOOK, raw, content_type="application/json", headers=signed).status_code)
        with as_operator():
            events.process_all(now=now())
        return statuses


@pytest.fixture
def fake(settings: Any) -> Iterator[FakeStripe]:
    one = FakeStripe().start()
    settings.STRIPE = keys_of(one)
    yield one
    one.stop()


@pytest.fixture
def shop(db: None, fake: FakeStripe) -> Shop:
    """A prepaid one."""
    return Shop("prepaid", fake)


@pytest.fixture
def buyer(db: None, fake: FakeStripe) -> Shop:
    """One that pays by invoice."""
    return Shop("postpaid", fake)


def test_it_tops_up_by_card(shop: Shop) -> None:
    assert "Pay by card" in shop.page("wallet/")
    answer = shop.client.post(shop.url("wallet/top-up/"), {"amount": "25.00", "save_card": "on"})
    payment = shop.payment()
    assert answer["Location"] == shop.url(f"payments/{payment.pk}/?go=1")
    way = shop.page(f"payments/{payment.pk}/?go=1")
    target = re.search(r'http-equiv="refresh" content="1; url=([^"]+)"', way)
    assert target is not None
    assert target[1].startswith(shop.fake.base)
    payment = shop.payment()
    shop.fake.till.pay(str(payment.session_id), "4242")
    success = shop.fake.till.get(str(payment.session_id))["success_url"]
    assert success == f"http://localhost{shop.url(f'payments/{payment.pk}/')}?back=paid"
    assert "We wait for Stripe" in shop.page(f"payments/{payment.pk}/?back=paid")
    assert set(shop.deliver()) == {200}
    page = shop.page(f"payments/{payment.pk}/?back=paid")
    assert "The money is here" in page
    assert "refresh" not in page
    assert shop.world.wallet().limit == 125 * USD
    assert "Visa ending in 4242" in shop.page("wallet/")
    assert "Top-up" in shop.page("payments/")
    with as_operator():
        assert AuditEntry.objects.filter(tenant=shop.tenant, actor=shop.user, action="payment.ask").count() == 1


def test_it_sees_the_money_on_coming_back_without_any_message(shop: Shop) -> None:
    shop.client.post(shop.url("wallet/top-up/"), {"amount": "25"})
    payment = shop.payment()
    shop.page(f"payments/{payment.pk}/?go=1")
    shop.fake.till.pay(str(shop.payment().session_id), "4242")
    with as_operator():
        Payment.objects.update(asked_at=now() - timedelta(seconds=5))
    assert "The money is here" in shop.page(f"payments/{payment.pk}/?back=paid")


def test_it_pays_an_invoice_and_shows_the_payment_on_it(buyer: Shop) -> None:
    invoice = buyer.invoice()
    page = buyer.page(f"invoices/{invoice.pk}/")
    assert "by card" in page
    buyer.client.post(buyer.url(f"invoices/{invoice.pk}/pay/"))
    payment = buyer.payment()
    buyer.page(f"payments/{payment.pk}/?go=1")
    buyer.fake.till.pay(str(buyer.payment().session_id), "4242")
    buyer.deliver()
    page = buyer.page(f"invoices/{invoice.pk}/")
    assert f"payments/{payment.pk}/" in page
    assert "by card" not in page
    assert f"Invoice {invoice.number}" in buyer.page(f"payments/{payment.pk}/")
    with as_operator():
        invoice.refresh_from_db()
    assert invoice.status == "paid"
    again = buyer.client.post(buyer.url(f"invoices/{invoice.pk}/pay/"), follow=True)
    assert "Nothing is left to be paid" in again.content.decode()


def test_it_gives_up(shop: Shop) -> None:
    shop.client.post(shop.url("wallet/top-up/"), {"amount": "25"})
    payment = shop.payment()
    assert "Continue to the card page" in shop.page(f"payments/{payment.pk}/?back=left")
    shop.client.post(shop.url(f"payments/{payment.pk}/cancel/"))
    assert "Nothing was paid" in shop.page(f"payments/{payment.pk}/")
    assert shop.fake.till.get(str(shop.payment().session_id))["status"] == "expired"


def test_it_says_in_words_what_stripe_says(shop: Shop) -> None:
    shop.client.post(shop.url("wallet/top-up/"), {"amount": "25"})
    shop.fake.answering = lambda path: 400
    page = shop.page(f"payments/{shop.payment().pk}/?go=1")
    assert "The card page cannot be opened" in page
    assert "Something is wrong here" in page


@pytest.mark.parametrize(("amount", "says"), [("", "required"), ("abc", "such as 50.00"), ("-5", "at least 1"),
                                              ("0.50", "at least 1"), ("1.001", "such as 50.00")])  # fmt: skip
def test_it_refuses_amounts_that_are_none(shop: Shop, amount: str, says: str) -> None:
    answer = shop.client.post(shop.url("wallet/top-up/"), {"amount": amount}, follow=True)
    assert says in answer.content.decode()
    with as_operator():
        assert not Payment.objects.filter(tenant=shop.tenant).exists()


def test_it_ignores_what_nobody_may_say(shop: Shop) -> None:
    more = {"amount": "25", "currency": "JPY", "status": "succeeded", "tenant_id": "1", "usd": "10000"}
    shop.client.post(shop.url("wallet/top-up/"), more)
    payment = shop.payment()
    assert (payment.amount, payment.currency, payment.status) == (2_500, "USD", "requested")


def test_it_has_a_card_forgotten(shop: Shop) -> None:
    with as_operator():
        PayingCustomer.objects.create(tenant=shop.tenant, customer_id="cus_1", method_id="pm_1", card="Visa <b>")
    assert "Visa &lt;b&gt;" in shop.page("wallet/")
    shop.client.post(shop.url("wallet/card/forget/"))
    assert "Forget this card" not in shop.page("wallet/")


def test_without_cards_it_says_how_else_to_pay(shop: Shop, settings: Any) -> None:
    settings.STRIPE = None
    settings.SELLER = {**settings.SELLER, "iban": "DE89370400440532013000", "bic": "COBADEFFXXX"}
    page = shop.page("wallet/")
    assert "Pay by card" not in page
    assert "DE89 3704 0044 0532 0130 00" in page
    assert f"TOP-UP {shop.tenant.slug}" in page
    answer = shop.client.post(shop.url("wallet/top-up/"), {"amount": "25"}, follow=True)
    assert "pay by bank transfer" in answer.content.decode()
    settings.SELLER = {**settings.SELLER, "iban": "", "email": "ask@toll.test"}
    assert "ask@toll.test" in shop.page("wallet/")
    assert Client().post(HOOK, b"{}", content_type="application/json").status_code == 404


def test_the_hook_refuses_what_stripe_did_not_sign_in_plain_words(shop: Shop) -> None:
    client = Client(enforce_csrf_checks=True)
    raw = b'{"id": "evt_9", "object": "event", "type": "a.b", "livemode": false, "data": {"object": {}}}'
    forged = client.post(HOOK, raw, content_type="application/json", HTTP_STRIPE_SIGNATURE="t=1,v1=00")
    assert (forged.status_code, forged["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert "signature is not Stripe's" in forged.content.decode()
    assert client.post(HOOK, b"x" * (events.LARGEST + 1), content_type="application/json").status_code == 413
    assert client.get(HOOK).status_code == 405
    with as_operator():
        assert not ProviderEvent.objects.exists()
    good = client.post(HOOK, raw, content_type="application/json", HTTP_STRIPE_SIGNATURE=sign(raw))
    assert (good.status_code, good.content) == (200, b"Stored.\n")


def test_the_api_starts_a_checkout_and_lists_payments(buyer: Shop) -> None:
    keep_rate(buyer.world, "EUR", 9, 10)
    change(buyer.world, currency="EUR")
    invoice = buyer.invoice()
    base, tenant = "/manage/api/v1/payments", f"?tenant={buyer.tenant.slug}"
    answer = buyer.client.post(f"{base}/checkout{tenant}", {"invoice": invoice.pk}, content_type="application/json")
    assert answer.status_code == 201
    made = answer.json()
    assert made["url"].startswith(buyer.fake.base)
    buyer.fake.till.pay(str(buyer.payment().session_id), "4242")
    buyer.deliver()
    (row,) = buyer.client.get(f"{base}{tenant}").json()["results"]
    assert (row["id"], row["status"], row["currency"], row["invoice"]) == (made["id"], "succeeded", "EUR", invoice.pk)
    assert buyer.client.get(f"{base}/{made['id']}{tenant}").json() == row
    for body in ({}, {"amount": "5.00", "invoice": 1}, {"amount": 5.5}, {"amount": "x"}, {"amount": "5", "more": 1}):
        refused = buyer.client.post(f"{base}/checkout{tenant}", body, content_type="application/json")
        assert refused.status_code == 400, body
