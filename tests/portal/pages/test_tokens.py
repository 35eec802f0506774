"""A member's tokens of the management API."""

from __future__ import annotations

import re

from django.test import Client

from portal import tenancy
from portal.models import ApiToken, Role
from tests.portal.pages.cast import Cast


def make(cast: Cast) -> str:
    page = cast.client().post(cast.url("tokens/"), {"name": "Nightly report"}).content.decode()
    found = re.search(r"tgm_[0-9A-Za-z]{40}", page)
    assert found
    return found[0]


def test_it_shows_a_token_once_and_the_token_works(cast: Cast) -> None:
    text = make(cast)
    assert text not in cast.client().get(cast.url("tokens/")).content.decode()
    assert Client().get("/manage/api/v1/keys", headers={"Authorization": f"Bearer {text}"}).status_code == 200


def test_it_revokes_a_token(cast: Cast) -> None:
    text = make(cast)
    with tenancy.as_operator():
        token = ApiToken.objects.get()
    cast.client().post(cast.url(f"tokens/{token.pk}/revoke/"))
    assert Client().get("/manage/api/v1/keys", headers={"Authorization": f"Bearer {text}"}).status_code == 401


def test_it_keeps_members_off_each_others_tokens(cast: Cast) -> None:
    make(cast)
    with tenancy.as_operator():
        token = ApiToken.objects.get()
    admin = cast.client(Role.ADMIN)
    assert "Nightly report" not in admin.get(cast.url("tokens/")).content.decode()
    assert admin.post(cast.url(f"tokens/{token.pk}/revoke/")).status_code == 404


def test_it_wants_a_name(cast: Cast) -> None:
    answer = cast.client().post(cast.url("tokens/"), {"name": ""})
    assert answer.status_code == 422
    assert "Give the token a name" in answer.content.decode()
