"""Downloads of exports: by page and API, as the role allows, and refused in plain words."""

from __future__ import annotations

import csv
import io

import pyarrow.parquet
import pytest
from django.test import Client
from django.urls import reverse

from portal.models import Role
from tests.portal.cast import Cast, signed_in

WANTED = {"kind": "usage", "first": "2026-01", "last": "2026-12", "format": "csv"}


def page_of(cast: Cast) -> str:
    return reverse("exports", args=[cast.acme.tenant.slug])


def test_it_downloads_what_the_page_offers(cast: Cast) -> None:
    client = signed_in(cast.alice)
    page = client.get(page_of(cast))
    assert page.status_code == 200
    assert "cost_usd" in page.content.decode()
    answer = client.get(page_of(cast), WANTED)
    assert answer.headers["Content-Disposition"].endswith(f'{cast.acme.tenant.slug}-usage-2026-01-to-2026-12.csv"')
    assert next(csv.reader(io.StringIO(answer.getvalue().decode())))[0] == "date"
    whole = client.get(page_of(cast), {**WANTED, "format": "parquet"}).getvalue()
    assert "cost_usd" in pyarrow.parquet.read_schema(io.BytesIO(whole)).names


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"first": "March"}, "Enter a month such as 2026-11."),
        ({"first": "2027-01"}, "Choose a month that is not before the first."),
        ({"last": "2036-12"}, "Choose at most 60 months."),
        ({"kind": "secrets"}, "Select a valid choice"),
    ],
)
def test_it_keeps_what_was_typed_and_says_what_is_wrong(cast: Cast, wrong: dict[str, str], said: str) -> None:
    answer = signed_in(cast.alice).get(page_of(cast), {**WANTED, **wrong})
    assert answer.status_code == 422
    text = answer.content.decode()
    assert said in text
    assert f'value="{wrong.get("first", "2026-01")}"' in text


def test_a_developer_gets_usage_and_no_money(cast: Cast) -> None:
    client = signed_in(cast.people[Role.DEVELOPER])
    assert client.get(page_of(cast), WANTED).status_code == 200
    for kind in ("ledger", "invoices"):
        assert client.get(page_of(cast), {**WANTED, "kind": kind}).status_code == 422


def test_the_api_gives_the_same_file(cast: Cast) -> None:
    client, headers = Client(SERVER_NAME="localhost"), {"Authorization": f"Bearer {cast.acme.token_text}"}
    wanted = {"first": "2026-01", "last": "2026-12"}
    for kind in ("calls", "usage", "ledger", "invoices"):
        answer = client.get(reverse(f"api:export_{kind}"), wanted, headers=headers)
        shown = signed_in(cast.alice).get(page_of(cast), {**WANTED, "kind": kind})
        assert answer.getvalue() == shown.getvalue()
    for wrong in ({"first": "2026-13"}, {"first": "2026-02", "last": "2026-01"}, {"file": "xlsx"}, {"else": "1"}):
        assert client.get(reverse("api:export_usage"), wrong, headers=headers).status_code == 400
