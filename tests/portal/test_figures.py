"""How numbers are written, charts are laid out and snippets are quoted."""

from __future__ import annotations

import ast
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import PICO_PER_USD, parse_usd
from portal import charts, figures, snippets


@pytest.mark.parametrize(
    ("pico", "exact", "short"),
    [
        (0, "$0.00", "$0.00"),
        (61_000_000, "$0.000061", "$0.000061"),
        (37_500, "$0.0000000375", "$0.0000000375"),
        (1, "$0.000000000001", "$0.000000000001"),
        (1_234_500_000_000_000, "$1,234.50", "$1,234.50"),
        (12_345_678_901_234, "$12.345678901234", "$12.35"),
        (123_456_789_012, "$0.123456789012", "$0.123457"),
        (999_999_999_999, "$0.999999999999", "$1.00"),
        (-5 * PICO_PER_USD, "−$5.00", "−$5.00"),
    ],
)
def test_it_writes_money(pico: int, exact: str, short: str) -> None:
    assert figures.exact(pico) == exact
    assert figures.short(pico) == short


@given(st.integers(0, 10**20))
def test_it_never_writes_something_as_nothing(pico: int) -> None:
    assert (figures.short(pico) == "$0.00") == (pico == 0)
    assert parse_usd(figures.exact(pico).removeprefix("$").replace(",", "")) == pico


@pytest.mark.parametrize(("value", "words"), [(0, "0 ms"), (999, "999 ms"), (2450, "2.4 s"), (185_000, "3 min 5 s")])
def test_it_writes_durations(value: int, words: str) -> None:
    assert figures.milliseconds(value) == words


@pytest.mark.parametrize(("value", "words"), [(950, "950"), (1500, "1.5k"), (20_000_000, "20M")])
def test_it_writes_counts_in_few_characters(value: int, words: str) -> None:
    assert figures.compact(value) == words


def test_it_writes_other_currencies() -> None:
    assert figures.minor(1234, "USD") == "$12.34"
    assert figures.minor(-123456, "JPY") == "−JPY 123,456"


@given(st.lists(st.integers(0, 10**18), max_size=400))
def test_it_keeps_every_bar_inside_the_chart(values: list[int]) -> None:
    chart = charts.bars([charts.Point(str(place), value, "") for place, value in enumerate(values)])
    for bar, value in zip(chart.bars, values, strict=True):
        assert charts.LEFT <= bar.x <= bar.x + bar.width <= chart.width
        assert chart.top - 0.01 <= bar.y <= bar.y + bar.height <= chart.base + 0.01
        assert (bar.height > 0) == (value > 0)


@given(st.integers(1, 10**20))
def test_it_rounds_the_axis_up_to_a_nice_number(value: int) -> None:
    ceiling = charts.nice_ceiling(value)
    assert value <= ceiling
    assert ceiling <= max(4, value * 5 // 2)


HOSTILE = "mo'del\"; $(rm -rf ~) `x`"


def test_it_quotes_snippets_for_each_language() -> None:
    curl, python, _node = snippets.first_call(base_url="http://x/v1", api_key="sk", model=HOSTILE)
    words = shlex.split(curl.text)
    assert json.loads(words[-1])["model"] == HOSTILE
    assert ast.parse(python.text)
    assert json.dumps(HOSTILE) in python.text
