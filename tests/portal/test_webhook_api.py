"""Webhooks through the management API: the same as on the pages, for scripts."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks.courier import Courier
from portal.models import AuditEntry
from portal.tenancy import as_operator
from tests.billing.receiver import Receiver
from tests.portal.cast import Cast

API = "/manage/api/v1/webhooks"


class Caller:
    """Calls the API with a token."""

    def __init__(self, token: str) -> None:
        self.client = Client(SERVER_NAME="localhost")
        self.headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str = "", body: object = None) -> Any:
        content = {} if method == "GET" else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method.lower())(API + path, headers=self.headers, **content)


@pytest.fixture
def call(cast: Cast) -> Caller:
    return Caller(cast.acme.token_text)


def test_it_adds_an_endpoint_that_gets_what_it_asked_for(cast: Cast, call: Caller, receiver: Receiver) -> None:
    made = call("POST", "", {"url": f"{receiver.url}/fail/1", "kinds": ["invoice.paid"], "name": "ERP"})
    assert made.status_code == 201
    ident, secret = made.json()["id"], made.json()["secret"]
    assert secret not in call("GET").content.decode()
    assert [row["id"] for row in call("GET").json()["results"]] == [cast.acme.webhook_id, ident]
    test = call("POST", f"/{ident}/test", {})
    assert (test.status_code, test.json()["status"], test.json()["tries"]) == (201, "waiting", 0)
    with as_operator():
        WebhookDelivery.objects.filter(endpoint=cast.acme.webhook_id).delete()
        Courier(now).run()
    message = call("GET", f"/messages/{test.json()['id']}").json()
    assert [(each["status_code"], each["error"]) for each in message["attempts"]] == [(500, "It answered with 500.")]
    assert call("POST", f"/messages/{test.json()['id']}/resend", {}).status_code == 201
    with as_operator():
        Courier(now).run()
    assert {got.id for got in receiver.got} == {message["message_id"]}
    assert {got.body.decode() for got in receiver.got} == {message["body"]}
    assert receiver.got[1].verified(secret)["type"] == "test"


def test_it_lists_messages_page_by_page(cast: Cast, call: Caller) -> None:
    for _ in range(2):
        call("POST", f"/{cast.acme.webhook_id}/test", {})
    first = call("GET", "/messages?limit=2").json()
    second = call("GET", f"/messages?limit=2&before={first['next']}").json()
    assert [len(first["results"]), len(second["results"]), second["next"]] == [2, 1, None]
    assert call("GET", "/messages?status=failed").json()["results"] == []
    assert call("GET", "/messages?status=lost").status_code == 400
    assert call("GET", "/messages?limit=0").status_code == 400


def test_it_changes_switches_rotates_and_removes(cast: Cast, call: Caller) -> None:
    path = f"/{cast.acme.webhook_id}"
    wish = {"url": "https://elsewhere.invalid/", "kinds": ["key.expired", "key.expiring"], "name": ""}
    assert call("PUT", path, wish).json()["url"] == wish["url"]
    assert call("PATCH", path, {"is_active": False}).json()["disabled_reason"] == "Switched off by hand."
    assert call("POST", path + "/test", {}).json() == {"detail": ["Enable the endpoint first."]}
    assert call("POST", path + "/resend", {}).status_code == 400
    assert call("PATCH", path, {"is_active": True}).json()["is_active"] is True
    assert call("POST", path + "/resend", {"hours": 1}).json() == {"messages": 1}
    rotated = call("POST", path + "/secret", {"overlap_hours": 1}).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["old_secret_until_at"] is not None
    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 404
    with as_operator():
        rows = AuditEntry.objects.filter(tenant=cast.acme.tenant, action__startswith="webhook.").order_by("pk")
        assert [row.action.removeprefix("webhook.") for row in rows] == [
            "change", "disable", "enable", "resend_failed", "rotate_secret", "remove",
        ]  # fmt: skip
        assert rotated["secret"] not in str([row.detail for row in rows])


@pytest.mark.parametrize(
    "body",
    [
        {}, [], {"url": "https://hooks.invalid/"}, {"url": "https://hooks.invalid/", "kinds": []},
        {"url": "https://hooks.invalid/", "kinds": ["test"]}, {"url": "https://hooks.invalid/", "kinds": ["nothing"]},
        {"url": "http://hooks.invalid/", "kinds": ["invoice.paid"]},
        {"url": "https://169.254.169.254/", "kinds": ["invoice.paid"]},
        {"url": "https://hooks.invalid/\0", "kinds": ["invoice.paid"]},
        {"url": "https://hooks.invalid/", "kinds": ["invoice.paid"], "tenant_id": 1},
        {"url": "https://hooks.invalid/", "kinds": ["invoice.paid"], "secret": "whsec_mine"},
        {"url": "https://hooks.invalid/", "kinds": ["invoice.paid"], "name": "x\ny"},
    ],
)  # fmt: skip
def test_it_refuses_endpoints_that_cannot_be(cast: Cast, call: Caller, body: object) -> None:
    assert call("POST", "", body).status_code == 400
    with as_operator():
        assert WebhookEndpoint.objects.filter(tenant=cast.acme.tenant).count() == 1


def test_it_has_a_most(cast: Cast, call: Caller) -> None:
    wish = {"url": "https://hooks.invalid/", "kinds": ["invoice.paid"]}
    codes = [call("POST", "", wish).status_code for _ in range(20)]
    assert codes == [201] * 19 + [400]
