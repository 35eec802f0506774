"""Credit notes and what becomes of invoices: never more than was invoiced, and every step with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import books, closing, credit_notes, credits, invoice_states, payments
from billing.grants import Terms
from billing.invoice_events import Said
from billing.invoices import InvoiceProblem
from billing.meters import Usage
from billing.models import CreditGrant, Invoice, InvoiceEvent, Payment
from billing.money import minor_to_pico
from billing.payments import Ask
from portal.tenancy import as_operator
from tests.billing.test_taxes import CURRENCIES, change, keep_rate
from tests.billing.world import USD, World, as_role, run

WHY = Said("Ana", "Wrong model was billed")


@pytest.fixture
def seller(settings: Any) -> Any:
    settings.SELLER = {**settings.SELLER, "country": "DE", "vat_id": "DE136695976"}
    return settings


def invoiced(world: World, tokens: int = 10**8) -> Invoice:
    world.use(Usage(input=tokens, output=tokens // 3))
    with as_operator():
        return closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)


def credit(world: World, invoice: Invoice, amounts: dict[int, int] | None) -> Invoice:
    with as_operator():
        return credit_notes.issue(invoice=invoice, amounts=amounts, said=WHY, now=world.clock)


def balanced(world: World) -> bool:
    with as_operator():
        return books.check(tenant_id=world.tenant.id).differences == ()


@pytest.mark.parametrize("mode", ["postpaid", "prepaid"])
@pytest.mark.parametrize("currency", ["USD", "JPY", "TRY"])
@pytest.mark.django_db
def test_invariant_29_a_full_credit_note_gives_everything_back(mode: str, currency: str, seller: Any) -> None:
    world = World(mode=mode)
    if currency != "USD":
        keep_rate(world, currency, *CURRENCIES[currency])
    change(world, country="DE", currency=currency)
    invoice = invoiced(world)
    note = credit(world, invoice, None)
    assert (note.total, note.tax, note.exact, note.usd_total) == (
        invoice.total, invoice.tax, invoice.exact, invoice.usd_total,
    )  # fmt: skip
    assert note.number is not None
    assert note.number.startswith("CN-2027-")
    wallet = world.wallet()
    assert wallet.spent == 0
    if mode == "prepaid":
        assert world.balance("wallet") == -100 * USD
    assert [world.balance(kind) for kind in ("tax", "revenue", "receivable", "accrued", "exchange")] == [0] * 5
    assert note.snapshot["corrects"]["number"] == invoice.number
    assert balanced(world)
    with as_operator():
        invoice.refresh_from_db()
        assert invoice.status == ("void" if mode == "postpaid" else "paid")
        with pytest.raises(InvoiceProblem):
            credit_notes.issue(invoice=invoice, amounts=None, said=WHY, now=world.clock)


@pytest.mark.django_db
@settings(max_examples=12, deadline=None)
@given(
    shares=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 100)), min_size=1, max_size=6),
    prepaid=st.booleans(), currency=st.sampled_from(["USD", "EUR", "KWD"]),
)  # fmt: skip
def test_invariant_29_an_invoice_and_its_credit_notes_are_never_negative(
    shares: list[tuple[int, int]], prepaid: bool, currency: str
) -> None:
    world = World(mode="prepaid" if prepaid else "postpaid")
    if currency != "USD":
        with as_operator():
            keep_rate(world, currency, *CURRENCIES[currency])
        change(world, currency=currency)
    invoice = invoiced(world)
    for place, share in shares:
        with as_operator():
            left = credit_notes.left_of(invoice)[place]
        part = left.amount * share // 100
        if part:
            credit(world, invoice, {left.line.pk: part})
    with as_operator():
        assert credit_notes.left_total(invoice) >= 0
        invoice.refresh_from_db()
        rest = credit_notes.left_total(invoice)
    if rest:
        credit(world, invoice, None)
    with as_operator():
        notes = credit_notes.numbered(invoice)
        assert credit_notes.left_total(invoice) == 0
        assert sum(int(note.usd_total) for note in notes) == int(invoice.usd_total)
        assert sum(int(note.exact) for note in notes) == int(invoice.exact)
    assert world.wallet().spent == 0
    assert balanced(world)


def test_more_than_is_left_of_a_line_is_refused(world: World, seller: Any) -> None:
    change(world, country="DE")
    invoice = invoiced(world)
    with as_operator():
        line = invoice.lines.order_by("position")[0]
    credit(world, invoice, {line.pk: line.amount - 100})
    for amounts, says in (
        ({line.pk: 101}, "1.00 USD are left"), ({line.pk: -1}, "are left"), ({-1: 5}, "no such line"), ({}, "at least"),
    ):  # fmt: skip
        with pytest.raises(InvoiceProblem, match=says):
            credit(world, invoice, amounts)
    assert balanced(world)


def test_invariant_29_the_database_refuses_to_credit_more_than_was_invoiced(world: World) -> None:
    invoice = invoiced(world)
    with as_operator():
        for total in (invoice.total + 1, -1):
            note = Invoice.objects.create(
                kind="credit_note", corrects=invoice, tenant=world.tenant, total=total, subtotal=total,
                period_label=invoice.period_label, period_start_at=invoice.period_start_at,
                period_end_at=invoice.period_end_at, timezone="UTC", currency="USD",
            )  # fmt: skip
            with pytest.raises(DatabaseError, match="more is credited"), transaction.atomic():
                Invoice.objects.filter(pk=note.pk).update(status="finalised", number="CN-2027-90000")


@pytest.mark.parametrize("status", ["paid", "void", "uncollectible"])
def test_invariant_26_a_status_goes_on_once_and_never_back(world: World, status: str) -> None:
    invoice = invoiced(world)
    acts: dict[str, Callable[[], object]] = {
        "paid": lambda: invoice_states.mark_paid(invoice=invoice, now=world.clock),
        "void": lambda: invoice_states.void(invoice=invoice, said=WHY, now=world.clock),
        "uncollectible": lambda: invoice_states.write_off(invoice=invoice, said=WHY, now=world.clock),
    }
    with as_operator():
        if status == "paid":
            ask = Ask(invoice.total, "USD", Payment.Method.BANK)
            payments.record(tenant=world.tenant, ask=ask, chosen=[invoice], now=world.clock)
        acts[status]()
        invoice.refresh_from_db()
        assert invoice.status == status
        assert InvoiceEvent.objects.filter(invoice=invoice, kind=status).count() == 1
        for other in {"draft", "finalised", "paid", "void", "uncollectible"} - {status}:
            with pytest.raises(DatabaseError, match="finalised"), transaction.atomic():
                Invoice.objects.filter(pk=invoice.pk).update(status=other)
        for name, act in acts.items():
            if name == status == "paid":
                act()
            else:
                with pytest.raises(InvoiceProblem):
                    act()
    assert balanced(world)


def test_voiding_gives_the_credit_line_its_room_back(world: World) -> None:
    invoice = invoiced(world)
    assert world.wallet().spent == minor_to_pico(invoice.total, "USD")
    with as_operator():
        note = invoice_states.void(invoice=invoice, said=WHY, now=world.clock)
        event = InvoiceEvent.objects.get(invoice=invoice)
    assert (event.kind, event.actor, event.reason) == ("void", "Ana", WHY.reason)
    assert (note.reason, note.corrects_id) == (WHY.reason, invoice.pk)
    assert world.wallet().spent == 0
    assert balanced(world)


def test_a_credit_note_is_not_corrected_voided_or_paid(world: World) -> None:
    note = credit(world, invoiced(world), None)
    with as_operator():
        acts: tuple[Callable[[], object], ...] = (
            lambda: credit_notes.issue(invoice=note, amounts=None, said=WHY, now=world.clock),
            lambda: invoice_states.void(invoice=note, said=WHY, now=world.clock),
            lambda: invoice_states.mark_paid(invoice=note, now=world.clock),
        )
        for act in acts:
            with pytest.raises(InvoiceProblem):
                act()


def test_invariant_21_a_credit_note_gives_credit_back_where_it_came_from(prepaid: World) -> None:
    invoice = invoiced(prepaid)
    with as_operator():
        credits.consume(prepaid.tenant.id, prepaid.clock)
        gift = Terms(CreditGrant.Kind.PROMOTIONAL, 50 * USD, prepaid.clock)
        credits.grant(tenant=prepaid.tenant, terms=gift, key="gift", now=prepaid.clock)
    prepaid.use(Usage(input=2 * 10**8))
    prepaid.post()
    with as_operator():
        credits.consume(prepaid.tenant.id, prepaid.clock)
    credit(prepaid, invoice, None)
    with as_operator():
        credits.consume(prepaid.tenant.id, prepaid.clock)
        left = list(CreditGrant.objects.filter(tenant=prepaid.tenant).order_by("id").values_list("unused", flat=True))
    assert left == [100 * USD, 20 * USD]
    assert balanced(prepaid)


BREAKS = {
    "total in USD = total by its rate": "UPDATE billing_invoice SET usd_total = usd_total + 2 WHERE id = %s",
    "credited <= invoiced": "UPDATE billing_invoice SET total = total - 1, subtotal = subtotal - 1 WHERE id = %s",
    "rounded = exact + rounding": "UPDATE billing_invoice SET rate_numerator = 2 WHERE id = %s",
    "tax = its groups = ledger": "UPDATE billing_invoicetax SET amount = amount + 1 WHERE invoice_id = %s",
}


@pytest.mark.parametrize("check", list(BREAKS))
def test_a_broken_invoice_is_found_by_the_check_of_the_books(world: World, seller: Any, check: str) -> None:
    change(world, country="DE")
    invoice = invoiced(world)
    credit(world, invoice, None)
    with as_role("none"):
        run("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("billing_invoice", "billing_invoicetax"):
            run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        run(BREAKS[check], invoice.pk)
    with as_operator():
        found = {difference.check for difference in books.check(tenant_id=world.tenant.id).differences}
    assert check in found


def test_nothing_is_done_without_a_reason(world: World) -> None:
    invoice = invoiced(world)
    for act in (invoice_states.void, invoice_states.write_off, invoice_states.dispute):
        with as_operator(), pytest.raises(InvoiceProblem, match="Say why"):
            act(invoice=invoice, said=Said("Ana", " "), now=world.clock)


def test_invariant_35_a_sum_far_above_the_average_is_parked_until_it_is_released_with_a_reason(
    world: World, settings: Any
) -> None:
    for _invoice in range(2):
        assert invoiced(world, 10**7).number
    settings.PARK_FACTOR = 5
    parked = invoiced(world, 20 * 10**7)
    assert parked.number is None
    assert "more than 5 times the average" in parked.parked_reason
    assert balanced(world)
    with as_operator():
        done = invoice_states.release(invoice=parked, said=Said("Ana", "They ran a load test"), now=world.clock)
        event = InvoiceEvent.objects.get(invoice=parked)
        with pytest.raises(InvoiceProblem, match="put aside"):
            invoice_states.release(invoice=parked, said=WHY, now=world.clock)
    assert done.number
    assert (event.kind, event.reason) == ("released", "They ran a load test")
