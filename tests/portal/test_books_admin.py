"""Operators see whether the books balance, who waits for them, and what providers say."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing import books_history, closing
from billing.meters import Usage
from billing.models import BooksCheck, Invoice, ProviderReport
from portal.models import User
from portal.tenancy import as_operator
from tests.billing.test_reconciliation import Provider
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
    world = World()
    world.use(Usage(input=10**6))
    world.post()
    return world


def books(operator: Client) -> str:
    answer = operator.get(reverse("admin:billing_bookscheck_changelist"))
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_is_green_when_the_books_balance(operator: Client, world: World) -> None:
    assert "not been checked yet" in books(operator)
    with as_operator():
        books_history.run(now=world.clock)
    page = books(operator)
    assert "The books balance" in page
    assert world.tenant.slug in page


def test_it_is_red_and_leads_to_the_calls(operator: Client, world: World) -> None:
    with as_role("none"):
        run("UPDATE billing_usagerollup SET cost = cost - 1 WHERE tenant_id = %s", world.tenant.id)
    with as_operator():
        books_history.run(now=world.clock)
        check = BooksCheck.objects.get()
    page = books(operator)
    assert "do not balance" in page
    assert reverse("admin:portal_tenant_calls", args=[world.tenant.id]) in page
    assert reverse("admin:billing_bookscheck_change", args=[check.pk]) in page
    again = operator.get(reverse("admin:billing_bookscheck_change", args=[check.pk])).content.decode()
    assert "roll-ups = posted calls" in again


def test_it_shows_what_was_put_aside_and_where_to_release_it(operator: Client, world: World) -> None:
    with as_operator():
        invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
        Invoice.objects.filter(pk=invoice.pk).update(parked_reason="far above the average")
    page = books(operator)
    assert "far above the average" in page
    assert reverse("admin:billing_invoice_act", args=[invoice.pk]) in page


def test_a_running_check_shows_how_far_it_is(operator: Client, world: World) -> None:
    with as_operator():
        asked = books_history.ask(now=now())
        BooksCheck.objects.filter(pk=asked.pk).update(progress="3 of 12: transfers sum to zero")
    page = books(operator)
    assert "3 of 12: transfers sum to zero" in page
    assert "disabled" in page


def test_it_takes_a_report_in_and_compares_it(operator: Client) -> None:
    provider = Provider()
    provider.call()
    for requests, said in ((1, "days and models agree"), (2, "days and models differ")):
        file = SimpleUploadedFile("usage.json", provider.file(requests=requests))
        answer = operator.post(
            reverse("admin:billing_providerreport_add"),
            {"upstream": provider.upstream, "tolerance": 0, "file": file}, follow=True,
        )  # fmt: skip
        assert said in answer.content.decode()
    with as_operator():
        report = ProviderReport.objects.latest("id")
    address = reverse("admin:billing_providerreport_change", args=[report.pk])
    calls = operator.get(address, {"day": "2027-03-10", "model": "gpt-5"}).content.decode()
    assert provider.world.tenant.slug in calls
    assert operator.get(address, {"day": "no", "model": "gpt-5"}).status_code == 404
    assert provider.upstream in operator.get(reverse("admin:billing_providerreport_changelist")).content.decode()


def test_it_says_what_is_wrong_with_a_file(operator: Client) -> None:
    file = SimpleUploadedFile("usage.csv", b"a,b\n1,2\n")
    answer = operator.post(
        reverse("admin:billing_providerreport_add"), {"upstream": "openai", "tolerance": 0, "file": file}
    )
    assert "row 2: this is neither" in answer.content.decode()
