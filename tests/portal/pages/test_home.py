"""Landing, making an organisation, one's own account."""

from __future__ import annotations

import pytest
from django.test import Client

from billing.models import Wallet
from portal import tenancy
from portal.models import Membership, Project, Role, Tenant, User
from tests.portal.pages.cast import Cast


@pytest.fixture
def newcomer(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("new@example.com"), "django.contrib.auth.backends.ModelBackend")
    return client


def test_it_leads_a_newcomer_to_the_form_for_an_organisation(newcomer: Client) -> None:
    answer = newcomer.get("/", follow=True)
    assert answer.redirect_chain == [("/new/", 302)]
    assert "Name your organisation" in answer.content.decode()


def test_it_makes_an_organisation_and_its_maker_the_owner(newcomer: Client) -> None:
    answer = newcomer.post("/new/", {"name": "Ünïcode GmbH", "timezone": "Asia/Kolkata"}, follow=True)
    assert answer.redirect_chain[-1][0] == "/t/n-code-gmbh/"
    assert "Make the first key" in answer.content.decode()
    with tenancy.as_operator():
        tenant = Tenant.objects.get(slug="n-code-gmbh")
        assert tenant.timezone == "Asia/Kolkata"
        assert Membership.objects.get(tenant=tenant).role == Role.OWNER
        assert Project.objects.filter(tenant=tenant, slug="default").exists()
        assert Wallet.objects.get(tenant=tenant).credit_limit == 0


def test_it_ignores_fields_nobody_declared(newcomer: Client) -> None:
    extra = {"slug": "admin", "credit_limit": "999", "mode": "postpaid", "is_staff": "on", "balance": "5"}
    newcomer.post("/new/", {"name": "Acme", "timezone": "UTC", **extra})
    with tenancy.as_operator():
        wallet = Wallet.objects.get(tenant__slug="acme")
        assert (wallet.mode, wallet.credit_limit) == ("prepaid", 0)
        assert not User.objects.get(email="new@example.com").is_staff


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"name": " ", "timezone": "UTC"}, "Give your organisation a name"),
        ({"name": "Acme", "timezone": "Mars/Olympus"}, "Select a valid choice"),
        ({"name": "A" * 201, "timezone": "UTC"}, "at most 200"),
        ({"name": "Ac\x00me", "timezone": "UTC"}, "Null characters"),
    ],
)
def test_it_says_what_is_wrong(newcomer: Client, typed: dict[str, str], words: str) -> None:
    answer = newcomer.post("/new/", typed)
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_it_opens_the_organisation_opened_last(cast: Cast) -> None:
    client = cast.client()
    client.post("/new/", {"name": "Second", "timezone": "UTC"})
    client.get("/t/second/")
    assert client.get("/").headers["Location"] == "/t/second/"
    client.get("/t/acme/")
    assert client.get("/").headers["Location"] == "/t/acme/"


def test_it_offers_every_organisation_of_a_person_and_no_other(cast: Cast) -> None:
    cast.client().post("/new/", {"name": "Second", "timezone": "UTC"})
    page = cast.client().get(cast.url()).content.decode()
    assert "/t/second/" in page
    assert "/t/other/" not in page


def test_it_changes_ones_own_name_and_nothing_else(cast: Cast) -> None:
    cast.client().post("/account/", {"name": "Alice", "email": "evil@example.com", "is_superuser": "1"})
    alice = User.objects.get(pk=cast.people[Role.OWNER].pk)
    assert (alice.name, alice.email, alice.is_superuser) == ("Alice", "owner@acme.example", False)
    assert "Acme" in cast.client().get("/account/").content.decode()
