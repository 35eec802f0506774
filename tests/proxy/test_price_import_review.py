"""The operators' review of a price file: reading one, what the page shows, and applying what was ticked."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing.models import Price
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from proxy.models import Model, PriceImport, PriceProposal, Upstream
from proxy.pricing_import import fetching
from proxy.pricing_import.reading import PriceFileProblem
from tests.portal.cast import person, signed_in
from tests.proxy.test_price_import import SMALL, publish, sell

ADD = "admin:proxy_priceimport_add"
PERMISSIONS = ("view_priceimport", "add_priceimport", "add_price", "add_model")


@pytest.fixture
def staff(db: None) -> Client:
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


@pytest.fixture
def shop(db: None) -> Upstream:
    with as_operator():
        upstream = Upstream.objects.create(name="house", base_url="https://api.house.test/v1")
        for name, upstream_model in (
            ("swift", "house-mini"),
            ("large", "house-large"),
            ("dear", "house-dear-priority"),
        ):
            sell(name, upstream, upstream_model)
        publish("swift", cache_read=100_000)
        publish("large", source=Price.Source.OPERATOR)
    return upstream


@pytest.fixture
def page(staff: Client, shop: Upstream) -> str:
    """The address of a review of the small file."""
    answer = upload(staff, SMALL.read_bytes())
    assert answer.status_code == 302, answer.content.decode()
    return str(answer.headers["Location"])


def upload(client: Client, content: bytes, **values: str) -> Any:
    file = SimpleUploadedFile("small.json", content, "application/json")
    return client.post(reverse(ADD), {"file": file, "address": "", **values})


def shown(client: Client, address: str, **asked: str) -> str:
    answer = client.get(address, asked)
    assert answer.status_code == 200
    return str(answer.content.decode())


def row(name: str) -> PriceProposal:
    with as_operator():
        return PriceProposal.objects.get(name=name)


def apply(client: Client, page: str, **values: Any) -> str:
    """What the page says afterwards."""
    return str(client.post(page, values, follow=True).content.decode())


def prices_of(model: str) -> list[Price]:
    with as_operator():
        return list(Price.objects.filter(model=model, variant="").order_by("effective_from"))


def test_it_reads_an_upload_and_shows_counts(staff: Client, page: str) -> None:
    html = re.sub(r"\s+", " ", shown(staff, page))

    with as_operator():
        kept = PriceImport.objects.get()
        assert (kept.source, kept.made_by and kept.made_by.email) == ("small.json", "staff@tollgate.test")
        assert AuditEntry.objects.get(action="price_import.read").detail["models"] == 9
    for words, count in (("Changed", 1), ("Suspicious", 1), ("Yours", 1), ("Available", 3), ("Not understood", 2)):
        assert f'{words} <span class="review-count">{count}</span>' in html


def test_it_shows_old_and_new_prices_side_by_side_and_ticks_changes(staff: Client, page: str) -> None:
    html = re.sub(r"\s+", " ", shown(staff, page, show="changed"))

    assert (
        '<th scope="row">Cache read</th><td>0.10</td><td><span class="review-hidden">becomes</span>0.075</td>' in html
    )
    assert f'value="{row("house-mini").pk}" aria-label="Apply swift" checked>' in html


def test_a_suspicious_price_is_not_ticked_and_needs_its_own_word(staff: Client, page: str) -> None:
    html = shown(staff, page, show="suspicious")
    pk = row("house-dear-priority").pk
    refused = apply(staff, page, choose=[pk])
    before = prices_of("dear")
    accepted = apply(staff, page, choose=[pk], confirm=[pk])

    assert f'value="{pk}" aria-label="Apply dear">' in html
    assert "50 times as much" in html
    assert "dear: It is suspicious, and was not confirmed." in refused
    assert before == []
    assert "Applied: dear." in accepted
    assert len(prices_of("dear")) == 1


def test_your_own_price_has_no_tick_and_is_refused_all_the_same(staff: Client, page: str) -> None:
    pk = row("house-large").pk
    html = shown(staff, page, show="yours")
    told = apply(staff, page, choose=[pk], confirm=[pk])

    assert f'name="choose" value="{pk}"' not in html
    assert "it is never replaced by an import" in told
    assert [price.source for price in prices_of("large")] == ["operator"]


def test_it_applies_what_is_chosen_from_a_moment_on_and_once(staff: Client, page: str) -> None:
    pk, start = row("house-mini").pk, (now() + timedelta(days=2)).replace(second=0, microsecond=0)
    for _ in range(2):
        told = apply(staff, page, choose=[pk], effective_from=start.strftime("%Y-%m-%d %H:%M"))

    first, second = prices_of("swift")
    assert (second.effective_from, second.cache_read, second.source) == (start, 75_000, "import")
    assert first.effective_to == start
    assert "In force already: swift." in told
    assert "Applied 2" in shown(staff, page, show="changed")
    with as_operator():
        entry = AuditEntry.objects.get(action="price_import.apply")
        assert entry.actor is not None
        assert "cache_read 0.10 → 0.075" in entry.detail["changes"]


def test_it_applies_all_new_and_changed_at_once(staff: Client, page: str) -> None:
    told = apply(staff, page, every="1")

    assert "Applied: swift." in told
    assert prices_of("dear") == []


def test_it_takes_models_on_with_a_route_if_ticked(staff: Client, page: str) -> None:
    html = shown(staff, page, show="other-available")
    embed, image = row("house-embed").pk, row("house-image").pk
    told = apply(staff, page, choose=[embed, image], route=[embed])

    assert "Route to house" in html
    assert "Applied: house-embed, house-image." in told
    with as_operator():
        assert Model.objects.get(name="house-embed").routes.get().upstream_model == "house-embed"
        assert not Model.objects.get(name="house-image").routes.exists()
        assert Model.objects.get(name="house-image").rules == {"operations": ["images"]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "Nothing was chosen."),
        ({"choose": ["x", "99999999999999999999"]}, "Nothing was chosen."),
        ({"every": "1", "effective_from": "tomorrow"}, "The start is no time such as"),
        ({"every": "1", "effective_from": "2020-01-01 00:00"}, "cannot start in the past"),
    ],
)
def test_it_refuses_in_plain_words(staff: Client, page: str, values: dict[str, Any], said: str) -> None:
    assert said in apply(staff, page, **values)
    assert len(prices_of("swift")) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"<html>", "not JSON"), (b"[]", "no object of models"), (b"\xff", "not UTF-8"), (b'{"a": 1}', "no model in it")],
)
def test_it_says_what_is_wrong_with_a_file(staff: Client, content: bytes, said: str) -> None:
    answer = upload(staff, content)

    assert answer.status_code == 200
    assert said in answer.content.decode()
    with as_operator():
        assert not PriceImport.objects.exists()


def test_it_stores_no_text_that_a_database_cannot(staff: Client) -> None:
    odd = r'"litellm_provider": "\u0000", "mode": "chat\ud800", "a\u0000_cost": 1, "input_cost_per_token": "\u0000"'
    answer = upload(staff, f'{{"odd": {{{odd}}}, "n\\u0000": {{{odd}}}}}'.encode())

    assert answer.status_code == 302
    assert row("odd").provider == "�"


def test_it_fetches_from_an_address(staff: Client, shop: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def from_address(url: str) -> bytes:
        fetched.append(url)
        if "gone" in url:
            raise PriceFileProblem("The address answered with 404.")
        return SMALL.read_bytes()

    monkeypatch.setattr(fetching, "from_address", from_address)
    gone = staff.post(reverse(ADD), {"address": "https://prices.test/gone.json"})
    staff.post(reverse(ADD), {"address": "https://prices.test/all.json"})
    empty = staff.post(reverse(ADD), {"address": ""})

    assert "The address answered with 404." in gone.content.decode()
    assert "Choose a file, or enter an address." in empty.content.decode()
    with as_operator():
        assert PriceImport.objects.get().source == fetched[-1] == "https://prices.test/all.json"


def test_it_finds_filters_and_pages_thousands_in_few_queries(
    staff: Client, shop: Upstream, django_assert_max_num_queries: Any
) -> None:
    many = {
        f"house-{number:04d}": {
            "litellm_provider": "house", "mode": "chat", "max_input_tokens": 1000, "max_output_tokens": 100,
            "input_cost_per_token": 1, "output_cost_per_token": 1,
        }
        for number in range(4241)
    }  # fmt: skip
    text = json.dumps(many).replace('token": 1', 'token": 1e-06')
    page = str(upload(staff, text.encode()).headers["Location"])
    with django_assert_max_num_queries(20):
        html = shown(staff, page, show="other-available", page="85")
    found = shown(staff, page, show="other-available", q="house-0042")

    assert "Page 85 of 85, 4,241 models" in html
    assert html.count('name="choose"') == 41
    assert "house-0042" in found
    assert found.count('name="choose"') == 1


def test_looking_is_not_applying(shop: Upstream, page: str) -> None:
    clerk = person("clerk@tollgate.test", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename="view_priceimport"))
    client = signed_in(clerk)

    assert 'name="choose"' not in shown(client, page)
    assert client.post(page, {"every": "1"}).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
    clerk.user_permissions.set(Permission.objects.filter(codename__in=PERMISSIONS))
    assert "Applied: swift." in apply(client, page, every="1")


def test_strangers_see_nothing(page: str) -> None:
    for user in (person("bob@acme.test"), person("idle@tollgate.test", is_staff=True)):
        assert signed_in(user).get(page).status_code in (302, 403, 404)


@pytest.mark.parametrize(
    "asked", ["show=nonsense", "page=x", "page=999", "q=%00%27", "q=" + "x" * 5000, "show=new&show=yours"]
)
def test_odd_questions_get_a_page(staff: Client, page: str, asked: str) -> None:
    assert staff.get(f"{page}?{asked}").status_code == 200


def test_there_is_no_script_or_style_in_the_page(staff: Client, page: str) -> None:
    html = shown(staff, page, show="suspicious").partition('<div class="review">')[2].partition("</main>")[0]
    ours = html.partition('id="review-form"')[2].partition("</form>")[0]

    assert ours
    assert not re.search(r"<script|<style|style=|\son[a-z]+=", ours)


def test_there_is_no_such_review(staff: Client, shop: Upstream) -> None:
    for key in ("999999", "abc"):
        assert staff.get(reverse("admin:proxy_priceimport_change", args=[key])).status_code == 404
