"""Invoices: the sum of the calls, once, rounded once, and never changed again."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO

import pytest
from django.db import DatabaseError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from billing import books, closing, invoice_pdf, invoices, ledger, payments
from billing.invoices import InvoiceProblem
from billing.journal import Ending
from billing.meters import Usage
from billing.models import Invoice, InvoicedTransfer, InvoiceLine, Transfer
from billing.money import minor_to_pico, round_to_minor
from billing.payments import Ask
from portal.models import Tenant
from portal.tenancy import as_operator
from tests.billing.world import ROLES, USD, World, as_role, run

MARCH, APRIL = "2027-03", "2027-04"
CALLS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**5)), min_size=1, max_size=8)
IN_ONE_WORLD = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def close(world: World, month: str = MARCH, *, finalise: bool = True) -> Invoice:
    with as_operator():
        return closing.close(tenant=world.tenant, month=month, now=world.clock, finalise=finalise)


def balanced(world: World) -> bool:
    with as_operator():
        return books.check(tenant_id=world.tenant.id).differences == ()


def text_of(invoice: Invoice) -> str:
    with as_operator():
        pdf = invoice_pdf.render(invoice)
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


@pytest.mark.django_db
@pytest.mark.parametrize("mode", ["postpaid", "prepaid"])
@settings(max_examples=6, deadline=None)
@given(calls=CALLS)
def test_invariant_23_settled_usage_equals_the_exact_invoice_lines(mode: str, calls: list[tuple[int, int]]) -> None:
    world = World(mode=mode)
    spent = 0
    for tokens, cached in calls:
        spent += world.event(world.use(Usage(input=tokens, cache_read=cached, output=tokens // 9 + 1))).cost
    invoice = close(world)
    with as_operator():
        lines = list(invoice.lines.all())
    assert sum(int(line.exact) for line in lines) == int(invoice.exact) == spent
    assert all(int(line.exact) == line.quantity * line.unit_price for line in lines)
    assert balanced(world)


@pytest.mark.django_db
@pytest.mark.parametrize("mode", ["postpaid", "prepaid"])
@settings(max_examples=6, deadline=None)
@given(calls=CALLS)
def test_invariant_24_exact_and_rounding_entries_make_the_rounded_total(
    mode: str, calls: list[tuple[int, int]]
) -> None:
    world = World(mode=mode)
    for tokens, cached in calls:
        world.use(Usage(input=tokens, cache_read=cached, output=1))
    invoice = close(world)
    rounded = minor_to_pico(invoice.total, "USD")
    assert rounded == int(invoice.exact) - world.balance("rounding")
    if mode == "postpaid":
        assert (world.balance("receivable"), world.balance("accrued")) == (rounded, 0)
    else:
        assert world.balance("wallet") == rounded - 100 * USD
    wallet = world.wallet()
    owed = world.balance("wallet") if mode == "prepaid" else rounded - 100 * USD
    assert wallet.limit - wallet.spent == -owed


@IN_ONE_WORLD
@given(tokens=st.lists(st.integers(1, 10**6), min_size=1, max_size=5))
def test_invariant_25_totals_are_sums_of_lines_rounded_once(world: World, tokens: list[int]) -> None:
    for count in tokens:
        world.use(Usage(input=count, output=count // 2, reasoning=count // 5))
    invoice = close(world)
    with as_operator():
        lines = list(invoice.lines.all())
    assert [line.amount for line in lines] == [round_to_minor(int(line.exact), "USD") for line in lines]
    assert invoice.total == invoice.subtotal == sum(line.amount for line in lines)
    assert all(line.amount == int(line.amount) for line in lines)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_invoice SET total = total + 1, subtotal = subtotal + 1",
        "UPDATE billing_invoice SET status = 'draft', number = NULL",
        "UPDATE billing_invoice SET snapshot = '{}'",
        "UPDATE billing_invoice SET number = 'INV-2027-99999'",
        "DELETE FROM billing_invoice",
        "UPDATE billing_invoiceline SET amount = amount + 1",
        "DELETE FROM billing_invoiceline",
        "INSERT INTO billing_invoiceline SELECT id + 1000, position + 1000, period_label, model, token_class, "
        "price_id, quantity, unit_price, exact, amount, invoice_id, tenant_id FROM billing_invoiceline",
        "DELETE FROM billing_invoicedtransfer",
    ],
)
def test_invariant_26_a_finalised_invoice_cannot_be_changed_by_anyone(world: World, role: str, statement: str) -> None:
    world.use(Usage(input=10**6))
    close(world)
    with pytest.raises(DatabaseError, match=r"finalised|permission denied"), as_role(role):
        run(statement)


def test_invariant_26_a_finalised_invoice_renders_identically_whatever_changes(world: World) -> None:
    world.use(Usage(input=10**6, output=77))
    invoice = close(world)
    with as_operator():
        first = invoice_pdf.render(invoice)
        Tenant.objects.filter(pk=world.tenant.pk).update(name="Other", address="Elsewhere", timezone="Asia/Tokyo")
        world.project.name = "Renamed"
        world.project.save()
    world.clock += timedelta(days=1)
    world.publish({"input": 1, "output": 1})
    with as_operator():
        assert invoice_pdf.render(Invoice.objects.get(pk=invoice.pk)) == first


def test_invariant_26_a_finalised_invoice_is_paid_by_money_alone(world: World) -> None:
    world.use(Usage(input=10**6))
    invoice = close(world)
    with as_operator(), pytest.raises(DatabaseError, match="finalised for good"), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(status="paid")
    with as_operator():
        ask = Ask(invoice.total, invoice.currency, "bank")
        payments.record(tenant=world.tenant, ask=ask, chosen=[invoice], now=world.clock)
        invoice.refresh_from_db()
    assert invoice.status == "paid"


def test_invariant_28_finalising_twice_is_finalising_once(world: World) -> None:
    world.use(Usage(input=10**6))
    invoice = close(world)
    with as_operator():
        again = invoices.finalise(invoice=invoice, now=world.clock + timedelta(days=1))
    assert close(world).pk == invoice.pk
    assert (again.number, again.finalised_at) == (invoice.number, invoice.finalised_at)
    with as_operator():
        assert Transfer.objects.filter(tenant=world.tenant, kind="invoice").count() == 1


def test_invariant_31_late_usage_lands_on_the_next_invoice_under_its_own_month(world: World) -> None:
    world.use(Usage(input=10**6))
    late = world.opening()
    world.open([late])
    world.clock += timedelta(days=30)
    first = close(world)
    world.settle([world.ending(late, Usage(input=2 * 10**6))])
    world.price = world.publish({"input": 1_000_000, "output": 1})
    world.use(Usage(input=10**6))
    world.clock += timedelta(days=30)
    second = close(world, APRIL)
    with as_operator():
        lines = [(line.period_label, line.quantity, line.amount) for line in second.lines.order_by("position")]
        assert list(first.lines.values_list("quantity", flat=True)) == [10**6]
    assert lines == [(MARCH, 2 * 10**6, 30), (APRIL, 10**6, 100)]
    assert "used in March 2027" in text_of(second)
    assert balanced(world)


def test_invariant_31_closing_the_running_month_leaves_later_usage_to_the_next_invoice(world: World) -> None:
    world.use(Usage(input=10**6))
    first = close(world)
    world.use(Usage(input=3 * 10**6))
    second = close(world)
    assert (first.total, second.total) == (15, 45)
    assert first.number != second.number
    assert balanced(world)


def test_invariant_31_a_correction_downwards_is_a_negative_line(world: World) -> None:
    opening = world.opening()
    world.open([opening])
    world.sweep()
    first = close(world)
    world.settle([world.ending(opening, Usage(input=40))])
    second = close(world)
    with as_operator():
        assert [line.quantity for line in second.lines.all()] == [-60]
    assert int(first.exact) + int(second.exact) == 40 * world.price.input
    assert balanced(world)


def test_a_draft_follows_what_is_used_and_can_be_taken_back(world: World) -> None:
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    world.use(Usage(input=10**6))
    again = close(world, finalise=False)
    assert (draft.pk, draft.total, again.total, again.number) == (again.pk, 15, 30, None)
    assert balanced(world)
    with as_operator():
        invoices.discard(invoice=again)
        assert not InvoicedTransfer.objects.filter(tenant=world.tenant).exists()
    assert balanced(world)


def test_a_draft_is_finalised_or_discarded_and_never_both(world: World) -> None:
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    with as_operator():
        invoices.finalise(invoice=draft, now=world.clock)
        with pytest.raises(InvoiceProblem, match="no longer"):
            invoices.discard(invoice=draft)
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    with as_operator():
        invoices.discard(invoice=draft)
        for act in (invoices.discard, lambda invoice: invoices.finalise(invoice=invoice, now=world.clock)):
            with pytest.raises(InvoiceProblem, match="is gone"):
                act(invoice=draft)
    assert balanced(world)


def test_two_drafts_never_share_usage(world: World) -> None:
    world.use(Usage(input=10**6))
    march = close(world, finalise=False)
    world.clock += timedelta(days=30)
    world.use(Usage(input=10**6))
    april = close(world, APRIL, finalise=False)
    assert (march.total, april.total) == (15, 15)
    assert balanced(world)


def test_a_draft_of_a_later_month_keeps_no_usage_from_its_own(world: World) -> None:
    world.use(Usage(input=10**6))
    world.clock += timedelta(days=30)
    world.use(Usage(input=10**6))
    april = close(world, APRIL, finalise=False)
    assert (april.total, close(world, MARCH).total) == (30, 15)
    with as_operator():
        april.refresh_from_db()
    assert april.total == 15
    assert close(world, APRIL).total == 15
    assert balanced(world)


@pytest.mark.parametrize("zone", ["America/St_Johns", "Asia/Kolkata", "Europe/Berlin"])
def test_a_draft_in_a_zone_the_tenant_left_keeps_no_usage_from_its_invoice(world: World, zone: str) -> None:
    world.use(Usage(input=10**6))
    left = close(world, finalise=False)
    world.tenant.timezone = zone
    with as_operator():
        world.tenant.save(update_fields=["timezone"])
    invoice = close(world)
    assert (invoice.total, invoice.timezone) == (15, zone)
    with as_operator():
        assert not Invoice.objects.filter(pk=left.pk).exclude(pk=invoice.pk).exists()
    assert balanced(world)


def test_surcharges_are_lines_of_their_own(world: World) -> None:
    world.clock += timedelta(hours=1)
    world.price = world.publish(
        {"input": 10, "output": 10, "per_request": USD // 1000, "per_web_search": USD // 100, "per_image": USD}
    )
    for _call in range(3):
        world.use(Usage(input=5, web_searches=2, images=1))
    invoice = close(world)
    with as_operator():
        lines = {line.token_class: (line.quantity, line.amount) for line in invoice.lines.all()}
    assert lines == {"input": (15, 0), "per_web_search": (6, 6), "per_image": (3, 300), "per_request": (3, 0)}
    assert balanced(world)


def test_a_late_void_takes_back_the_surcharge_too(world: World) -> None:
    world.clock += timedelta(hours=1)
    world.price = world.publish({"input": 10, "output": 10, "per_request": USD})
    opening = world.opening()
    world.open([opening])
    world.sweep()
    close(world)
    world.settle([Ending(opening.id, opening.tenant_id, state="voided", basis=None)])
    world.use(Usage(input=3))
    world.use(Usage(input=3))
    second = close(world)
    with as_operator():
        lines = {line.token_class: line.quantity for line in second.lines.all()}
    assert lines == {"input": -94, "per_request": 1}
    assert balanced(world)


@pytest.mark.parametrize("mode", ["postpaid", "prepaid"])
@pytest.mark.django_db
def test_invariant_29_a_month_that_only_gives_back_is_carried_over_to_the_next_invoice(mode: str) -> None:
    world = World(mode=mode)
    world.clock += timedelta(hours=1)
    world.price = world.publish({"input": 10, "output": 10, "per_request": USD})
    opening = world.opening()
    world.open([opening])
    world.sweep()
    close(world)
    world.settle([Ending(opening.id, opening.tenant_id, state="voided", basis=None)])
    with pytest.raises(InvoiceProblem, match=r"1\.00 USD are given back in 2027-03: they are carried over"):
        close(world)
    draft = close(world, finalise=False)
    with as_operator():
        with pytest.raises(InvoiceProblem, match="carried over"):
            invoices.finalise(invoice=draft, now=world.clock)
        assert draft.total == -100
    world.clock += timedelta(days=45)
    with as_operator():
        assert closing.close_ended(tenant=world.tenant, now=world.clock) is None
        assert Invoice.objects.filter(tenant=world.tenant).count() == 1
    left = close(world, finalise=False)
    assert balanced(world)
    for _call in range(3):
        world.use(Usage(input=1))
    world.clock += timedelta(days=30)
    later = close(world, APRIL)
    with as_operator():
        lines = {(line.period_label, line.token_class): line.quantity for line in later.lines.all()}
        assert not Invoice.objects.filter(pk=left.pk).exists()
    assert lines[MARCH, "per_request"] == -1
    assert (lines[APRIL, "per_request"], later.total) == (3, 200)
    assert balanced(world)


@pytest.mark.parametrize(("month", "says"), [("2027-04", "has not begun"), ("2027-02", "Nothing was used")])
def test_it_says_in_words_why_there_is_no_invoice(world: World, month: str, says: str) -> None:
    with pytest.raises(InvoiceProblem, match=says):
        close(world, month)


def test_a_currency_without_a_rate_parks_the_draft_and_invoices_nothing(world: World) -> None:
    world.use(Usage(input=10**6))
    for currency in ("EUR", "XXX"):
        world.tenant.currency = currency
        parked = close(world)
        assert (parked.number, parked.total) == (None, 0)
        assert currency in parked.parked_reason
        with as_operator(), pytest.raises(InvoiceProblem, match=currency):
            invoices.finalise(invoice=parked, now=world.clock)
        assert balanced(world)
    world.tenant.currency = "USD"
    assert close(world).total == 15


def test_a_difference_in_the_books_parks_that_tenants_invoice_only(world: World) -> None:
    other = World()
    for each in (world, other):
        each.use(Usage(input=10**6))
    with as_role("none"):
        run("UPDATE billing_allowance SET spent = spent + 1 WHERE tenant_id = %s", world.tenant.id)
    parked, fine = close(world), close(other)
    assert (parked.status, parked.number) == ("draft", None)
    assert "spent" in parked.parked_reason
    assert fine.number
    with as_role("none"):
        run("UPDATE billing_allowance SET spent = spent - 1 WHERE tenant_id = %s", world.tenant.id)
    assert close(world).number


def test_a_stale_draft_cannot_be_finalised_behind_the_ledgers_back(world: World) -> None:
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    with as_operator():
        InvoiceLine.objects.filter(invoice=draft).update(exact=1)
        with pytest.raises(InvoiceProblem, match="differs from the ledger"), transaction.atomic():
            invoices.finalise(invoice=draft, now=world.clock)


def test_last_month_is_closed_once_some_hours_after_its_end_in_the_tenants_zone(world: World) -> None:
    world.use(Usage(input=10**6))
    midnight = world.clock.replace(month=3, day=31, hour=22, minute=0)  # Paris is two hours ahead by then
    with as_operator():
        assert closing.close_ended(tenant=world.tenant, now=midnight + timedelta(hours=5, minutes=59)) is None
        closed = closing.close_ended(tenant=world.tenant, now=midnight + timedelta(hours=6))
        assert closed
        assert (closed.period_label, closed.status) == (MARCH, "finalised")
    world.use(Usage(input=10**6))
    world.clock = midnight + timedelta(hours=8)
    with as_operator():
        assert closing.close_ended(tenant=world.tenant, now=world.clock) is None
    assert close(world, APRIL).total == 15


# -- the document


def test_the_pdf_shows_what_the_invoice_says(world: World) -> None:
    world.use(Usage(input=12_345_678, cache_read=1000, output=500))
    invoice = close(world)
    text = text_of(invoice)
    for part in (
        invoice.number, world.tenant.name, world.model, "Europe/Paris", "March 2027", "12,345,678", "0.15", "0.075",
        "1.85", "1.8522267", "Annex", world.project.name, "sk-tg-",
    ):  # fmt: skip
        assert str(part) in text, part
    assert "DRAFT" not in text


def test_the_pdf_of_a_draft_says_so_and_that_of_a_prepaid_tenant_asks_for_nothing(prepaid: World) -> None:
    prepaid.use(Usage(input=10**6))
    assert "asks for no payment" in text_of(close(prepaid, finalise=False))
    assert "nothing left to pay" in text_of(close(prepaid))


HOSTILE = '#import "/etc/passwd" $x^2$ *b* _i_ `c` <l> @r [x] \\u{41} #eval("1+1") </text> \u202e {{7*7}}'


def test_user_text_is_inert_in_the_pdf(world: World) -> None:
    with as_operator():
        Tenant.objects.filter(pk=world.tenant.pk).update(name=HOSTILE, address="#set page(fill: red)\n= Heading")
        world.tenant.refresh_from_db()
        world.project.name = HOSTILE
        world.project.save()
    world.use(Usage(input=10**6))
    text = text_of(close(world)).replace("\n", " ")
    for part in ("/etc/passwd", "$x^2$", "*b*", "#eval(", "1+1", "#set page(fill: red)", "= Heading", "{{7*7}}"):
        assert part in text, part
    assert "root:" not in text


@IN_ONE_WORLD
@given(name=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_name_can_be_typeset(world: World, name: str) -> None:
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    with as_operator():
        draft.tenant.name = name
        assert invoice_pdf.render(draft).startswith(b"%PDF")


def test_no_key_of_a_top_up_can_stand_in_the_way_of_an_invoice(world: World) -> None:
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    with as_operator():
        with pytest.raises(ledger.LedgerProblem):
            ledger.top_up(tenant=world.tenant, amount=1, key=f"invoice:{draft.pk}", now=world.clock)
        assert invoices.finalise(invoice=draft, now=world.clock).number


def test_images_that_are_paid_by_their_tokens_are_no_line(world: World) -> None:
    world.use(Usage(input=10, output=10**6, output_image=10**6, images=3))
    invoice = close(world)
    with as_operator():
        assert set(invoice.lines.values_list("token_class", flat=True)) == {"input", "output", "output_image"}
    assert balanced(world)
