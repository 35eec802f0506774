"""Operators release and correct invoices; tenants see it, and dispute."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from billing import closing, invoices
from billing.meters import Usage
from billing.models import ExchangeRate, Invoice, InvoiceEvent, TaxRate
from portal.models import AuditEntry, Membership, User
from portal.tenancy import as_operator
from tests.billing.world import World, as_role, run


@pytest.fixture
def operator(db: None) -> Client:
    with as_operator():
        user = User.objects.create_superuser("op@tollgate.test", "x" * 12)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def world(db: None) -> World:
    return World()


@pytest.fixture
def finance(world: World) -> Client:
    with as_operator():
        user = User.objects.create_user("fin@acme.test", "x" * 12)
        Membership.objects.create(tenant=world.tenant, user=user, role="finance")
    client = Client()
    client.force_login(user)
    return client


def invoiced(world: World) -> Invoice:
    world.use(Usage(input=10**8, output=10**7))
    with as_operator():
        return closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)


def act(operator: Client, invoice: Invoice, **typed: object) -> str:
    answer = operator.post(reverse("admin:billing_invoice_act", args=[invoice.pk]), typed, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_operator_credits_a_part_and_the_tenant_sees_it(world: World, operator: Client, finance: Client) -> None:
    invoice = invoiced(world)
    with as_operator():
        line = invoice.lines.order_by("position")[0]
    page = operator.get(reverse("admin:billing_invoice_act", args=[invoice.pk])).content.decode()
    assert "15.00 USD are left" in page
    assert "15.00 USD are left" in act(
        operator, invoice, act="credit", reason="Half was ours", **{f"line_{line.pk}": "16"}
    )
    act(operator, invoice, act="credit", reason="Half was ours", **{f"line_{line.pk}": "7.50"})
    with as_operator():
        note = Invoice.objects.get(corrects=invoice)
        assert AuditEntry.objects.filter(action="invoice.credit", tenant=world.tenant).count() == 1
    assert (note.total, note.reason) == (750, "Half was ours")
    slug = world.tenant.slug
    shown = finance.get(f"/t/{slug}/invoices/{invoice.pk}/").content.decode()
    assert note.number is not None
    assert note.number in shown
    assert "Half was ours" in shown
    assert "13.50" in shown  # left
    assert "Credit note" in finance.get(f"/t/{slug}/invoices/{note.pk}/").content.decode()
    assert "−" in finance.get(f"/t/{slug}/invoices/").content.decode()


@pytest.mark.parametrize(("name", "status"), [("void", "void"), ("write_off", "uncollectible"), ("credit_all", "void")])
def test_an_operator_ends_an_invoice_with_a_reason(world: World, operator: Client, name: str, status: str) -> None:
    invoice = invoiced(world)
    assert "at least 3" in act(operator, invoice, act=name, reason="x")
    act(operator, invoice, act=name, reason="Never agreed")
    with as_operator():
        invoice.refresh_from_db()
    assert invoice.status == status


def test_an_operator_releases_what_was_put_aside(world: World, operator: Client, finance: Client) -> None:
    world.use(Usage(input=10**8))
    with as_operator():
        draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
        invoices.park(invoice=draft, reason="Far above the average.")
    assert "Far above the average." in finance.get(f"/t/{world.tenant.slug}/invoices/{draft.pk}/").content.decode()
    assert "put aside" in finance.get(f"/t/{world.tenant.slug}/invoices/").content.decode()
    act(operator, draft, act="release", reason="A load test")
    with as_operator():
        draft.refresh_from_db()
        assert draft.number
        assert InvoiceEvent.objects.get(invoice=draft).reason == "A load test"


def test_what_is_past_due_says_so(world: World, finance: Client) -> None:
    pages = [f"/t/{world.tenant.slug}/invoices/", f"/t/{world.tenant.slug}/invoices/{invoiced(world).pk}/"]
    for page in pages:
        assert "overdue" not in finance.get(page).content.decode()
    with as_role("none"):
        run("SET CONSTRAINTS ALL IMMEDIATE")
        run("ALTER TABLE billing_invoice DISABLE TRIGGER USER")
        run("UPDATE billing_invoice SET due_on = current_date - 3")
    for page in pages:
        assert "overdue" in finance.get(page).content.decode()


def test_a_tenant_disputes_and_settles(world: World, finance: Client) -> None:
    invoice = invoiced(world)
    url = f"/t/{world.tenant.slug}/invoices/{invoice.pk}/"
    assert "Say why" in finance.post(f"{url}dispute/", {"reason": ""}, follow=True).content.decode()
    assert "Settle the dispute" in finance.post(f"{url}dispute/", {"reason": "Not ours"}, follow=True).content.decode()
    page = finance.post(f"{url}dispute/", {"reason": "It was", "over": "1"}, follow=True).content.decode()
    assert "Dispute settled: It was" in page
    assert finance.get(reverse("admin:billing_invoice_act", args=[invoice.pk])).status_code in (302, 403, 404)


def test_rates_are_kept_by_operators(operator: Client) -> None:
    tax = {"country": "NO", "category": "S", "rate": "2500", "effective_from": "2005-01-01", "source": "Skatteetaten"}
    operator.post(reverse("admin:billing_taxrate_add"), tax)
    rate = {"currency": "EUR", "day": "2027-03-01", "numerator": "9", "denominator": "10", "source": "hand"}
    operator.post(reverse("admin:billing_exchangerate_add"), rate)
    bad = operator.post(reverse("admin:billing_exchangerate_add"), {**rate, "currency": "XXX"}).content.decode()
    assert "not a currency" in bad
    with as_operator():
        assert TaxRate.objects.filter(country="NO", rate=2500).exists()
        assert ExchangeRate.objects.get().numerator == 9


def test_an_owner_says_whom_invoices_are_made_out_to(world: World, finance: Client) -> None:
    with as_operator():
        Membership.objects.filter(tenant=world.tenant).update(role="owner")
    typed = {"name": "Acme", "timezone": "UTC", "country": "at", "vat_id": "U 13585627", "language": "de"}
    url = f"/t/{world.tenant.slug}/settings/"
    assert "not a VAT id" in finance.post(url, {**typed, "vat_id": "U1"}).content.decode()
    assert finance.post(url, typed).status_code == 302
    with as_operator():
        world.tenant.refresh_from_db()
    assert (world.tenant.country, world.tenant.vat_id, world.tenant.language) == ("AT", "ATU13585627", "de")
