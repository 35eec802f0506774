"""Every page × every role × own, somebody else's and a missing organisation."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import URLPattern

from portal.access import Permission, allowed
from portal.models import Role
from portal.views.urls import urlpatterns
from tests.portal.pages.cast import Cast

#: The permission each page of an organisation asks for, and the methods it takes.
PAGES: dict[str, tuple[Permission, str]] = {
    "overview": (Permission.VIEW, "GET"),
    "keys": (Permission.SEE_KEYS, "GET"),
    "new_key": (Permission.MANAGE_KEYS, "GET"),
    "key": (Permission.SEE_KEYS, "GET"),
    "rotate_key": (Permission.MANAGE_KEYS, "GET"),
    "revoke_key": (Permission.MANAGE_KEYS, "GET"),
    "usage": (Permission.SEE_USAGE, "GET"),
    "calls": (Permission.SEE_USAGE, "GET"),
    "exports": (Permission.SEE_USAGE, "GET"),
    "export_file": (Permission.SEE_USAGE, "GET"),
    "cancel_export": (Permission.SEE_USAGE, "POST"),
    "call": (Permission.SEE_USAGE, "GET"),
    "projects": (Permission.VIEW, "GET"),
    "project": (Permission.VIEW, "GET"),
    "rename_project": (Permission.MANAGE_PROJECTS, "POST"),
    "limits": (Permission.VIEW, "GET"),
    "tenant_limits": (Permission.MANAGE_LIMITS, "GET"),
    "top_up": (Permission.MANAGE_WALLET, "POST"),
    "forget_card": (Permission.MANAGE_WALLET, "POST"),
    "payments": (Permission.SEE_WALLET, "GET"),
    "payment": (Permission.SEE_WALLET, "GET"),
    "cancel_payment": (Permission.MANAGE_WALLET, "POST"),
    "pay_invoice": (Permission.MANAGE_WALLET, "POST"),
    "spend": (Permission.SEE_INVOICES, "GET"),
    "invoices": (Permission.SEE_INVOICES, "GET"),
    "draft_invoice": (Permission.CLOSE_PERIOD, "POST"),
    "invoice": (Permission.SEE_INVOICES, "GET"),
    "finalise_invoice": (Permission.CLOSE_PERIOD, "GET"),
    "dispute_invoice": (Permission.CLOSE_PERIOD, "POST"),
    "discard_invoice": (Permission.CLOSE_PERIOD, "POST"),
    "invoice_document": (Permission.SEE_INVOICES, "GET"),
    "invoice_ubl": (Permission.SEE_INVOICES, "GET"),
    "invoice_csv": (Permission.SEE_INVOICES, "GET"),
    "invoice_parquet": (Permission.SEE_INVOICES, "GET"),
    "members": (Permission.SEE_MEMBERS, "GET"),
    "member": (Permission.MANAGE_MEMBERS, "GET"),
    "remove_member": (Permission.MANAGE_MEMBERS, "GET"),
    "revoke_invitation": (Permission.MANAGE_MEMBERS, "POST"),
    "tokens": (Permission.MANAGE_OWN_TOKENS, "GET"),
    "wallet": (Permission.SEE_WALLET, "GET"),
    "redeem_voucher": (Permission.MANAGE_WALLET, "POST"),
    "set_top_up_rule": (Permission.MANAGE_WALLET, "POST"),
    "set_alerts": (Permission.MANAGE_WALLET, "POST"),
    "revoke_token": (Permission.MANAGE_OWN_TOKENS, "POST"),
    "webhooks": (Permission.MANAGE_WEBHOOKS, "GET"),
    "new_webhook": (Permission.MANAGE_WEBHOOKS, "GET"),
    "webhook": (Permission.MANAGE_WEBHOOKS, "GET"),
    "rotate_webhook": (Permission.MANAGE_WEBHOOKS, "GET"),
    "remove_webhook": (Permission.MANAGE_WEBHOOKS, "GET"),
    "webhook_messages": (Permission.MANAGE_WEBHOOKS, "GET"),
    "webhook_message": (Permission.MANAGE_WEBHOOKS, "GET"),
    "switch_webhook": (Permission.MANAGE_WEBHOOKS, "POST"),
    "test_webhook": (Permission.MANAGE_WEBHOOKS, "POST"),
    "resend_failed": (Permission.MANAGE_WEBHOOKS, "POST"),
    "resend_message": (Permission.MANAGE_WEBHOOKS, "POST"),
    "audit": (Permission.SEE_AUDIT, "GET"),
    "settings": (Permission.MANAGE_TENANT, "GET"),
}
#: Pages of a person, without an organisation.
PERSONAL = {"home", "new_tenant", "invitation", "account_settings"}


def pattern(name: str) -> URLPattern:
    return next(one for one in urlpatterns if one.name == name)


def address(name: str, slug: str, cast: Cast) -> str:
    """The address of a page, with Acme's own key, project and member in it whatever the organisation."""
    values = {
        "slug": slug,
        "public_id": cast.key.key.public_id,
        "project_slug": "default",
        "shown_id": "req_" + "0" * 24,
        "token": "nothing",
    }
    route = str(pattern(name).pattern)
    for part in pattern(name).pattern.converters:
        for kind in ("str", "slug", "int"):
            route = route.replace(f"<{kind}:{part}>", values.get(part, "1"))
    return f"/{route}"


def ask(client: Client, name: str, slug: str, cast: Cast) -> tuple[int, bytes]:
    url = address(name, slug, cast)
    answer = client.post(url) if PAGES[name][1] == "POST" else client.get(url)
    return answer.status_code, answer.content


def test_it_knows_every_address() -> None:
    assert {one.name for one in urlpatterns} == PAGES.keys() | PERSONAL


@pytest.mark.parametrize("role", Role.values)
def test_it_lets_in_exactly_the_roles_of_the_table(cast: Cast, role: str) -> None:
    client = cast.client(role)
    for name, (permission, _method) in PAGES.items():
        status, _content = ask(client, name, cast.acme.slug, cast)
        expected = {200, 302, 404, 422} if allowed(role, permission) else {403}
        assert status in expected, (name, role, status)


@pytest.mark.parametrize("name", PAGES)
def test_it_answers_the_same_404_for_a_stranger_and_for_nothing(cast: Cast, name: str) -> None:
    client = cast.client("stranger")
    theirs = ask(client, name, cast.acme.slug, cast)
    missing = ask(client, name, "no-such-organisation", cast)
    assert theirs == missing
    assert theirs[0] == 404


def test_it_shows_nothing_of_acme_in_the_strangers_own_organisation(cast: Cast) -> None:
    """Acme's ids under the stranger's own address."""
    client = cast.client("stranger")
    request = cast.call()
    for path in (f"keys/{cast.key.key.public_id}/", f"keys/{cast.key.key.public_id}/revoke/", f"calls/{request}/"):
        assert client.get(f"/t/other/{path}").status_code == 404
        assert client.post(f"/t/other/{path}", {"cut_streams": "yes"}).status_code in (404, 405)


@pytest.mark.parametrize("name", PAGES)
def test_it_sends_people_who_are_not_signed_in_to_the_sign_in_page(cast: Cast, name: str) -> None:
    status, _content = ask(Client(), name, cast.acme.slug, cast)
    assert status == 302


def test_it_hides_links_a_role_cannot_follow(cast: Cast) -> None:
    page = cast.client(Role.DEVELOPER).get(cast.url()).content.decode()
    assert cast.url("invoices/") not in page
    assert cast.url("keys/") in page
