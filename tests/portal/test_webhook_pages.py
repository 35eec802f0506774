"""The webhook pages: endpoints, their secret shown once, tests, the log, and sending again."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks.courier import Courier
from portal.models import AuditEntry, Role
from portal.tenancy import as_operator
from tests.billing.receiver import Receiver
from tests.portal.cast import Cast, signed_in

FORM = {"url": "https://hooks.invalid/in", "name": "ERP", "kinds": ["invoice.paid", "key.expired"]}


@pytest.fixture
def alice(cast: Cast) -> Client:
    return signed_in(cast.alice)


def address(cast: Cast, rest: str = "") -> str:
    return f"/t/{cast.acme.tenant.slug}/webhooks/{rest}"


def text(answer: Any) -> str:
    return str(answer.content.decode())


def endpoint(cast: Cast, **changes: Any) -> WebhookEndpoint:
    with as_operator():
        rows = WebhookEndpoint.objects.filter(pk=cast.acme.webhook_id)
        if changes:
            rows.update(**changes)
        return rows.get()


def actions(cast: Cast) -> list[str]:
    with as_operator():
        rows = AuditEntry.objects.filter(tenant=cast.acme.tenant, action__startswith="webhook.")
        return list(rows.order_by("pk").values_list("action", flat=True))


def secret_in(answer: Any) -> str:
    return text(answer).partition('aria-label="Signing secret">')[2].partition("<")[0]


def test_it_adds_an_endpoint_and_shows_its_secret_once(cast: Cast, alice: Client) -> None:
    answer = alice.post(address(cast, "new/"), FORM)
    secret = secret_in(answer)
    assert answer.status_code == 200
    assert secret.startswith("whsec_")
    assert answer["Cache-Control"] == "no-store"
    with as_operator():
        made = WebhookEndpoint.objects.get(tenant=cast.acme.tenant, name="ERP")
    assert made.kinds == FORM["kinds"]
    for page in ("", f"{made.pk}/", "messages/"):
        assert secret not in text(alice.get(address(cast, page)))
    with as_operator():
        entry = AuditEntry.objects.get(action="webhook.add")
    assert secret not in str(entry.detail)
    assert entry.actor == cast.alice


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "https://10.0.0.1/"}, "not on the public internet"),
        ({"url": "http://hooks.invalid/"}, "starts with https://"),
        ({"kinds": []}, "Choose one or more."),
        ({"kinds": ["test"]}, "Select a valid choice"),
    ],
)
def test_it_says_what_is_wrong(cast: Cast, alice: Client, wrong: dict[str, Any], said: str) -> None:
    answer = alice.post(address(cast, "new/"), {**FORM, **wrong})
    assert answer.status_code == 422
    assert said in text(answer)


def test_it_changes_an_endpoint(cast: Cast, alice: Client) -> None:
    answer = alice.post(address(cast, f"{cast.acme.webhook_id}/"), {**FORM, "tenant": "x", "is_active": "0"})
    assert answer.status_code == 302
    changed = endpoint(cast)
    assert (changed.url, changed.name, changed.kinds, changed.is_active) == (*FORM.values(), True)
    assert actions(cast) == ["webhook.change"]


def test_it_rotates_the_secret_with_an_overlap(cast: Cast, alice: Client) -> None:
    before = bytes(endpoint(cast).sealed_secret)
    answer = alice.post(address(cast, f"{cast.acme.webhook_id}/rotate/"), {"overlap": "24"})
    assert secret_in(answer).startswith("whsec_")
    after = endpoint(cast)
    assert bytes(after.sealed_previous or b"") == before
    assert "old secret, too, until" in text(alice.get(address(cast, f"{cast.acme.webhook_id}/")))


def test_it_switches_off_and_on_and_sends_again_what_was_missed(cast: Cast, alice: Client) -> None:
    base = f"{cast.acme.webhook_id}/"
    alice.post(address(cast, base + "switch/"), {"on": "0"})
    page = text(alice.get(address(cast, base)))
    assert "Switched off by hand." in page
    assert "Send a test" not in page
    refused = alice.post(address(cast, base + "test/"), follow=True)
    assert "Enable the endpoint first." in text(refused)
    alice.post(address(cast, base + "switch/"), {"on": "1"})
    again = alice.post(address(cast, base + "resend/"), {"since": "24"}, follow=True)
    assert "1 message will be sent again." in text(again)
    assert actions(cast) == ["webhook.disable", "webhook.enable", "webhook.resend_failed"]


def test_it_removes_an_endpoint_and_keeps_its_log(cast: Cast, alice: Client) -> None:
    asked = alice.get(address(cast, f"{cast.acme.webhook_id}/remove/"))
    assert "Remove this endpoint?" in text(asked)
    alice.post(address(cast, f"{cast.acme.webhook_id}/remove/"))
    assert alice.get(address(cast, f"{cast.acme.webhook_id}/")).status_code == 404
    log = text(alice.get(address(cast, f"messages/{cast.acme.delivery_id}/")))
    assert "The endpoint was removed." in log


def test_a_test_is_sent_and_its_tries_are_shown_and_it_is_sent_again(
    cast: Cast, alice: Client, receiver: Receiver
) -> None:
    endpoint(cast, url=f"{receiver.url}/fail/1")
    page = address(cast, f"messages/{cast.acme.delivery_id}/")
    assert "No try yet" in text(alice.get(page))
    with as_operator():
        Courier(now).run()
    shown = text(alice.get(page))
    assert "It answered with 500." in shown
    assert "&quot;type&quot;: &quot;test&quot;" in shown
    alice.post(page + "resend/")
    with as_operator():
        Courier(now).run()
    assert "delivered" in text(alice.get(page))
    assert [got.id for got in receiver.got] == [receiver.got[0].id] * 2
    assert actions(cast) == ["webhook.resend"]


def test_the_log_is_filtered_and_paged(cast: Cast, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        alice.post(address(cast, f"{cast.acme.webhook_id}/test/"))
    with as_operator():
        row = WebhookDelivery.objects.filter(endpoint=cast.acme.webhook_id).latest("pk")
        WebhookDelivery.objects.filter(pk=row.pk).update(status="failed", finished_at=now(), reason="So it is.")

    def rows(query: str) -> int:
        return text(alice.get(address(cast, f"messages/?{query}"))).count('<th scope="row">')

    assert [rows(""), rows("status=failed"), rows("status=waiting"), rows("status=delivered")] == [4, 1, 3, 0]
    assert rows(f"endpoint={cast.acme.webhook_id}") == 4
    assert rows(f"endpoint={cast.other.webhook_id}") == 4, "a filter that is none of ours is no filter"
    assert rows(f"before={row.pk}") == 3
    monkeypatch.setattr("portal.views.webhook_log.PAGE", 2)
    assert "Older" in text(alice.get(address(cast, "messages/")))


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.FINANCE])
def test_others_see_no_link_to_them(cast: Cast, role: str) -> None:
    assert "Webhooks" not in text(signed_in(cast.people[role]).get(f"/t/{cast.acme.tenant.slug}/"))


def test_markup_in_what_an_endpoint_answers_is_inert(cast: Cast, alice: Client) -> None:
    from billing.models import WebhookAttempt

    with as_operator():
        WebhookAttempt.objects.create(
            tenant=cast.acme.tenant, delivery_id=cast.acme.delivery_id, number=1, at=now(), duration_ms=3,
            status_code=500, error="<b>", response="<script>alert(1)</script>",
        )  # fmt: skip
    shown = text(alice.get(address(cast, f"messages/{cast.acme.delivery_id}/")))
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown
