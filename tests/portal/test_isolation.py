"""Every address × who asks × whose object: nothing of another tenant, and no sign that it exists.

The table below names every address. A new page fails the first test until it is in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from portal.access import PERMISSIONS, Permission
from portal.models import Role
from tests.portal.cast import Cast, House, signed_in


@dataclass(frozen=True)
class Page:
    """An address of a tenant: who may open it, and which object of the tenant it names."""

    permission: Permission
    names: str = ""
    method: str = "GET"


#: keyword of the address → (attribute of a House, a value that exists nowhere)
OBJECTS: dict[str, tuple[str, Any]] = {
    "public_id": ("key.public_id", "000000000000"),
    "shown_id": ("call_id", "req_" + "0" * 24),
    "call_id": ("call_id", "req_" + "0" * 24),
    "project_slug": ("project.slug", "nowhere"),
    "invoice_id": ("invoice_id", 999_999_999),
    "invitation_id": ("invitation_id", 999_999_999),
    "member_id": ("membership.pk", 999_999_999),
    "token_id": ("token_id", 999_999_999),
    "payment_id": ("payment_id", 999_999_999),
    "export_id": ("export_id", 999_999_999),
    "endpoint_id": ("webhook_id", "ep_0"),
    "delivery_id": ("delivery_id", 999_999_999),
}

PAGES = {
    "overview": Page(Permission.VIEW),
    "keys": Page(Permission.SEE_KEYS),
    "new_key": Page(Permission.MANAGE_KEYS),
    "key": Page(Permission.SEE_KEYS, "public_id"),
    "rotate_key": Page(Permission.MANAGE_KEYS, "public_id"),
    "revoke_key": Page(Permission.MANAGE_KEYS, "public_id"),
    "usage": Page(Permission.SEE_USAGE),
    "calls": Page(Permission.SEE_USAGE),
    "exports": Page(Permission.SEE_USAGE),
    "export_file": Page(Permission.SEE_USAGE, "export_id"),
    "cancel_export": Page(Permission.SEE_USAGE, "export_id", method="POST"),
    "call": Page(Permission.SEE_USAGE, "shown_id"),
    "projects": Page(Permission.VIEW),
    "project": Page(Permission.VIEW, "project_slug"),
    "rename_project": Page(Permission.MANAGE_PROJECTS, "project_slug", method="POST"),
    "limits": Page(Permission.VIEW),
    "tenant_limits": Page(Permission.MANAGE_LIMITS),
    "wallet": Page(Permission.SEE_WALLET),
    "redeem_voucher": Page(Permission.MANAGE_WALLET, method="POST"),
    "set_top_up_rule": Page(Permission.MANAGE_WALLET, method="POST"),
    "set_alerts": Page(Permission.MANAGE_WALLET, method="POST"),
    "top_up": Page(Permission.MANAGE_WALLET, method="POST"),
    "forget_card": Page(Permission.MANAGE_WALLET, method="POST"),
    "payments": Page(Permission.SEE_WALLET),
    "payment": Page(Permission.SEE_WALLET, "payment_id"),
    "cancel_payment": Page(Permission.MANAGE_WALLET, "payment_id", method="POST"),
    "pay_invoice": Page(Permission.MANAGE_WALLET, "invoice_id", method="POST"),
    "spend": Page(Permission.SEE_INVOICES),
    "invoices": Page(Permission.SEE_INVOICES),
    "draft_invoice": Page(Permission.CLOSE_PERIOD, method="POST"),
    "invoice": Page(Permission.SEE_INVOICES, "invoice_id"),
    "finalise_invoice": Page(Permission.CLOSE_PERIOD, "invoice_id"),
    "dispute_invoice": Page(Permission.CLOSE_PERIOD, "invoice_id", method="POST"),
    "discard_invoice": Page(Permission.CLOSE_PERIOD, "invoice_id", method="POST"),
    "invoice_document": Page(Permission.SEE_INVOICES, "invoice_id"),
    "invoice_ubl": Page(Permission.SEE_INVOICES, "invoice_id"),
    "invoice_csv": Page(Permission.SEE_INVOICES, "invoice_id"),
    "invoice_parquet": Page(Permission.SEE_INVOICES, "invoice_id"),
    "members": Page(Permission.SEE_MEMBERS),
    "member": Page(Permission.MANAGE_MEMBERS, "member_id"),
    "remove_member": Page(Permission.MANAGE_MEMBERS, "member_id"),
    "revoke_invitation": Page(Permission.MANAGE_MEMBERS, "invitation_id", method="POST"),
    "webhooks": Page(Permission.MANAGE_WEBHOOKS),
    "new_webhook": Page(Permission.MANAGE_WEBHOOKS),
    "webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id"),
    "rotate_webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id"),
    "remove_webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id"),
    "switch_webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id", method="POST"),
    "test_webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id", method="POST"),
    "resend_failed": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id", method="POST"),
    "webhook_messages": Page(Permission.MANAGE_WEBHOOKS),
    "webhook_message": Page(Permission.MANAGE_WEBHOOKS, "delivery_id"),
    "resend_message": Page(Permission.MANAGE_WEBHOOKS, "delivery_id", method="POST"),
    "audit": Page(Permission.SEE_AUDIT),
    "settings": Page(Permission.MANAGE_TENANT),
    "tokens": Page(Permission.MANAGE_OWN_TOKENS),
    "revoke_token": Page(Permission.MANAGE_OWN_TOKENS, "token_id", method="POST"),
}

ENDPOINTS = {
    "api:keys": Page(Permission.SEE_KEYS),
    "api:key": Page(Permission.SEE_KEYS, "public_id"),
    "api:revoke_key": Page(Permission.MANAGE_KEYS, "public_id", method="POST"),
    "api:rotate_key": Page(Permission.MANAGE_KEYS, "public_id", method="POST"),
    "api:usage": Page(Permission.SEE_USAGE),
    "api:calls": Page(Permission.SEE_USAGE),
    "api:call": Page(Permission.SEE_USAGE, "call_id"),
    "api:spend": Page(Permission.SEE_INVOICES),
    "api:export_calls": Page(Permission.SEE_USAGE),
    "api:export_usage": Page(Permission.SEE_USAGE),
    "api:export_ledger": Page(Permission.SEE_INVOICES),
    "api:export_invoices": Page(Permission.SEE_INVOICES),
    "api:export_documents": Page(Permission.SEE_INVOICES),
    "api:export_focus": Page(Permission.SEE_INVOICES),
    "api:export_focus_hourly": Page(Permission.SEE_INVOICES),
    "api:wallet": Page(Permission.SEE_WALLET),
    "api:wallet_movements": Page(Permission.SEE_WALLET),
    "api:redeem_voucher": Page(Permission.MANAGE_WALLET, method="POST"),
    "api:top_up_rule": Page(Permission.MANAGE_WALLET, method="DELETE"),
    "api:balance_alerts": Page(Permission.MANAGE_WALLET, method="PUT"),
    "api:contract": Page(Permission.SEE_INVOICES),
    "api:payments": Page(Permission.SEE_WALLET),
    "api:start_checkout": Page(Permission.MANAGE_WALLET, method="POST"),
    "api:payment": Page(Permission.SEE_WALLET, "payment_id"),
    "api:invoices": Page(Permission.SEE_INVOICES),
    "api:invoice": Page(Permission.SEE_INVOICES, "invoice_id"),
    "api:invoice_pdf": Page(Permission.SEE_INVOICES, "invoice_id"),
    "api:invoice_ubl": Page(Permission.SEE_INVOICES, "invoice_id"),
    "api:invoice_csv": Page(Permission.SEE_INVOICES, "invoice_id"),
    "api:invoice_parquet": Page(Permission.SEE_INVOICES, "invoice_id"),
    "api:export_jobs": Page(Permission.SEE_USAGE),
    "api:export_job": Page(Permission.SEE_USAGE, "export_id"),
    "api:export_job_file": Page(Permission.SEE_USAGE, "export_id"),
    "api:webhooks": Page(Permission.MANAGE_WEBHOOKS),
    "api:webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id"),
    "api:rotate_webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id", method="POST"),
    "api:test_webhook": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id", method="POST"),
    "api:resend_failed": Page(Permission.MANAGE_WEBHOOKS, "endpoint_id", method="POST"),
    "api:webhook_messages": Page(Permission.MANAGE_WEBHOOKS),
    "api:webhook_message": Page(Permission.MANAGE_WEBHOOKS, "delivery_id"),
    "api:resend_message": Page(Permission.MANAGE_WEBHOOKS, "delivery_id", method="POST"),
}

#: Pages that refuse every POST.
READ_ONLY = {
    "export_file",
    "overview",
    "keys",
    "usage",
    "calls",
    "call",
    "spend",
    "invoices",
    "invoice",
    "invoice_document",
    "invoice_ubl",
    "invoice_csv",
    "invoice_parquet",
    "audit",
    "webhooks",
    "webhook_messages",
    "webhook_message",
    "limits",
    "wallet",
    "payments",
    "payment",
}

#: Addresses that name no tenant: the person's own things, and what everyone may see.
OWN_OR_PUBLIC = {
    "api_reference",
    "guide_start",
    "guide_search",
    "guide",
    "models",
    "model",
    "status",
    "healthz",
    "home",
    "new_tenant",
    "stripe_webhook",
    "invitation",
    "account_settings",
    "api:schema",
    "api:docs",
    "api:missing",
}
PREFIXES_WITHOUT_TENANT = ("account_", "mfa_")

#: What only the person whose it is can open, whatever the role: another member's is missing too.
PERSONAL = {"revoke_token"}


def test_every_address_is_in_the_table() -> None:
    known = OWN_OR_PUBLIC | set(PAGES) | set(ENDPOINTS)
    found = {name for name, _ in _addresses(get_resolver()) if not name.startswith("admin:")}
    unknown = {name for name in found - known if not name.startswith(PREFIXES_WITHOUT_TENANT)}

    assert unknown == set()
    assert set(PAGES) | set(ENDPOINTS) <= found


def test_it_hides_a_tenant_from_strangers(cast: Cast) -> None:
    client = signed_in(cast.charlie)
    wrong = []
    for name, page in PAGES.items():
        for method in ("GET", "POST"):
            other = _ask(client, method, name, cast.acme.tenant.slug, _own(page, cast.acme))
            missing = _ask(client, method, name, "no-such-tenant", _missing(page))
            wanted = 405 if _refused_method(name, page, method) else 404
            if other.status_code != wanted or _told(other) != _told(missing):
                wrong.append((name, method, other.status_code))

    assert wrong == []


def test_it_hides_objects_of_another_tenant_under_ones_own(cast: Cast) -> None:
    client = signed_in(cast.alice)
    slug = cast.acme.tenant.slug
    wrong = []
    for name, page in PAGES.items():
        if page.names:
            other = _ask(client, page.method, name, slug, _own(page, cast.other, unique=True))
            missing = _ask(client, page.method, name, slug, _missing(page))
            if other.status_code != 404 or _told(other) != _told(missing):
                wrong.append((name, other.status_code))

    assert wrong == []


def test_it_sends_the_anonymous_to_sign_in(cast: Cast) -> None:
    client = Client(SERVER_NAME="localhost")
    wrong = []
    for name, page in PAGES.items():
        answer = _ask(client, page.method, name, cast.acme.tenant.slug, _own(page, cast.acme))
        if not answer.headers.get("Location", "").startswith(reverse("account_login")):
            wrong.append((name, answer.status_code))

    assert wrong == []


@pytest.mark.parametrize("role", Role.values)
def test_it_opens_to_the_roles_that_may(cast: Cast, role: str) -> None:
    client = signed_in(cast.people[role])
    wrong = []
    for name, page in PAGES.items():
        answer = _ask(client, page.method, name, cast.acme.tenant.slug, _own(page, cast.acme))
        if answer.status_code not in _wanted(name, page, role):
            wrong.append((name, answer.status_code))

    assert wrong == []


def test_it_hides_a_tenant_from_strangers_in_the_api(cast: Cast) -> None:
    tokens = {"Authorization": f"Bearer {cast.other.token_text}"}
    strangers: tuple[tuple[Client, dict[str, str]], ...] = (
        (signed_in(cast.charlie), {}),
        (Client(SERVER_NAME="localhost"), tokens),
    )
    wrong = []
    for name, page in ENDPOINTS.items():
        for client, headers in strangers:
            other = _ask_api(client, page, name, _own(page, cast.acme), {"tenant": cast.acme.tenant.slug}, headers)
            missing = _ask_api(client, page, name, _missing(page), {"tenant": "no-such-tenant"}, headers)
            if other.status_code != 404 or _told(other) != _told(missing):
                wrong.append((name, other.status_code))

    assert wrong == []


def test_it_hides_objects_of_another_tenant_from_a_token(cast: Cast) -> None:
    headers = {"Authorization": f"Bearer {cast.acme.token_text}"}
    client = Client(SERVER_NAME="localhost")
    wrong = []
    for name, page in ENDPOINTS.items():
        if page.names:
            other = _ask_api(client, page, name, _own(page, cast.other, unique=True), {}, headers)
            missing = _ask_api(client, page, name, _missing(page), {}, headers)
            if other.status_code != 404 or _told(other) != _told(missing):
                wrong.append((name, other.status_code))

    assert wrong == []


def test_it_answers_401_without_a_credential(cast: Cast) -> None:
    client = Client(SERVER_NAME="localhost")
    answers = {
        name: _ask_api(client, page, name, _own(page, cast.acme), {}, {}).status_code
        for name, page in ENDPOINTS.items()
    }

    assert set(answers.values()) == {401}


@pytest.mark.parametrize("role", Role.values)
def test_it_opens_the_api_to_the_roles_that_may(cast: Cast, role: str) -> None:
    client = signed_in(cast.people[role])
    query = {"tenant": cast.acme.tenant.slug}
    wrong = []
    for name, page in ENDPOINTS.items():
        answer = _ask_api(client, page, name, _own(page, cast.acme), query, {})
        taken = (
            (200, 201, 409) if page.method == "GET" else (200, 201, 204, 400)
        )  # an empty body may be refused as such
        if answer.status_code not in (taken if page.permission in PERMISSIONS[role] else (403,)):
            wrong.append((name, answer.status_code))

    assert wrong == []


@pytest.mark.parametrize("who", ["anonymous", *Role.values, "charlie"])
def test_it_keeps_the_admin_to_staff(cast: Cast, who: str) -> None:
    people = {**cast.people, "charlie": cast.charlie}
    client = Client(SERVER_NAME="localhost") if who == "anonymous" else signed_in(people[who])

    opened = []
    for name, pattern in _addresses(get_resolver()):
        if name.startswith("admin:") and name not in ("admin:login", "admin:logout", "admin:jsi18n"):
            answer = client.get(_admin_address(name, pattern, cast.acme.tenant.pk))
            if answer.status_code != 302:
                opened.append((name, answer.status_code))

    assert opened == []


def _addresses(resolver: URLResolver, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every named address, with its namespace; one without a name is told by its pattern."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _addresses(pattern, inner)
        elif pattern.name or not namespace.startswith("admin"):
            yield namespace + (pattern.name or str(pattern.pattern)), pattern


def _admin_address(name: str, pattern: URLPattern, number: int) -> str:
    arguments = {key: str(number) for key in pattern.pattern.converters}
    if name == "admin:app_list":
        arguments = {"app_label": "proxy"}
    elif name == "admin:view_on_site":
        arguments = {"content_type_id": "1", "object_id": "1"}
    return reverse(name, kwargs=arguments)


def _ask(client: Client, method: str, name: str, slug: str, kwargs: dict[str, Any]) -> HttpResponse:
    """Ask for a page; whatever that changed is taken back."""
    return _undone(lambda: client.generic(method, reverse(name, kwargs={"slug": slug, **kwargs})))


def _ask_api(
    client: Client, page: Page, name: str, kwargs: dict[str, Any], query: dict[str, str], headers: dict[str, str]
) -> HttpResponse:
    address = reverse(name, kwargs=kwargs) + ("?" + urlencode(query) if query else "")
    if page.method != "GET":
        json = "application/json"
        return _undone(lambda: client.generic(page.method, address, b"{}", content_type=json, headers=headers))
    return _undone(lambda: client.get(address, headers=headers))


def _undone(ask: Callable[[], Any]) -> HttpResponse:
    with transaction.atomic():
        answer: HttpResponse = ask()
        transaction.set_rollback(True)
    return answer


def _told(answer: HttpResponse) -> tuple[int, bytes]:
    """Everything an answer tells by its status and body."""
    return answer.status_code, answer.content


def _wanted(name: str, page: Page, role: str) -> tuple[int, ...]:
    if page.permission not in PERMISSIONS[role]:
        return (403,)
    if name in PERSONAL and role != Role.OWNER:
        return (404,)
    return (200, 302, 400, 422)


def _own(page: Page, house: House, *, unique: bool = False) -> dict[str, Any]:
    """The keyword of the address with this house's object. Slugs are taken per tenant: ``unique`` gives one made up."""
    if not page.names:
        return {}
    if page.names == "project_slug" and unique:
        return {"project_slug": "only-theirs"}
    value: Any = house
    for part in OBJECTS[page.names][0].split("."):
        value = getattr(value, part)
    return {page.names: value}


def _missing(page: Page) -> dict[str, Any]:
    return {page.names: OBJECTS[page.names][1]} if page.names else {}


def _refused_method(name: str, page: Page, method: str) -> bool:
    """Some pages only read and some only write; they say so before they look at who asks."""
    return page.method == "POST" if method == "GET" else name in READ_ONLY
