"""Card payments against a fake Stripe that signs like Stripe, by Stripe's own package."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from billing import credits, dues, payments, refunds, top_ups
from billing.card_payments import checkout, events, outcomes
from billing.card_payments.events import EventProblem
from billing.card_payments.provider import ProviderProblem
from billing.meters import Usage
from billing.models import Allocation, Invoice, PayingCustomer, Payment, ProviderEvent, Refund, TopUpRule
from billing.refunds import Back
from billing.top_ups import Rule
from portal.environment import StripeKeys
from portal.tenancy import as_operator
from tests.billing.card_world import PAGE, CardWorld, keys_of
from tests.billing.test_payments import advance, balanced, invoiced, left, status
from tests.billing.test_taxes import CURRENCIES, change, keep_rate
from tests.billing.world import USD, World
from tests.fake_stripe.server import KEY, SECRET, FakeStripe, sign

MINUTE = timedelta(minutes=1)


@pytest.fixture
def fake(settings: Any) -> Iterator[FakeStripe]:
    one = FakeStripe().start()
    settings.STRIPE = keys_of(one)
    yield one
    one.stop()


@pytest.fixture
def shop(prepaid: World, fake: FakeStripe) -> CardWorld:
    """A prepaid tenant with 100 USD."""
    return CardWorld(prepaid, fake)


@pytest.fixture
def buyer(world: World, fake: FakeStripe) -> CardWorld:
    """A tenant that pays by invoice."""
    return CardWorld(world, fake)


# -- pages


def test_a_top_up_by_card_is_credit_once_it_is_paid(shop: CardWorld) -> None:
    payment = shop.ask(2_500)
    assert payment.status == "pending"
    shop.pay(payment)
    shop.deliver()
    assert shop.world.wallet().limit == 100 * USD
    shop.work()
    found = shop.now(payment)
    assert (found.status, found.intent_id is not None) == ("succeeded", True)
    assert shop.world.wallet().limit == 125 * USD
    assert balanced(shop.world)


def test_a_top_up_in_the_tenants_currency_keeps_the_rate_it_was_asked_with(shop: CardWorld) -> None:
    keep_rate(shop.world, "EUR", 9, 10)
    change(shop.world, currency="EUR")
    shop.clock = shop.world.clock
    payment = shop.ask(4_500)
    shop.pay(payment)
    with as_operator():
        outcomes.look(payment=payment, now=shop.clock + timedelta(days=40))
    found = shop.now(payment)
    assert (found.rate_numerator, found.rate_denominator, found.rate_source) == (9, 10, "test")
    assert shop.world.wallet().limit == 150 * USD
    assert balanced(shop.world)


def test_paying_an_invoice_by_card_makes_it_paid(buyer: CardWorld) -> None:
    invoice = invoiced(buyer.world)
    payment = buyer.ask(invoice.total, invoice)
    buyer.pay(payment)
    buyer.deliver()
    buyer.work()
    assert (status(invoice), left(invoice)) == ("paid", 0)
    assert balanced(buyer.world)


def test_a_declined_card_can_be_tried_again_on_the_same_page(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    assert not shop.pay(payment, "0002")
    shop.deliver()
    shop.work()
    assert shop.now(payment).status == "pending"
    shop.pay(payment)
    shop.deliver()
    shop.work()
    assert shop.world.wallet().limit == 110 * USD


def test_opening_the_page_again_is_the_same_page(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    with as_operator():
        urls = {checkout.open_page(payment=shop.now(payment), page=PAGE, now=shop.clock) for _ in range(3)}
    assert len(urls) == 1
    assert sum(thing["object"] == "checkout.session" for thing in shop.fake.till.things.values()) == 1


def test_an_answer_that_was_lost_makes_no_second_page(shop: CardWorld) -> None:
    answers = iter([0, 503])
    shop.fake.answering = lambda path: next(answers, 200) if "sessions" in path else 200
    shop.ask(1_000)
    assert sum(thing["object"] == "checkout.session" for thing in shop.fake.till.things.values()) == 1


def test_a_page_that_expired_cancels_the_payment(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    shop.fake.till.expire(str(payment.session_id))
    shop.deliver()
    shop.work()
    found = shop.now(payment)
    assert (found.status, "expired" in found.failure) == ("cancelled", True)


@pytest.mark.parametrize("paid", [True, False])
def test_a_debit_that_takes_days_is_pending_until_it_is_known(shop: CardWorld, paid: bool) -> None:
    payment = shop.ask(1_000)
    shop.pay(payment, "6789")
    shop.deliver()
    shop.work()
    assert shop.now(payment).status == "pending"
    shop.fake.till.end_slow(str(payment.session_id), paid=paid)
    shop.deliver()
    shop.work(MINUTE)
    assert shop.now(payment).status == ("succeeded" if paid else "failed")
    assert shop.world.wallet().limit == (110 if paid else 100) * USD


def test_giving_up_closes_the_page_unless_it_was_paid(shop: CardWorld) -> None:
    given_up, paid = shop.ask(1_000), shop.ask(2_000)
    shop.pay(paid)
    with as_operator():
        assert checkout.cancel(payment=given_up, now=shop.clock).status == "cancelled"
        assert checkout.cancel(payment=paid, now=shop.clock).status == "succeeded"


def test_who_comes_back_first_sees_the_money_without_any_message(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    shop.pay(payment)
    with as_operator():
        assert checkout.look(payment=payment, now=shop.clock).status == "pending"  # asked a moment ago
        later = shop.clock + timedelta(seconds=5)
        assert checkout.look(payment=shop.now(payment), now=later).status == "succeeded"


def test_money_that_is_not_what_was_asked_for_is_left_to_a_person(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    shop.pay(payment)
    shop.fake.till.get(str(payment.session_id))["amount_total"] = 900
    shop.deliver()
    shop.work()
    assert shop.now(payment).status == "pending"
    with as_operator():
        event = ProviderEvent.objects.filter(kind="checkout.session.completed").get()
        assert "10.00 USD were asked for, and 900 minor units" in event.problem


def test_thousandths_are_not_taken_by_cards(shop: CardWorld) -> None:
    keep_rate(shop.world, "KWD", *CURRENCIES["KWD"])
    change(shop.world, currency="KWD")
    shop.clock = shop.world.clock
    with pytest.raises(ProviderProblem, match="thousandths"):
        shop.ask(1_001)


# -- messages


def test_invariant_22_messages_in_any_order_and_number_credit_once(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    shop.pay(payment, "0002")
    shop.pay(payment)
    messages = shop.fake.messages() * 3
    random.Random(4).shuffle(messages)
    assert sum(shop.deliver(messages)) == len(shop.fake.events)
    for _ in range(3):
        shop.work(MINUTE)
        with as_operator():
            ProviderEvent.objects.update(processed_at=None)
    assert shop.world.wallet().limit == 110 * USD
    with as_operator():
        assert Allocation.objects.filter(payment=payment).count() == 1
    assert balanced(shop.world)


def test_every_order_of_messages_ends_the_same(buyer: CardWorld) -> None:
    for order in itertools.permutations(range(4)):
        invoice = invoiced(buyer.world, 10**6)
        payment = buyer.ask(invoice.total, invoice)
        buyer.fake.events.clear()
        buyer.pay(payment)
        intent = next(e["data"]["object"]["id"] for e in buyer.fake.events if e["type"] == "payment_intent.succeeded")
        dispute = buyer.fake.till.dispute(intent, invoice.total)
        buyer.fake.till.close_dispute(dispute["id"], "won")
        messages = buyer.fake.messages()
        for place in order:
            buyer.deliver([messages[place]])
            buyer.work(MINUTE)
        assert (status(invoice), advance(buyer.world)) == ("paid", {}), order
    assert balanced(buyer.world)


@pytest.mark.django_db(transaction=True)
def test_invariant_22_workers_at_once_credit_once(settings: Any) -> None:
    fake = FakeStripe().start()
    settings.STRIPE = keys_of(fake)
    shop = CardWorld(World(mode="prepaid"), fake)
    payment = shop.ask(1_000)
    shop.pay(payment)
    shop.deliver()
    with as_operator():
        (one, *_rest) = ProviderEvent.objects.order_by("id")
    gate = threading.Barrier(6)

    def work() -> None:
        gate.wait()
        try:
            with as_operator():
                events.process(event=one, now=shop.clock)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    fake.stop()
    assert shop.world.wallet().limit == 110 * USD
    assert balanced(shop.world)


def test_only_what_stripe_signed_lately_is_taken(shop: CardWorld) -> None:
    raw = json.dumps(
        {"id": "evt_1", "object": "event", "type": "x.y", "livemode": False, "data": {"object": {}}}
    ).encode()
    old = int(time.time()) - 301
    for signature in (
        "",
        "t=1,v1=abc",
        sign(raw, secret="whsec_of_somebody_else"),
        sign(raw, at=old),
        sign(raw + b" "),
    ):
        with pytest.raises(EventProblem, match="signature"):
            shop.deliver([(raw, signature)])
    live = raw.replace(b'"livemode": false', b'"livemode": true')
    with pytest.raises(EventProblem, match="mixed up"):
        shop.deliver([(live, sign(live))])
    for other in (b"[]", b"{}", b"not json", b'{"id": "x", "object": "event", "type": "y"}'):
        with pytest.raises(EventProblem):
            shop.deliver([(other, sign(other))])
    with pytest.raises(EventProblem, match="at most"):
        shop.deliver([(raw + b" " * events.LARGEST, "")])
    with as_operator():
        assert ProviderEvent.objects.count() == 0
    assert shop.deliver([(raw, sign(raw))] * 2) == [True, False]


def test_kinds_nobody_knows_and_payments_of_others_are_kept(shop: CardWorld) -> None:
    shop.fake.till.event("invoice.upcoming", {"id": "in_1", "object": "invoice"})
    strange = shop.fake.till.new("cs_test", "checkout.session", client_reference_id="not ours", payment_intent=None)
    shop.fake.till.event("checkout.session.completed", strange)
    shop.deliver()
    shop.work()
    with as_operator():
        assert list(ProviderEvent.objects.filter(processed_at=None)) == []
        assert ProviderEvent.objects.filter(payment=None, problem="").count() == 2


def test_what_stripe_cannot_be_asked_now_is_asked_again(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    shop.pay(payment)
    shop.deliver()
    shop.fake.answering = lambda path: 503
    shop.work()
    assert shop.now(payment).status == "pending"
    shop.fake.answering = lambda path: 200
    shop.work(MINUTE)
    assert shop.now(payment).status == "succeeded"


def test_a_lost_message_is_made_up_for(shop: CardWorld) -> None:
    payment = shop.ask(1_000)
    shop.pay(payment)
    shop.work(9 * MINUTE)
    assert shop.now(payment).status == "pending"
    shop.work(2 * MINUTE)
    assert shop.now(payment).status == "succeeded"


# -- saved cards


def rule(shop: CardWorld, amount: int = 50) -> None:
    with as_operator():
        top_ups.set_rule(tenant=shop.world.tenant, rule=Rule(150 * USD, amount * USD, 3), now=shop.clock)
        top_ups.fire_due(now=shop.clock)


def rule_now(shop: CardWorld) -> TopUpRule:
    with as_operator():
        return TopUpRule.objects.get(tenant=shop.world.tenant)


def test_a_card_is_saved_only_where_the_tenant_wants_it(shop: CardWorld) -> None:
    for wanted in (False, True):
        payment = shop.ask(1_000, saves_card=wanted)
        shop.pay(payment)
        shop.deliver()
        shop.work()
        with as_operator():
            saved = PayingCustomer.objects.get(tenant=shop.world.tenant)
            assert bool(saved.method_id) is wanted
    assert saved.card == "Visa ending in 4242, valid until 12/2030"
    with as_operator():
        assert outcomes.forget_card(tenant_id=shop.world.tenant.id, now=shop.clock)


def test_an_automatic_top_up_charges_the_saved_card_once(shop: CardWorld) -> None:
    shop.save_card()
    rule(shop)
    assert shop.fake.till.charged == []
    answers = iter([0, 503, 503, 200])
    shop.fake.answering = lambda path: next(answers, 200)
    for _ in range(3):
        shop.work(2 * MINUTE)
    assert len(shop.fake.till.charged) == 1
    assert shop.world.wallet().limit == 150 * USD
    assert balanced(shop.world)
    with as_operator():
        top_ups.fire_due(now=shop.clock)
    assert rule_now(shop).state == "armed"


def test_an_automatic_top_up_that_was_charged_long_ago_is_found_not_repeated(shop: CardWorld) -> None:
    shop.save_card()
    rule(shop)
    shop.fake.answering = lambda path: 0 if path.endswith("payment_intents") else 200
    shop.work()
    shop.fake.till.answers.clear()
    shop.fake.answering = lambda path: 200
    shop.work(timedelta(hours=23))
    assert len(shop.fake.till.charged) == 1
    assert shop.world.wallet().limit == 150 * USD


def test_a_declined_card_stops_the_rule_in_words(shop: CardWorld) -> None:
    shop.save_card("0341")
    rule(shop)
    shop.work()
    found = rule_now(shop)
    assert (found.state, found.reason) == ("stopped", "The card was declined: Your card was declined.")
    with as_operator():
        assert Payment.objects.get(tenant=shop.world.tenant).status == "failed"


def test_without_a_card_the_rule_stops_and_says_so(shop: CardWorld) -> None:
    rule(shop)
    assert (rule_now(shop).state, rule_now(shop).reason) == ("stopped", "No card is saved for automatic top-ups.")
    with as_operator():
        assert not Payment.objects.filter(tenant=shop.world.tenant).exists()


def test_an_automatic_top_up_under_way_keeps_another_from_starting(shop: CardWorld) -> None:
    shop.save_card()
    rule(shop)
    rule(shop)
    assert "has not been paid yet" in rule_now(shop).reason
    with as_operator():
        assert Payment.objects.filter(tenant=shop.world.tenant).count() == 1


# -- what goes back


def paid(shop: CardWorld, amount: int, invoice: Invoice | None = None) -> Payment:
    payment = shop.ask(amount, invoice)
    shop.pay(payment)
    shop.deliver()
    shop.work()
    return shop.now(payment)


def test_a_refund_goes_to_the_card_once(shop: CardWorld) -> None:
    payment = paid(shop, 5_000)
    with as_operator():
        refund = refunds.ask(payment=payment, back=Back(2_000, "They asked for it", "Ana"), now=shop.clock)
    assert shop.world.wallet().limit == 130 * USD
    answers = iter([0, 503, 503])
    shop.fake.answering = lambda path: next(answers, 200) if path.endswith("refunds") else 200
    for _ in range(3):
        shop.work(2 * MINUTE)
    shop.deliver()
    shop.work(MINUTE)
    with as_operator():
        refund.refresh_from_db()
        assert (refund.status, Refund.objects.count()) == ("succeeded", 1)
    assert shop.world.wallet().limit == 130 * USD
    assert balanced(shop.world)


def test_a_refund_that_stripe_refuses_is_put_back(shop: CardWorld) -> None:
    payment = paid(shop, 5_000)
    shop.fake.till.make_refund({"payment_intent": str(payment.intent_id), "amount": "4000"})
    with as_operator():
        refund = refunds.ask(payment=payment, back=Back(2_000, "They asked for it", "Ana"), now=shop.clock)
    shop.work()
    with as_operator():
        refund.refresh_from_db()
    assert (refund.status, "greater than unrefunded" in refund.failure) == ("failed", True)
    shop.deliver()
    shop.work(MINUTE)
    assert shop.world.wallet().limit == 110 * USD
    assert balanced(shop.world)


def test_a_dispute_before_anything_else_is_known_ends_right(buyer: CardWorld) -> None:
    invoice = invoiced(buyer.world)
    payment = buyer.ask(invoice.total, invoice)
    buyer.pay(payment)
    intent = buyer.fake.till.charged[-1]
    dispute = buyer.fake.till.dispute(intent, invoice.total)
    buyer.deliver([m for m in buyer.fake.messages() if b"charge.dispute" in m[0]])
    buyer.work()
    assert (status(invoice), left(invoice)) == ("finalised", invoice.total)
    buyer.fake.till.close_dispute(dispute["id"], "lost")
    buyer.deliver()
    buyer.work(MINUTE)
    assert status(invoice) == "finalised"
    with as_operator():
        assert Refund.objects.get().status == "succeeded"
        assert dues.unpaid(Invoice.objects.get(pk=invoice.pk)) == invoice.total
    assert balanced(buyer.world)


def test_a_dispute_over_credit_that_is_used_overdraws_the_wallet(shop: CardWorld) -> None:
    payment = paid(shop, 5_000)
    shop.world.use(Usage(input=9 * 10**8))
    shop.world.post()
    with as_operator():
        credits.consume(shop.world.tenant.id, shop.world.clock)
    shop.fake.till.dispute(str(payment.intent_id), 5_000)
    shop.deliver()
    shop.work(MINUTE)
    wallet = shop.world.wallet()
    assert wallet.limit - wallet.spent == -35 * USD
    assert balanced(shop.world)


def test_nothing_is_asked_of_stripe_where_it_is_not_set_up(shop: CardWorld, settings: Any) -> None:
    shop.save_card()
    rule(shop)
    settings.STRIPE = None
    shop.work()
    assert shop.fake.till.charged == []
    with pytest.raises(EventProblem, match="not set up"):
        shop.deliver([(b"{}", "")])


def test_a_key_that_stripe_does_not_know_is_said(shop: CardWorld, settings: Any) -> None:
    settings.STRIPE = StripeKeys(KEY + "x", SECRET, shop.fake.base)
    with as_operator():
        payment = payments.ask(tenant=shop.world.tenant, ask=payments.Ask(100, "USD", "card"), now=shop.clock)
        with pytest.raises(ProviderProblem, match="Invalid API Key"):
            checkout.open_page(payment=payment, page=PAGE, now=shop.clock)
