"""The overview, the list of calls and a call's receipt."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from billing.meters import Usage
from portal import tenancy
from portal.models import ApiKey
from portal.views import calls
from tests.portal.pages.cast import Cast


def test_it_tells_a_newcomer_what_to_do(cast: Cast) -> None:
    page = cast.client("stranger").get("/t/other/").content.decode()
    assert "Make the first key" in page
    assert "Send the first call" in page
    assert "http://testserver/v1" in page


def test_it_shows_the_month_and_the_newest_calls(cast: Cast) -> None:
    request = cast.call(usage=Usage(input=100, cache_read=50, output=20, reasoning=5))
    page = cast.client().get(cast.url()).content.decode()
    assert cast.url(f"calls/{request}/") in page
    assert "$0.00003375" in page
    assert "Chatbot" in page
    assert "Balance" in page


def test_it_sends_only_the_living_part_to_htmx(cast: Cast) -> None:
    part = cast.client().get(cast.url(), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'id="live"' in part


def test_it_multiplies_every_class_on_the_receipt(cast: Cast) -> None:
    request = cast.call(usage=Usage(input=100, cache_read=50, output=20, reasoning=5))
    page = cast.client().get(cast.url(f"calls/{request}/")).content.decode()
    for words in ("$0.000015", "$0.00000375", "$0.000012", "$0.000003", "$0.00003375", "$0.075 per 1M"):
        assert words in page
    assert "$1.00" in page, "the hold"


def test_it_says_which_call_cost_more_than_was_held(cast: Cast) -> None:
    request = cast.call(usage=Usage(output=2_000_000))
    assert "the upstream used more than its limit" in cast.client().get(cast.url(f"calls/{request}/")).content.decode()
    assert "over its hold" in cast.client().get(cast.url("calls/")).content.decode()
    usual = cast.call(usage=Usage(output=20))
    assert "used more than its limit" not in cast.client().get(cast.url(f"calls/{usual}/")).content.decode()


def test_it_explains_a_call_that_failed(cast: Cast) -> None:
    request = cast.call(state="voided", error_code="bad_gateway", facts=(2, 502, 0, 40))
    page = cast.client().get(cast.url(f"calls/{request}/")).content.decode()
    assert "502 bad_gateway" in page
    assert "Nothing was charged" in page


def test_it_shows_what_a_running_call_holds(cast: Cast) -> None:
    request = cast.call(state="open")
    assert "Still running" in cast.client().get(cast.url(f"calls/{request}/")).content.decode()
    assert "1 running" in cast.client().get(cast.url()).content.decode()


@pytest.mark.parametrize("name", ["", "req_", "req_zz", "x" * 500, "req_" + "f" * 24, "%00"])
def test_it_does_not_know_other_calls(cast: Cast, name: str) -> None:
    assert cast.client().get(cast.url(f"calls/{name}/")).status_code in (200, 404)
    assert cast.client().get(cast.url(f"calls/{name}")).status_code != 500


def test_it_pages_by_key_without_losing_or_doubling_a_call(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE", 3)
    made = [cast.call(at=now() - timedelta(minutes=place)) for place in range(8)]
    url, seen = cast.url("calls/"), []
    while url:
        page = cast.client().get(url, headers={"HX-Request": "true"}).content.decode()
        seen += [part.split("/")[0] for part in page.split("/calls/req_")[1:]]
        following = page.partition('hx-get="')[2].partition('"')[0]
        url = following.replace("&amp;", "&") if "before=" in following else ""
    assert ["req_" + part for part in seen] == made


@pytest.mark.parametrize("before", ["x", "9" * 50, "../..", "'--"])
def test_it_refuses_positions_that_are_none(cast: Cast, before: str) -> None:
    assert cast.client().get(cast.url("calls/"), {"before": before}).status_code == 400
    assert cast.client().get(cast.url("audit/"), {"before": before}).status_code in (400, 404)


def test_it_filters_calls(cast: Cast) -> None:
    fine = cast.call()
    failed = cast.call(state="voided", error_code="timeout", facts=(1, 504, 0, 9))
    client = cast.client()
    page = client.get(cast.url("calls/"), {"state": "failed"}).content.decode()
    assert failed in page
    assert fine not in page
    assert fine in client.get(cast.url("calls/"), {"key": cast.key.key.public_id}).content.decode()
    assert "No call fits" in client.get(cast.url("calls/"), {"state": "open"}).content.decode()
    hostile = {"state": "'; DROP", "model": "<b>", "key": "x" * 999}
    assert client.get(cast.url("calls/"), hostile).status_code == 200


def test_it_names_the_key_even_when_it_is_revoked(cast: Cast) -> None:
    request = cast.call()
    with tenancy.as_operator():
        ApiKey.objects.filter(pk=cast.key.key.pk).update(revoked_at=now())
    assert "Chatbot" in cast.client().get(cast.url(f"calls/{request}/")).content.decode()
