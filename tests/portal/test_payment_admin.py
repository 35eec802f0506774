"""Operators record transfers, read bank statements, pay back, and see what Stripe said."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from billing import closing, payments
from billing.meters import Usage
from billing.models import BankLine, Invoice, Payment, ProviderEvent, Refund
from billing.money import format_minor
from portal.environment import StripeKeys
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from tests.billing.world import World
from tests.portal.cast import signed_in


@pytest.fixture
def staff(db: None) -> Client:
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


@pytest.fixture
def world(db: None) -> World:
    return World()


def invoiced(world: World) -> Invoice:
    world.use(Usage(input=10**8))
    with as_operator():
        return closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)


def values(world: World, **changed: object) -> dict[str, Any]:
    return {
        "tenant": world.tenant.pk, "amount": "5.00", "currency": "USD", "method": "bank", "received_on": "2027-03-09",
        "invoices": "", "memo": "Transfer", "form_key": uuid.uuid4(), **changed,
    }  # fmt: skip


def acts() -> list[str]:
    with as_operator():
        return list(AuditEntry.objects.filter(actor__is_staff=True).order_by("pk").values_list("action", flat=True))


def test_they_record_a_transfer_once(staff: Client, world: World) -> None:
    invoice = invoiced(world)
    sent = values(world, amount=format_minor(invoice.total, "USD"), invoices=f" {invoice.number} ")
    for _ in range(2):
        answer = staff.post(reverse("admin:billing_payment_add"), sent)
        assert answer.status_code == 302, re.findall(r'role="alert"[^>]*>([^<]*)', answer.content.decode())
    page = staff.get(answer["Location"]).content.decode()
    assert invoice.number is not None
    assert invoice.number in page
    with as_operator():
        invoice.refresh_from_db()
        assert (invoice.status, Payment.objects.count()) == ("paid", 1)
    assert acts()[0] == "payment.record"
    assert staff.get(reverse("admin:billing_payment_changelist")).status_code == 200


def test_they_are_told_what_cannot_be(staff: Client, world: World) -> None:
    for changed, says in (
        ({"amount": "x"}, "is not an amount"), ({"amount": "0.00"}, "more than nothing"),
        ({"invoices": "INV-1"}, "has no invoice INV-1"), ({"currency": "EUR"}, "needs a rate"),
    ):  # fmt: skip
        answer = staff.post(reverse("admin:billing_payment_add"), values(world, **changed))
        assert answer.status_code == 200
        assert says in answer.content.decode()
    with as_operator():
        assert not Payment.objects.exists()


def test_they_pay_back_by_hand_with_a_reason(staff: Client, world: World, settings: Any) -> None:
    staff.post(reverse("admin:billing_payment_add"), values(world))
    with as_operator():
        payment = Payment.objects.get()
    address = reverse("admin:billing_payment_refund", args=[payment.pk])
    assert "5.00" in staff.get(address).content.decode()
    back = {"amount": "2.00", "reason": "Paid twice", "form_key": uuid.uuid4()}
    assert "tick that you did" in staff.post(address, back).content.decode()
    settings.STRIPE = StripeKeys("sk_test_1234567890", "whsec_1234567890", "http://127.0.0.1:9")
    assert "refunded by the provider" in staff.post(address, back).content.decode()
    assert staff.post(address, {**back, "by_hand": "on"}).status_code == 302
    assert staff.post(address, {**back, "by_hand": "on"}).status_code == 302
    too_much = {"amount": "4.00", "reason": "Paid twice", "form_key": uuid.uuid4(), "by_hand": "on"}
    assert "have not gone back" in staff.post(address, too_much).content.decode()
    with as_operator():
        refund = Refund.objects.get()
        assert (refund.amount, refund.status, refund.actor) == (200, "succeeded", "staff@tollgate.test")
    assert "payment.refund" in acts()


def test_they_see_a_statement_before_they_take_it_in(staff: Client, world: World) -> None:
    invoice = invoiced(world)
    amount = format_minor(invoice.total, "USD").replace(".", ",")
    text = f"Buchungstag;Betrag;Verwendungszweck\n09.03.2027;{amount};{invoice.number}\n"
    text += "09.03.2027;1,00;<b>what</b>\n"
    address = reverse("admin:billing_bankline_add")
    file = SimpleUploadedFile("konto.csv", text.encode("cp1252"), "text/csv")
    page = staff.post(address, {"file": file, "currency": "USD"}).content.decode()
    assert "1 matched, 1 unmatched, 0 duplicate" in page
    assert "&lt;b&gt;what" in page
    with as_operator():
        assert not BankLine.objects.exists()
    shown = re.search(r"<textarea name=\"content\" hidden>\n(.*?)</textarea>", page, re.DOTALL)
    assert shown is not None
    sent = {"content": shown[1].replace("&lt;", "<").replace("&gt;", ">"), "currency": "USD", "take_in": "1"}
    for _ in range(2):
        assert staff.post(address, sent).status_code == 302
    with as_operator():
        invoice.refresh_from_db()
        assert (invoice.status, BankLine.objects.count(), Payment.objects.count()) == ("paid", 2, 1)
        line = BankLine.objects.get(payment=None)
    assert "Whose is it?" in staff.get(reverse("admin:billing_bankline_changelist")).content.decode()
    assign = reverse("admin:billing_bankline_assign", args=[line.pk])
    assert staff.post(assign, {"tenant": world.tenant.pk}).status_code == 302
    assert staff.get(assign).status_code == 404
    with as_operator():
        assert Payment.objects.count() == 2
    assert "No headings" in staff.post(address, {"content": "nonsense", "currency": "USD"}).content.decode()


def test_they_see_what_stripe_said(staff: Client, world: World) -> None:
    with as_operator():
        payment = payments.ask(tenant=world.tenant, ask=payments.Ask(500, "USD", "card"), now=world.clock)
        ProviderEvent.objects.create(id="evt_1", kind="x.y", raw='{"a": "<b>"}', payment=payment, problem="Not now.")
    assert "Not now." in staff.get(reverse("admin:billing_providerevent_changelist")).content.decode()
    assert "&lt;b&gt;" in staff.get(reverse("admin:billing_providerevent_change", args=["evt_1"])).content.decode()
