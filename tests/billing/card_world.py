"""A tenant that pays by card at the fake Stripe: pages, messages as a test wants them, and the jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from billing.card_payments import charges, checkout, events
from billing.card_payments.provider import Page
from billing.models import Invoice, PayingCustomer, Payment
from billing.payments import Ask, ask
from portal.environment import StripeKeys
from portal.tenancy import as_operator
from tests.billing.world import World
from tests.fake_stripe.server import KEY, SECRET, FakeStripe

PAGE = Page("Top-up", "http://shop.test/back", "http://shop.test/cancel", "en")


def keys_of(fake: FakeStripe) -> StripeKeys:
    """The settings that lead to a fake."""
    return StripeKeys(KEY, SECRET, fake.base)


class CardWorld:
    """A world beside a fake Stripe. ``clock`` moves, since signatures and leases go by time."""

    def __init__(self, world: World, fake: FakeStripe) -> None:
        self.world, self.fake = world, fake
        self.clock = datetime.now(UTC)

    def ask(self, amount: int, invoice: Invoice | None = None, **more: Any) -> Payment:
        """A card payment with its page open."""
        with as_operator():
            wanted = Ask(amount, self.world.tenant.currency, Payment.Method.CARD, invoice, **more)
            payment = ask(tenant=self.world.tenant, ask=wanted, now=self.clock)
            checkout.open_page(payment=payment, page=PAGE, now=self.clock)
        return self.now(payment)

    def pay(self, payment: Payment, card: str = "4242") -> bool:
        """Somebody pays on the page."""
        assert payment.session_id
        return self.fake.till.pay(payment.session_id, card)

    def deliver(self, messages: list[tuple[bytes, str]] | None = None) -> list[bool]:
        """Messages arrive, all there are unless a test says otherwise; whether each was new."""
        with as_operator():
            every = self.fake.messages() if messages is None else messages
            return [events.receive(raw=raw, signature=signature, now=self.clock) for raw, signature in every]

    def work(self, later: timedelta = timedelta(0)) -> None:
        """The job runs once."""
        self.clock += later
        with as_operator():
            events.process_all(now=self.clock)
            charges.send_all(now=self.clock)

    def now(self, payment: Payment) -> Payment:
        """The payment as it is."""
        with as_operator():
            return Payment.objects.select_related("tenant", "invoice").get(pk=payment.pk)

    def save_card(self, last_four: str = "4242") -> None:
        """The tenant has saved a card."""
        with as_operator():
            customer = checkout.customer_of(tenant=self.world.tenant, key="card", now=self.clock)
            method = self.fake.till.save_card(last_four)["id"]
            PayingCustomer.objects.filter(pk=customer.pk).update(method_id=method, card="Visa")
