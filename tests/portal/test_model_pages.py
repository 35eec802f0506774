"""The public pages of models, one model, and the status."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from billing import catalog
from billing.catalog import VariantPrices
from billing.models import PriceBook
from portal.tenancy import as_operator
from proxy import model_pages, quality
from proxy.buckets import BOUNDS_S
from proxy.models import Model, ModelAlias, Route, RouteHealth, Upstream
from tests.portal.cast import Cast, signed_in

USD = 1_000_000
"""Micro-USD per 1M tokens."""


def sold(name: str, input_price: int = 2, **more: Any) -> Model:
    with as_operator():
        model = Model.objects.create(name=name, context_window=200_000, max_output_tokens=8_000, **more)
        publish(name, input_price)
    return model


def publish(name: str, input_price: int, book: PriceBook | None = None, **more: Any) -> None:
    prices = {"input": input_price * USD, "output": 10 * USD, "cache_read": input_price * USD // 10}
    moment = now()
    given: dict[str, Any] = {"effective_from": moment, **more}
    catalog.publish(book=book or catalog.default_book(), model=name, prices=prices, now=moment, **given)


def seen(model: Model, at: datetime, *, successes: int, broken: int = 0, refused: int = 0) -> None:
    with as_operator():
        upstream, _made = Upstream.objects.get_or_create(
            name="up", defaults={"dialect": "openai", "base_url": "https://up.example.com/v1"}
        )
        route, _made = Route.objects.get_or_create(model=model, upstream=upstream, upstream_model="m")
        empty = [0] * (len(BOUNDS_S) + 1)
        RouteHealth.objects.create(
            route=route, model=model.name, starts_at=at, successes=successes, broken=broken, refused=refused,
            first_token=empty, whole=empty,
        )  # fmt: skip


def main_of(client: Client, address: str, **asked: str) -> str:
    answer = client.get(address, asked)
    assert answer.status_code == 200
    return answer.content.decode().split('id="main"', 1)[1]


@pytest.mark.django_db
def test_it_lists_what_is_sold_and_nothing_else(client: Client) -> None:
    sold("acme/sells")
    with as_operator():
        Model.objects.create(name="acme/unpriced", context_window=1, max_output_tokens=1)
        publish("acme/gone", 1)
    page = main_of(client, "/docs/models")
    assert "acme/sells" in page
    assert "$2.00" in page
    assert "acme/unpriced" not in page
    assert "acme/gone" not in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sort", "first"), [("name", "acme/b"), ("price", "acme/c"), ("context", "acme/b"), ("x", "acme/b")]
)
def test_it_sorts_and_finds(client: Client, sort: str, first: str) -> None:
    sold("acme/c", 1)
    sold("acme/b", 3)
    names = re.findall(r'href="/docs/models/(acme/\w)"', main_of(client, "/docs/models", sort=sort, q="ACME"))
    assert names[0] == first
    assert "No model has" in main_of(client, "/docs/models", q='"><script>nothing')


@pytest.mark.django_db
def test_a_model_has_its_prices_variants_and_what_an_example_costs(client: Client) -> None:
    model = sold("acme/chat")
    with as_operator():
        ModelAlias.objects.create(model=model, name="acme/latest")
        flex = VariantPrices("flex", 0, "flex", (), {"input": 1 * USD, "output": 5 * USD})
        publish("acme/chat", 2, effective_from=now() + timedelta(seconds=1), variants=[flex])
    page = main_of(client, "/docs/models/acme/latest")
    assert "<code>acme/latest</code>" in page
    assert "$0.007" in page  # 1,000 × 2 + 500 × 10 USD per 1M
    assert "cache read" in page
    assert "cache write" not in page  # it costs what input does
    assert "It was not called" in page
    assert "From " in page  # the price with the variant is announced
    assert '"acme/chat"' in page.replace("&quot;", '"')


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["no/such", "", "%00", "../../etc"])
def test_a_model_nobody_sells_is_404(client: Client, name: str) -> None:
    assert client.get(f"/docs/models/{name}").status_code == 404


def test_members_see_the_prices_of_their_own_book_and_others_do_not(cast: Cast) -> None:
    sold("acme/chat")
    with as_operator():
        publish("acme/chat", 7, book=PriceBook.objects.create(tenant=cast.acme.tenant, name="Acme"))
    assert "$7.00" in main_of(signed_in(cast.alice), "/docs/models/acme/chat")
    for reader in (signed_in(cast.charlie), Client()):
        page = main_of(reader, "/docs/models/acme/chat")
        assert "$7.00" not in page
        assert "$2.00" in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("successes", "broken", "refused", "said"),
    [(100, 0, 40, "works"), (95, 5, 0, "some calls fail"), (1, 9, 0, "down"), (0, 0, 9, "not called")],
)
def test_the_status_tells_how_real_calls_end(
    client: Client, successes: int, broken: int, refused: int, said: str
) -> None:
    model = sold("acme/chat")
    seen(model, now() - timedelta(minutes=10), successes=successes, broken=broken, refused=refused)
    assert f">{said}</span>" in main_of(client, "/docs/status")


@pytest.mark.django_db
def test_a_course_puts_each_part_in_its_place() -> None:
    model, moment = sold("acme/chat"), now()
    seen(model, moment - timedelta(days=29, hours=23), successes=1)
    seen(model, moment - timedelta(days=1, hours=1), successes=3, broken=1)
    seen(model, moment - timedelta(minutes=1), successes=2)
    seen(model, moment - timedelta(days=31), successes=50)
    (course,) = quality.course_of_models(now=moment, span=quality.MONTH, parts=30).values()
    assert {place: (one.successes, one.judged) for place, one in enumerate(course) if one.judged} == {
        0: (1, 1), 28: (3, 4), 29: (2, 2)
    }  # fmt: skip
    assert [bar.level for bar in model_pages.bars(course)][27:] == ["none", "bad", "good"]
