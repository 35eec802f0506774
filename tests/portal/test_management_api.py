"""The management API: keys, usage, invoices, tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from portal import api_tokens, tenancy
from portal.models import ApiKey, ApiToken, Role, User
from portal.tenancy import as_operator, as_tenant
from tests.portal.cast import Cast, signed_in

API = "/manage/api/v1/"


class Caller:
    """Calls the API with a token."""

    def __init__(self, token: str) -> None:
        self.client = Client(SERVER_NAME="localhost")
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        return self.client.get(API + path, headers=self.headers)

    def post(self, path: str, body: object) -> Any:
        return self.client.post(API + path, body, content_type="application/json", headers=self.headers)


@pytest.fixture
def caller(cast: Cast) -> Caller:
    return Caller(cast.acme.token_text)


def test_it_makes_a_key_and_shows_it_once(cast: Cast, caller: Caller) -> None:
    wanted = {"name": "API", "models": ["a"], "requests_per_minute": 5, "budget": "2.50", "window": "day"}
    made = caller.post("keys", wanted)
    shown = caller.get(f"keys/{made.json()['id']}")

    assert made.status_code == 201
    assert made.json()["key"].startswith(f"sk-tg-{made.json()['id']}")
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json()["key"].encode() not in shown.content
    assert shown.json()["requests_per_minute"] == 5
    assert shown.json()["budgets"][0]["limit"] == "2.50"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "tenant_id": 1},
        {"name": "x", "role": "owner"},
        {"name": "x", "digest": "00"},
        {"name": "\0"},
        {"budget": 5.0},
        {"budget": "-1"},
        {"budget": "1e3"},
        {"requests_per_minute": 0},
        {"requests_per_minute": 2**64},
        {"models": []},
        {"models": "a"},
        {"window": "year"},
        {"project": "no-such"},
        {"expires_at": "yesterday"},
        {"expires_at": "9999-12-31T23:59:59Z"},
        {"\ud800": 1},
        [],
        "text",
    ],
)
def test_it_refuses_keys_that_cannot_be(cast: Cast, caller: Caller, body: object) -> None:
    answer = caller.post("keys", body)

    assert answer.status_code == 400
    with as_operator():
        assert ApiKey.objects.filter(tenant=cast.acme.tenant).count() == 3


@pytest.mark.parametrize("body", ["[" * 100_000, "NaN", '{"name": NaN}', "{", "\ud800"])
def test_it_refuses_what_is_no_json(caller: Caller, body: str) -> None:
    answer = caller.client.post(
        API + "keys", body.encode("utf-8", "surrogatepass"), content_type="application/json", headers=caller.headers
    )

    assert answer.status_code == 400


def test_it_rotates_and_revokes(cast: Cast, caller: Caller) -> None:
    public_id = cast.acme.key.public_id
    rotated = caller.post(f"keys/{public_id}/rotate", {"overlap_hours": 2})
    revoked = caller.post(f"keys/{public_id}/revoke", {"cut_streams": True})

    assert rotated.status_code == 201
    assert revoked.json()["revoked_at"] is not None
    assert caller.post(f"keys/{public_id}/rotate", {}).status_code == 400


def test_it_pages_through_keys(cast: Cast, caller: Caller) -> None:
    first = caller.get("keys?limit=2").json()
    second = caller.get(f"keys?limit=2&before={first['next']}").json()

    assert len(first["results"]) == 2
    assert len(second["results"]) == 1
    assert second["next"] is None


@pytest.mark.parametrize("by", ["day", "model", "key", "project"])
def test_it_sums_usage(cast: Cast, caller: Caller, by: str) -> None:
    query = "start=2027-03-01T00:00:00Z&end=2027-04-01T00:00:00Z"
    usage = caller.get(f"usage?by={by}&{query}").json()

    assert usage["total"]["requests"] == 1
    assert usage["total"]["cost"] == "0.00021"
    assert [row["cost"] for row in usage["results"]] == ["0.00021"]
    wanted = {"day": "2027-03-10", "model": cast.acme.world.model, "project": "default"}
    assert usage["results"][0]["group"] == wanted.get(by, cast.acme.world.keys[0].public_id)


def test_it_lists_calls_and_shows_one(cast: Cast, caller: Caller) -> None:
    listed = caller.get("usage/calls").json()
    one = caller.get(f"usage/calls/{cast.acme.call_id}").json()

    assert [row["id"] for row in listed["results"]] == [cast.acme.call_id]
    assert one["tokens"] == {"input": 1000, "output": 100}
    assert [line["amount"] for line in one["lines"]] == ["0.00015", "0.00006"]


@pytest.mark.parametrize(
    "query",
    [
        "usage?start=2016-01-01T00:00:00Z&end=2026-01-01T00:00:00Z",
        "usage?start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z",
        "usage?start=9999-12-31T00:00:00Z&end=9999-12-31T23:59:59Z",
        "usage?start=0001-01-01T00:00:00Z&end=0001-01-02T00:00:00Z",
        "usage/calls?start=9999-12-31T23:59:59Z",
        "usage/calls?end=0001-01-01T00:00:00Z",
        "usage?by=everything",
        "usage/calls?limit=-1",
        "usage/calls?limit=1000000000",
        "usage/calls?before=xyz",
        "usage/calls?page=1000000000",
        "keys?before=000000000000%00",
        "invoices?before=0",
        "invoices?before=99999999999999999999",
    ],
)
def test_it_bounds_what_can_be_asked(caller: Caller, query: str) -> None:
    assert caller.get(query).status_code == 400


@pytest.mark.parametrize("path", ["keys/%00", "keys/%F0%9F%92%A9", "usage/calls/%00"])
def test_a_name_that_none_can_have_is_missing(caller: Caller, path: str) -> None:
    assert caller.get(path).status_code == 404


def test_it_shows_invoices(cast: Cast, caller: Caller) -> None:
    listed = caller.get("invoices").json()["results"]
    one = caller.get(f"invoices/{cast.acme.invoice_id}").json()
    document = caller.get(f"invoices/{cast.acme.invoice_id}/pdf")

    assert [row["id"] for row in listed] == [cast.acme.invoice_id]
    assert {line["unit_price"] for line in one["lines"]} == {"0.15", "0.60"}
    assert document.content.startswith(b"%PDF")


def test_a_token_has_the_role_its_member_has_now(cast: Cast) -> None:
    with as_operator():
        developer = cast.people[Role.DEVELOPER]
        member = developer.memberships.get(tenant=cast.acme.tenant)
        issued = api_tokens.make_token(membership=member, name="dev", expires_at=None, now=now())
    caller = Caller(issued.text)
    assert caller.get("invoices").status_code == 403
    with as_operator():
        tenancy.change_role(membership=member, role=Role.FINANCE, actor=None, now=now())
    assert caller.get("invoices").status_code == 200
    assert caller.get("keys").status_code == 403


def test_only_a_digest_of_a_token_is_kept(cast: Cast) -> None:
    with as_operator():
        row = ApiToken.objects.values().get(pk=cast.acme.token_id)

    assert all(cast.acme.token_text[4:] not in str(value) for value in row.values())


def test_a_token_ends(cast: Cast) -> None:
    caller = Caller(cast.acme.token_text)
    assert caller.get("keys").status_code == 200
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)
    assert caller.get("keys").status_code == 401
    User.objects.filter(pk=cast.alice.pk).update(is_active=True)
    assert api_tokens.find(cast.acme.token_text, now=now() + timedelta(days=2)) is None
    with as_tenant(cast.acme.tenant.pk):
        token = ApiToken.objects.get(pk=cast.acme.token_id)
        api_tokens.revoke_token(token=token, actor=cast.alice, now=now())
    assert caller.get("keys").status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer x", "Token abc", "Basic YTpi", "Bearer tgm_" + "0" * 40]
)
def test_every_bad_credential_gets_the_same_answer(cast: Cast, header: str) -> None:
    answer = Client(SERVER_NAME="localhost").get(API + "keys", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.content == b'{"detail":"This API token is not valid."}'


def test_an_api_key_is_no_api_token(cast: Cast) -> None:
    assert Caller(cast.acme.key_text).get("keys").status_code == 401


def test_a_session_needs_the_csrf_token_to_write(cast: Cast) -> None:
    client = signed_in(cast.alice, enforce_csrf_checks=True)

    assert client.post(API + "keys", {}, content_type="application/json").status_code == 403


def test_the_schema_names_every_endpoint(caller: Caller) -> None:
    text = caller.get("schema").content.decode()

    for operation in ("list_keys", "make_key", "rotate_key", "revoke_key", "get_usage", "get_call", "get_invoice_pdf"):
        assert f"operationId: {operation}" in text
    docs = caller.get("docs").content.decode()
    assert "drf_spectacular_sidecar" in docs
    assert "https://" not in docs
