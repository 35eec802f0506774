"""Making, showing, rotating and revoking keys by the pages."""

from __future__ import annotations

import re

import pytest

from billing.models import Budget
from portal import key_format, tenancy
from portal.models import ApiKey, Quota, Role
from tests.portal.pages.cast import DOLLAR, MODEL, Cast

FORM = {"name": "Nightly", "project": "default", "window": "month"}


def shown_key(page: str) -> str:
    found = re.search(r"sk-tg-[0-9A-Za-z]{50}", page)
    assert found
    return found[0]


def test_it_shows_a_new_key_once_with_snippets(cast: Cast) -> None:
    answer = cast.client().post(cast.url("keys/new/"), FORM)
    page = answer.content.decode()
    text = shown_key(page)
    assert key_format.well_formed(text.encode())
    assert answer["Cache-Control"] == "no-store"
    assert "http://testserver/v1" in page
    assert page.count(text) == 4, "the key itself and three snippets"
    again = cast.client().get(cast.url("keys/")).content.decode()
    assert text not in again
    assert "Nightly" in again


def test_it_sets_the_limits_that_were_typed(cast: Cast) -> None:
    typed = {
        **FORM,
        "budget": "$1,500.25",
        "window": "day",
        "requests_per_minute": "60",
        "tokens_per_minute": "1000",
        "concurrency": "3",
        "models": [MODEL],
        "expires_on": "2199-12-31",
    }
    assert cast.client().post(cast.url("keys/new/"), typed).status_code == 200
    with tenancy.as_operator():
        key = ApiKey.objects.get(name="Nightly")
        quota = Quota.objects.get(api_key=key)
        budget = Budget.objects.get(scope="api_key", scope_id=key.pk)
    assert key.allowed_models == [MODEL]
    assert key.expires_at is not None
    assert key.expires_at.isoformat() == "2199-12-31T23:00:00+00:00", "midnight in Paris"
    assert (quota.requests_per_minute, quota.tokens_per_minute, quota.concurrency) == (60, 1000, 3)
    assert (budget.window, budget.limit) == ("day", 1500 * DOLLAR + DOLLAR // 4)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "Give the key a name"),
        ("budget", "5,00", "such as 5.00"),
        ("budget", "-1", "such as 5.00"),
        ("budget", "1e9", "such as 5.00"),
        ("requests_per_minute", "0", "Enter 1 or more"),
        ("requests_per_minute", "many", "Enter a whole number"),
        ("tokens_per_minute", "99999999999", "Enter at most"),
        ("expires_on", "2001-01-01", "Choose today or a later day"),
        ("expires_on", "soon", "Enter a date"),
        ("models", "no-such-model", "not one of the available"),
        ("project", "not-mine", "Select a valid choice"),
    ],
)
def test_it_says_what_is_wrong_and_keeps_what_was_typed(cast: Cast, field: str, value: str, words: str) -> None:
    answer = cast.client().post(cast.url("keys/new/"), {**FORM, "concurrency": "17", field: value})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert 'value="17"' in page
    with tenancy.as_operator():
        assert ApiKey.objects.filter(tenant=cast.acme).count() == 1


def test_it_ignores_fields_nobody_declared(cast: Cast) -> None:
    extra = {"tenant_id": cast.other.pk, "tenant": "other", "public_id": "A" * 12, "is_staff": "on", "role": "owner"}
    cast.client(Role.DEVELOPER).post(cast.url("keys/new/"), {**FORM, **extra})
    with tenancy.as_operator():
        key = ApiKey.objects.get(name="Nightly")
        assert not ApiKey.objects.filter(tenant=cast.other).exists()
    assert key.tenant_id == cast.acme.pk
    assert key.public_id != "A" * 12


def test_it_shows_markup_in_names_as_text(cast: Cast) -> None:
    cast.client().post(cast.url("keys/new/"), {**FORM, "name": "<script>alert(1)</script>"})
    page = cast.client().get(cast.url("keys/")).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_it_asks_before_it_revokes(cast: Cast) -> None:
    url = cast.url(f"keys/{cast.key.key.public_id}/revoke/")
    assert "refused within a second" in cast.client().get(url).content.decode()
    with tenancy.as_operator():
        assert ApiKey.objects.get(pk=cast.key.key.pk).revoked_at is None


@pytest.mark.parametrize(("choice", "cut"), [("no", False), ("yes", True)])
def test_it_revokes_and_cuts_streams_if_asked(cast: Cast, choice: str, cut: bool) -> None:
    url = cast.url(f"keys/{cast.key.key.public_id}/revoke/")
    answer = cast.client().post(url, {"cut_streams": choice}, follow=True)
    assert "is revoked" in answer.content.decode()
    with tenancy.as_operator():
        key = ApiKey.objects.get(pk=cast.key.key.pk)
    assert key.revoked_at is not None
    assert key.cut_streams is cut


def test_it_rotates_with_an_overlap(cast: Cast) -> None:
    url = cast.url(f"keys/{cast.key.key.public_id}/rotate/")
    page = cast.client().post(url, {"overlap": "24"}).content.decode()
    assert shown_key(page) != cast.key.text
    with tenancy.as_operator():
        old = ApiKey.objects.get(pk=cast.key.key.pk)
        assert ApiKey.objects.filter(replaces=old).count() == 1
    assert old.expires_at is not None
    assert old.revoked_at is None


def test_it_says_why_a_revoked_key_cannot_be_rotated(cast: Cast) -> None:
    cast.client().post(cast.url(f"keys/{cast.key.key.public_id}/revoke/"), {"cut_streams": "no"})
    answer = cast.client().post(cast.url(f"keys/{cast.key.key.public_id}/rotate/"), {"overlap": "24"})
    assert answer.status_code == 422
    assert "make a new one" in answer.content.decode()


def test_it_changes_a_keys_limits_and_audits_it(cast: Cast) -> None:
    url = cast.url(f"keys/{cast.key.key.public_id}/")
    assert cast.client(Role.DEVELOPER).post(url, {"month": "5.00", "concurrency": "2"}).status_code == 302
    page = cast.client().get(url).content.decode()
    assert "$5.00" in page
    audit = cast.client().get(cast.url("audit/")).content.decode()
    assert "api_key.change_limits" in audit
    assert "no limit → 5.00 USD" in audit
    cast.client().post(url, {"month": "", "concurrency": ""})
    with tenancy.as_operator():
        assert not Budget.objects.filter(tenant=cast.acme, is_active=True).exists()
        assert not Quota.objects.filter(tenant=cast.acme).exists()


def test_it_does_not_let_finance_change_a_keys_limits(cast: Cast) -> None:
    url = cast.url(f"keys/{cast.key.key.public_id}/")
    assert cast.client(Role.FINANCE).post(url, {"month": "5.00"}).status_code == 403
