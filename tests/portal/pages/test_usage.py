"""The usage page: totals, chart, shares, filters, spans."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from billing.meters import Usage
from tests.portal.pages.cast import MODEL, Cast


def test_it_sums_what_was_used(cast: Cast) -> None:
    for _ in range(3):
        cast.call(usage=Usage(input=1000, cache_read=500, output=200))
    page = cast.client().get(cast.url("usage/")).content.decode()
    assert "4,500" in page, "tokens read"
    assert "1,500" in page, "from cache"
    assert "$0.000923" in page, "3 × $0.0003075, short"
    assert "$0.0009225 exactly" in page


@pytest.mark.parametrize(("by", "words"), [("model", MODEL), ("api_key", "Chatbot"), ("project", "Default")])
def test_it_shares_usage_by(cast: Cast, by: str, words: str) -> None:
    cast.call()
    assert words in cast.client().get(cast.url("usage/"), {"by": by}).content.decode().partition("<tbody>")[2]


def test_it_counts_days_in_the_tenants_time_zone(cast: Cast) -> None:
    """Half past eleven in the evening, UTC, is the next day in Paris."""
    late = (now() - timedelta(days=1)).replace(hour=23, minute=30)
    cast.call(at=late)
    following = late + timedelta(days=1)
    page = cast.client().get(cast.url("usage/")).content.decode().partition("<tbody>")[2]
    assert f"{following:%-d %b %Y}" in page


def test_it_draws_the_chart_without_styles_or_scripts(cast: Cast) -> None:
    cast.call()
    page = cast.client().get(cast.url("usage/"), {"measure": "tokens"}).content.decode()
    chart = page[page.index('<svg class="chart"') : page.rindex("</svg>")]
    assert chart.count('class="hit"') == 30
    assert chart.count('class="bar"') == 1
    assert "style=" not in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    "query",
    [
        {"span": "7"},
        {"span": "month"},
        {"span": "last_month"},
        {"span": "90"},
        {"span": "custom", "first": "2026-01-01", "last": "2026-03-01"},
        {"span": "custom"},
        {"span": "custom", "first": "2016-01-01", "last": "2026-03-01"},
        {"span": "custom", "first": "2026-03-01", "last": "2026-01-01"},
        {"span": "custom", "first": "0001-01-01", "last": "0001-01-02"},
        {"span": "99999", "by": "x", "measure": "<b>", "model": "'", "key": "%00", "project": "../"},
    ],
)
def test_it_takes_any_query(cast: Cast, query: dict[str, str]) -> None:
    assert cast.client().get(cast.url("usage/"), query).status_code == 200


def test_it_says_when_nothing_was_used(cast: Cast) -> None:
    assert "Nothing was used" in cast.client().get(cast.url("usage/")).content.decode()


def test_it_filters_by_key(cast: Cast) -> None:
    cast.call()
    page = cast.client().get(cast.url("usage/"), {"key": cast.key.key.public_id}).content.decode()
    assert "Nothing was used" not in page
