"""Payments: what arrives pays invoices and becomes credit, once; what goes back opens and takes again; books agree."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import books, closing, credit_notes, credits, dues, invoice_states, ledger, payments, refunds, settlement
from billing.invoice_events import Said
from billing.invoices import InvoiceProblem
from billing.meters import Usage
from billing.models import Allocation, Allowance, CreditGrant, Invoice, InvoiceEvent, Payment, Refund
from billing.money import minor_to_pico
from billing.payments import Ask, PaymentProblem
from billing.refunds import Back, RefundProblem, Told
from portal.tenancy import as_operator, as_tenant
from tests.billing.test_taxes import CURRENCIES, change, keep_rate
from tests.billing.world import USD, World, as_role, run

WHY = Said("Ana", "Wrong model was billed")


def invoiced(world: World, tokens: int = 10**8, month: str = "2027-03") -> Invoice:
    world.use(Usage(input=tokens, output=tokens // 3))
    with as_operator():
        return closing.close(tenant=world.tenant, month=month, now=world.clock, finalise=True)


def pay(world: World, amount: int, *chosen: Invoice, currency: str = "USD", **more: Any) -> Payment:
    """A bank transfer that arrived."""
    wanted = Ask(amount, currency, Payment.Method.BANK, **more)
    with as_operator():
        return payments.record(tenant=world.tenant, ask=wanted, chosen=chosen or None, now=world.clock)


def by_card(world: World, amount: int, invoice: Invoice | None = None, **more: Any) -> Payment:
    """A card payment that was asked for."""
    with as_operator():
        wanted = Ask(amount, world.tenant.currency, Payment.Method.CARD, invoice, **more)
        return payments.ask(tenant=world.tenant, ask=wanted, now=world.clock)


def arrive(world: World, payment: Payment, status: str = "succeeded", failure: str = "") -> Payment:
    with as_operator():
        return payments.bring_to(payment=payment, status=status, failure=failure, now=world.clock)


def give_back(world: World, payment: Payment, amount: int, **more: Any) -> Refund:
    with as_operator():
        back = Back(amount, "They asked for it", "Ana", by_hand=True, **more)
        return refunds.ask(payment=payment, back=back, now=world.clock)


def hear(world: World, payment: Payment, *told: Any) -> Refund | None:
    with as_operator():
        return refunds.hear(payment=payment, told=Told(*told), now=world.clock)


def settle(world: World) -> None:
    with as_operator():
        settlement.settle(tenant=world.tenant, now=world.clock)


def status(invoice: Invoice) -> str:
    with as_operator():
        return Invoice.objects.get(pk=invoice.pk).status


def left(invoice: Invoice) -> int:
    with as_operator():
        return dues.unpaid(Invoice.objects.get(pk=invoice.pk))


def advance(world: World) -> dict[str, int]:
    with as_operator():
        return dues.advances(world.tenant.id)


def balanced(world: World) -> bool:
    with as_operator():
        assert books.check(tenant_id=world.tenant.id).differences == ()
    return True


# -- what arrives


@pytest.mark.parametrize("currency", ["USD", "EUR", "JPY", "KWD"])
@pytest.mark.django_db
def test_paying_an_invoice_gives_its_room_on_the_credit_line_back(currency: str) -> None:
    world = World()
    if currency != "USD":
        keep_rate(world, currency, *CURRENCIES[currency])
        change(world, currency=currency)
    invoice = invoiced(world)
    before = world.wallet()
    part = invoice.total // 3
    pay(world, part, invoice, currency=currency)
    assert (status(invoice), left(invoice)) == ("finalised", invoice.total - part)
    pay(world, invoice.total - part, currency=currency)
    after = world.wallet()
    assert (status(invoice), left(invoice)) == ("paid", 0)
    assert after.limit - before.limit == invoice.usd_total == after.spent
    with as_operator():
        assert ledger.balance(tenant_id=world.tenant.id, kind="receivable", currency=currency) == 0
        paid = ledger.balance(tenant_id=world.tenant.id, kind="payments", currency=currency)
    assert paid == minor_to_pico(invoice.total, currency)
    assert balanced(world)


def test_a_transfer_pays_the_oldest_invoice_first_and_too_much_is_credit_for_the_next(world: World) -> None:
    first, second = invoiced(world), invoiced(world, 10**7)
    payment = pay(world, first.total + 100)
    assert (status(first), status(second)) == ("paid", "finalised")
    assert left(second) == second.total - 100
    pay(world, second.total)
    assert (status(second), advance(world)) == ("paid", {"USD": 100})
    third = invoiced(world, 10**7)
    settle(world)
    assert (left(third), advance(world)) == (third.total - 100, {})
    with as_operator():
        assert list(payment.allocations.values_list("invoice", "amount")) == [
            (first.pk, first.total), (second.pk, 100),
        ]  # fmt: skip
    assert balanced(world)


def test_chosen_invoices_are_paid_in_their_order_and_no_others(world: World) -> None:
    first, second = invoiced(world), invoiced(world, 10**7)
    pay(world, second.total + 7, second)
    assert (status(first), left(first), status(second), advance(world)) == (
        "finalised", first.total, "paid", {"USD": 7},
    )  # fmt: skip
    with pytest.raises(PaymentProblem, match="cannot pay it"):
        pay(world, 5, second)
    assert balanced(world)


def test_a_transfer_to_a_prepaid_tenant_is_paid_credit(prepaid: World) -> None:
    keep_rate(prepaid, "EUR", 9, 10)
    payment = pay(prepaid, 9_000, currency="EUR", memo="Top-up of March")
    with as_operator():
        grant = CreditGrant.objects.get(allocations__payment=payment)
        assert (grant.kind, int(grant.amount), grant.memo) == ("paid", 100 * USD, "Top-up of March")
        assert ledger.balance(tenant_id=prepaid.tenant.id, kind="exchange") == 100 * USD
    assert prepaid.balance("wallet") == -200 * USD
    assert prepaid.wallet().limit == 200 * USD
    assert balanced(prepaid)


def test_the_same_form_twice_is_one_payment(world: World) -> None:
    reference = uuid.uuid4()
    first, again = (pay(world, 500, reference=reference) for _ in range(2))
    assert first.pk == again.pk
    assert advance(world) == {"USD": 500}
    with pytest.raises(PaymentProblem, match="sent before"):
        pay(world, 501, reference=reference)


def test_a_credit_without_a_rate_is_refused_in_plain_words(world: World) -> None:
    with pytest.raises(PaymentProblem, match="needs a rate"):
        pay(world, 500, currency="EUR")
    with as_operator():
        assert not Payment.objects.filter(tenant=world.tenant).exists()
    with pytest.raises(PaymentProblem, match="XXX"):
        pay(world, 500, currency="XXX")
    with pytest.raises(PaymentProblem, match="more than nothing"):
        pay(world, 0)


def test_invariant_22_a_card_payment_arrives_once_however_often_it_is_said(prepaid: World) -> None:
    payment = by_card(prepaid, 2_500)
    for said in ("pending", "failed", "succeeded", "failed", "succeeded", "cancelled", "pending"):
        arrive(prepaid, payment, said)
    assert prepaid.wallet().limit == 125 * USD
    with as_operator():
        assert Payment.objects.get(pk=payment.pk).status == "succeeded"
        assert Allocation.objects.filter(payment=payment).count() == 1
    assert balanced(prepaid)


def test_an_invoice_that_was_paid_twice_leaves_credit(world: World) -> None:
    invoice = invoiced(world)
    one, other = by_card(world, invoice.total, invoice), by_card(world, invoice.total, invoice)
    arrive(world, one)
    arrive(world, other)
    assert (status(invoice), advance(world)) == ("paid", {"USD": invoice.total})
    assert balanced(world)


def test_no_more_is_asked_for_than_is_left_of_an_invoice(world: World) -> None:
    invoice = invoiced(world)
    pay(world, 100, invoice)
    with pytest.raises(PaymentProblem, match="are left to be paid"):
        by_card(world, invoice.total, invoice)


def test_an_invoice_is_not_paid_by_saying_so(world: World) -> None:
    invoice = invoiced(world)
    with as_operator():
        with pytest.raises(InvoiceProblem, match="are not paid"):
            invoice_states.mark_paid(invoice=invoice, now=world.clock)
        with pytest.raises(DatabaseError, match="finalised"), transaction.atomic():
            Invoice.objects.filter(pk=invoice.pk).update(status="paid")


def test_what_was_given_up_can_be_paid_after_all(world: World) -> None:
    invoice = invoiced(world)
    with as_operator():
        invoice_states.write_off(invoice=invoice, said=WHY, now=world.clock)
    pay(world, invoice.total, invoice)
    assert status(invoice) == "paid"
    assert balanced(world)


def test_a_credit_note_over_a_paid_invoice_leaves_credit(world: World) -> None:
    invoice = invoiced(world)
    pay(world, invoice.total, invoice)
    with as_operator():
        line = invoice.lines.order_by("position").first()
        assert line is not None
        note = credit_notes.issue(invoice=invoice, amounts={line.pk: 300}, said=WHY, now=world.clock)
    settle(world)
    settle(world)
    assert (status(invoice), advance(world)) == ("paid", {"USD": note.total})
    assert balanced(world)


def test_a_credit_note_over_what_is_left_of_a_partly_paid_invoice_closes_it(world: World) -> None:
    invoice = invoiced(world)
    with as_operator():
        line = invoice.lines.order_by("position").first()
        assert line is not None
    pay(world, invoice.total - line.amount, invoice)
    with as_operator():
        credit_notes.issue(invoice=invoice, amounts={line.pk: line.amount}, said=WHY, now=world.clock)
        assert settlement.settle_all(now=world.clock) == 1
        assert settlement.settle_all(now=world.clock) == 0
    assert status(invoice) == "paid"
    assert balanced(world)


# -- what goes back


def test_a_refund_of_a_paid_invoice_opens_it_again(world: World) -> None:
    invoice = invoiced(world)
    payment = pay(world, invoice.total, invoice)
    before = world.wallet().limit
    give_back(world, payment, 400)
    assert (status(invoice), left(invoice)) == ("finalised", 400)
    assert before - world.wallet().limit == minor_to_pico(400, "USD")
    with as_operator():
        event = InvoiceEvent.objects.filter(invoice=invoice).latest("id")
        assert (event.kind, "4.00 USD" in event.reason) == ("reopened", True)
    pay(world, 400, invoice)
    assert status(invoice) == "paid"
    assert balanced(world)


def test_only_credit_that_is_not_used_is_refunded(prepaid: World) -> None:
    payment = pay(prepaid, 5_000)
    prepaid.use(Usage(input=8 * 10**8))
    prepaid.post()
    with as_operator():
        credits.consume(prepaid.tenant.id, prepaid.clock)
    give_back(prepaid, payment, 2_000)
    assert prepaid.wallet().limit == 130 * USD
    with pytest.raises(RefundProblem, match=r"10\.00 USD can be refunded"):
        give_back(prepaid, payment, 3_000)
    with pytest.raises(RefundProblem, match="have not gone back"):
        give_back(prepaid, payment, 3_001)
    give_back(prepaid, payment, 1_000)
    assert prepaid.wallet().limit == prepaid.wallet().spent == 120 * USD
    assert balanced(prepaid)


def test_a_refund_of_credit_in_another_currency_takes_what_it_was_worth(prepaid: World) -> None:
    keep_rate(prepaid, "EUR", *CURRENCIES["EUR"])
    payment = pay(prepaid, 10_001, currency="EUR")
    limit = prepaid.wallet().limit
    for amount in (1, 3_333, 6_667):
        give_back(prepaid, payment, amount)
        assert balanced(prepaid)
    assert prepaid.wallet().limit == 100 * USD < limit


def test_a_grant_that_came_with_a_payment_is_refunded_with_it(prepaid: World) -> None:
    from billing import credit_ends

    payment = pay(prepaid, 5_000)
    with as_operator():
        grant = CreditGrant.objects.get(allocations__payment=payment)
        with pytest.raises(credits.CreditProblem, match=f"payment {payment.pk}"):
            credit_ends.refund(tenant=prepaid.tenant, grant=grant, amount=USD, key="x", now=prepaid.clock)


def test_a_dispute_takes_what_was_used_too_and_gives_it_back_when_won(prepaid: World) -> None:
    payment = by_card(prepaid, 5_000)
    arrive(prepaid, payment)
    prepaid.use(Usage(input=8 * 10**8))
    prepaid.post()
    with as_operator():
        credits.consume(prepaid.tenant.id, prepaid.clock)
    for _ in range(2):
        hear(prepaid, payment, "dp_1", "dispute", 5_000, "pending", "fraudulent")
    wallet = prepaid.wallet()
    assert wallet.limit - wallet.spent == -20 * USD
    assert balanced(prepaid)
    with as_operator():
        credits.consume(prepaid.tenant.id, prepaid.clock)
    assert balanced(prepaid)
    for said in ("failed", "pending", "failed"):
        hear(prepaid, payment, "dp_1", "dispute", 5_000, said, "won")
    assert prepaid.wallet().limit == 150 * USD
    assert balanced(prepaid)


def test_a_lost_dispute_over_an_invoice_leaves_it_open(world: World) -> None:
    invoice = invoiced(world)
    payment = by_card(world, invoice.total, invoice)
    arrive(world, payment)
    hear(world, payment, "dp_2", "dispute", invoice.total, "pending", "fraudulent")
    assert status(invoice) == "finalised"
    hear(world, payment, "dp_2", "dispute", invoice.total, "succeeded", "lost")
    assert (status(invoice), left(invoice)) == ("finalised", invoice.total)
    assert balanced(world)


def test_a_refund_the_provider_refuses_is_put_back(world: World) -> None:
    invoice = invoiced(world)
    payment = by_card(world, invoice.total, invoice)
    with as_operator():
        Payment.objects.filter(pk=payment.pk).update(intent_id="pi_1")
    arrive(world, payment)
    with as_operator():
        back = Back(500, "They asked for it", "Ana")
        refund = refunds.ask(payment=payment, back=back, now=world.clock)
    assert (refund.status, status(invoice)) == ("requested", "finalised")
    hear(world, payment, "re_1", "refund", 500, "pending", "", str(refund.reference))
    for _ in range(2):
        hear(world, payment, "re_1", "refund", 500, "failed", "The card is closed.", str(refund.reference))
    assert status(invoice) == "paid"
    with as_operator():
        assert Refund.objects.get().failure == "The card is closed."
    assert balanced(world)


def test_a_refund_made_at_the_provider_is_taken_once_and_never_more_than_there_is(prepaid: World) -> None:
    payment = by_card(prepaid, 1_000)
    assert hear(prepaid, payment, "re_0", "refund", 300, "succeeded") is None
    arrive(prepaid, payment)
    for _ in range(2):
        hear(prepaid, payment, "re_1", "refund", 700, "succeeded")
    hear(prepaid, payment, "re_2", "refund", 700, "succeeded")
    assert hear(prepaid, payment, "re_3", "refund", 1, "succeeded") is None
    assert prepaid.wallet().limit == 100 * USD
    assert balanced(prepaid)


# -- whatever happens


@pytest.mark.django_db
@settings(max_examples=15, deadline=None)
@given(
    acts=st.lists(st.tuples(st.sampled_from(["pay", "use", "refund", "dispute", "note", "settle"]),
                            st.integers(1, 3_000)), min_size=3, max_size=12),
    prepaid=st.booleans(), currency=st.sampled_from(["USD", "EUR", "JPY"]),
)  # fmt: skip
def test_the_books_balance_whatever_is_paid_and_goes_back(
    acts: list[tuple[str, int]], prepaid: bool, currency: str
) -> None:
    world = World(mode="prepaid" if prepaid else "postpaid", credit=10_000 * USD)
    if currency != "USD":
        with as_operator():
            keep_rate(world, currency, *CURRENCIES[currency])
        change(world, currency=currency)
    arrived: list[Payment] = []
    for act, amount in acts:
        if act == "pay":
            arrived.append(by_card(world, amount))
            arrive(world, arrived[-1])
        elif act == "use":
            invoiced(world, amount * 10**4)
        elif act == "refund" and arrived:
            with pytest.raises(RefundProblem) if amount > 2_900 else nothing():
                give_back(world, arrived[-1], min(amount, left_of(arrived[-1])) if amount <= 2_900 else 10**9)
        elif act == "dispute" and arrived:
            hear(world, arrived[0], f"dp_{uuid.uuid4()}", "dispute", amount, "pending")
        elif act == "note":
            _note(world, amount)
        else:
            settle(world)
        with as_operator():
            credits.consume(world.tenant.id, world.clock)
    assert balanced(world)
    settle(world)
    assert balanced(world)


def left_of(payment: Payment) -> int:
    with as_operator():
        return max(1, refunds.refundable(payment))


def nothing() -> Any:
    """A context that expects nothing: a refund of what is used is refused, and that is fine, too."""
    from contextlib import suppress

    return suppress(RefundProblem)


def _note(world: World, amount: int) -> None:
    with as_operator():
        invoice = Invoice.objects.filter(tenant=world.tenant, kind="invoice", status__in=["paid", "finalised"]).first()
        line = credit_notes.left_of(invoice)[0] if invoice else None
        if invoice and line and line.amount > 0:
            part = {line.line.pk: min(amount, line.amount)}
            credit_notes.issue(invoice=invoice, amounts=part, said=WHY, now=world.clock)


# -- what the database refuses, and the books find


def test_the_database_refuses_what_cannot_be(world: World) -> None:
    invoice = invoiced(world)
    payment, waiting = pay(world, 100, invoice), by_card(world, 100, invoice)
    with as_operator():
        row = Allocation.objects.get(payment=payment)
        copy = dict.fromkeys(("target", "invoice_id", "transfer_id", "tenant_id", "usd", "made_at"))
        values = {name: getattr(row, name) for name in copy}
        for more in ({"payment": payment, "amount": 1}, {"payment": waiting, "amount": 1},
                     {"payment": payment, "amount": -101}):  # fmt: skip
            with pytest.raises(DatabaseError, match=r"more is allocated|unique"), transaction.atomic():
                Allocation.objects.create(**values, **more)
        with pytest.raises(DatabaseError, match="never change"), transaction.atomic():
            Payment.objects.filter(pk=payment.pk).update(amount=200)
        with pytest.raises(DatabaseError, match="does not become"), transaction.atomic():
            Payment.objects.filter(pk=payment.pk).update(status="failed")
    with as_role("none"):
        for statement in ("UPDATE billing_allocation SET usd = 0", "DELETE FROM billing_payment"):
            with pytest.raises(DatabaseError), transaction.atomic():
                run(statement)
    with as_tenant(world.tenant.id):
        assert Payment.objects.count() == 2
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            Payment.objects.filter(pk=waiting.pk).update(status="succeeded")
    with as_tenant(world.tenant.id + 1):
        assert (Payment.objects.count(), Allocation.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE billing_allocation SET amount = amount + 1 WHERE {mine}", "allocations = ledger"),
        ("UPDATE billing_allocation SET usd = usd + 1 WHERE {mine}", "payments in USD by their rates"),
        ("UPDATE billing_allocation SET usd = usd + 1 WHERE {mine}", "wallet limit = credit limit + credits"),
        ("UPDATE billing_payment SET amount = amount + 1 WHERE {mine}", "payment = what it pays + what went back"),
        ("UPDATE billing_payment SET status = 'failed' WHERE {mine}", "payment = what it pays + what went back"),
        ("UPDATE billing_refund SET amount = amount + 1 WHERE {mine}", "refund = what was taken"),
        ("UPDATE billing_refund SET status = 'failed' WHERE {mine}", "refund = what was taken"),
        ("UPDATE billing_invoice SET status = 'paid' WHERE {mine}", "paid invoices were paid"),
        ("DELETE FROM billing_allocation WHERE refund_id IS NOT NULL AND {mine}", "allocations = ledger"),
        ('UPDATE billing_allowance SET "limit" = "limit" + 1 WHERE {mine}', "wallet limit = credit limit + credits"),
    ],
)  # fmt: skip
def test_any_tampering_is_found(world: World, tampering: str, found: str) -> None:
    invoice = invoiced(world)
    payment = pay(world, invoice.total, invoice)
    give_back(world, payment, 100)
    assert balanced(world)
    with as_role("none"):
        run("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("allocation", "payment", "refund", "invoice"):
            run(f"ALTER TABLE billing_{table} DISABLE TRIGGER USER")
        assert run(tampering.replace("{mine}", f"tenant_id = {world.tenant.id}"))
    with as_operator():
        report = books.check(tenant_id=world.tenant.id)
    assert found in {difference.check for difference in report.differences}


def test_the_limit_of_a_wallet_is_its_credit_and_what_was_paid(prepaid: World) -> None:
    pay(prepaid, 1_234)
    with as_operator():
        row = Allowance.objects.get(tenant=prepaid.tenant, kind=Allowance.Kind.WALLET)
    assert int(row.limit) == 100 * USD + minor_to_pico(1_234, "USD")
