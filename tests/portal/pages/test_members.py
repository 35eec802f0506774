"""Members: inviting, joining, roles, removing."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.test import Client

from portal import tenancy
from portal.models import Invitation, Membership, Role, User
from tests.portal.pages.cast import Cast


def membership(cast: Cast, role: str) -> int:
    with tenancy.as_operator():
        return Membership.objects.get(tenant=cast.acme, user=cast.people[role]).pk


def role_of(cast: Cast, who: str) -> str | None:
    with tenancy.as_operator():
        found = Membership.objects.filter(tenant=cast.acme, user=cast.people[who]).first()
    return found.role if found else None


def invite(cast: Cast, email: str, role: str = Role.DEVELOPER) -> str:
    """The link of the answer."""
    page = cast.client().post(cast.url("members/"), {"email": email, "role": role}).content.decode()
    found = re.search(r"http://testserver(/invitations/[\w-]+/)", page)
    assert found
    return found[1]


def test_it_mails_the_link_it_shows(cast: Cast, django_capture_on_commit_callbacks) -> None:  # type: ignore[no-untyped-def]
    with django_capture_on_commit_callbacks(execute=True):
        link = invite(cast, "New@Example.com")
    assert link in mail.outbox[0].body
    assert mail.outbox[0].to == ["new@example.com"]
    assert link not in cast.client().get(cast.url("members/")).content.decode()


def test_it_lets_the_invited_person_join(cast: Cast) -> None:
    link = invite(cast, "charlie@other.example", Role.FINANCE)
    charlie = cast.client("stranger")
    assert "Join" in charlie.get(link).content.decode()
    assert charlie.post(link).headers["Location"] == cast.url()
    assert role_of(cast, "stranger") == Role.FINANCE
    assert charlie.get(cast.url("invoices/")).status_code == 200


def test_it_keeps_the_link_while_somebody_signs_in(cast: Cast) -> None:
    link = invite(cast, "charlie@other.example")
    answer = Client().get(link)
    assert answer.headers["Location"] == f"/accounts/login/?next={link}"


@pytest.mark.parametrize("who", [Role.DEVELOPER, "stranger"])
def test_it_refuses_a_link_meant_for_somebody_else(cast: Cast, who: str) -> None:
    link = invite(cast, "ana@example.com")
    answer = cast.client(who).post(link)
    assert answer.status_code == 422
    assert "not for you" in answer.content.decode()


def test_it_takes_an_invitation_back(cast: Cast) -> None:
    link = invite(cast, "charlie@other.example")
    with tenancy.as_operator():
        offer = Invitation.objects.get(email="charlie@other.example")
    cast.client().post(cast.url(f"invitations/{offer.pk}/revoke/"))
    assert cast.client("stranger").post(link).status_code == 422
    assert role_of(cast, "stranger") is None


def test_it_says_what_is_wrong_with_an_invitation(cast: Cast) -> None:
    client, url = cast.client(), cast.url("members/")
    assert "not an email" in client.post(url, {"email": "ana", "role": "developer"}).content.decode()
    assert "member already" in client.post(url, {"email": "admin@acme.example", "role": "admin"}).content.decode()


def test_it_does_not_let_an_admin_make_owners(cast: Cast) -> None:
    admin = cast.client(Role.ADMIN)
    assert admin.post(cast.url("members/"), {"email": "a@b.example", "role": "owner"}).status_code == 422
    url = cast.url(f"members/{membership(cast, Role.DEVELOPER)}/")
    assert admin.post(url, {"role": "owner"}).status_code == 422
    assert role_of(cast, Role.DEVELOPER) == Role.DEVELOPER


def test_it_changes_a_role(cast: Cast) -> None:
    cast.client().post(cast.url(f"members/{membership(cast, Role.DEVELOPER)}/"), {"role": "finance"})
    assert role_of(cast, Role.DEVELOPER) == Role.FINANCE


def test_it_removes_a_member_after_asking(cast: Cast) -> None:
    url = cast.url(f"members/{membership(cast, Role.FINANCE)}/remove/")
    assert "Remove finance@acme.example?" in cast.client().get(url).content.decode()
    assert role_of(cast, Role.FINANCE) == Role.FINANCE
    cast.client().post(url)
    assert role_of(cast, Role.FINANCE) is None
    assert cast.client(Role.FINANCE).get(cast.url()).status_code == 404


def test_it_keeps_the_last_owner(cast: Cast) -> None:
    answer = cast.client().post(cast.url(f"members/{membership(cast, Role.OWNER)}/remove/"))
    assert answer.status_code == 422
    assert "needs an owner" in answer.content.decode()


def test_it_does_not_reach_members_of_others(cast: Cast) -> None:
    with tenancy.as_operator():
        theirs = Membership.objects.get(tenant=cast.other).pk
    assert cast.client().post(cast.url(f"members/{theirs}/remove/")).status_code == 404
    with tenancy.as_operator():
        assert Membership.objects.filter(pk=theirs).exists()


def test_it_lets_everybody_see_members_but_change_none(cast: Cast) -> None:
    page = cast.client(Role.DEVELOPER).get(cast.url("members/")).content.decode()
    assert "admin@acme.example" in page
    assert "Invite somebody" not in page
    answer = cast.client(Role.DEVELOPER).post(cast.url("members/"), {"email": "a@b.example", "role": "developer"})
    assert answer.status_code == 403
    assert not User.objects.filter(email="a@b.example").exists()
