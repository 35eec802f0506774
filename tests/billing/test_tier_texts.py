"""Tiers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import tier_texts
from billing.tiers import TierProblem, Tiers


def test_it_reads_prices_per_million_tokens() -> None:
    read = tier_texts.parse("0: 2.50\n 1M : 2.00 ; 2,500,000: 1.5", mode="volume", unit="tokens")
    assert read == Tiers("volume", (0, 1_000_000, 2_500_000), (2_500_000, 2_000_000, 1_500_000))


def test_it_reads_discounts_by_amount() -> None:
    read = tier_texts.parse("0: 0%\n1,000: 5 %\n5000.50: 12.25", mode="graduated", unit="usd")
    assert read == Tiers("graduated", (0, 1_000 * 10**12, 5_000_500_000_000_000), (0, 500, 1_225))


@pytest.mark.parametrize(("text", "tokens"), [("1M", 10**6), ("2.5k", 2_500), ("1,000", 1_000), ("3 b", 3 * 10**9)])
def test_it_reads_counts(text: str, tokens: int) -> None:
    assert tier_texts.count(text) == tokens


@pytest.mark.parametrize(
    ("text", "unit", "words"),
    [("", "tokens", "Write tiers"), ("1M 2.00", "tokens", "a colon"), ("0: x", "tokens", "not an amount"),
     ("1.5: 2", "tokens", "whole number"), ("x: 2", "tokens", "number of tokens"), ("1: 2", "tokens", "begin with 0"),
     ("0: 2\n0: 1", "tokens", "rise"), ("0: 1.234%", "usd", "two decimals"), ("0: 0.0000001", "tokens", "decimals")],
)  # fmt: skip
def test_it_says_what_it_cannot_read(text: str, unit: str, words: str) -> None:
    with pytest.raises(TierProblem, match=words):
        tier_texts.parse(text, mode="volume", unit=unit)


@given(
    st.sampled_from(["tokens", "usd"]),
    st.lists(st.tuples(st.integers(1, 10**18 - 1), st.integers(0, 10_000)), max_size=4),
)
def test_what_it_says_it_reads(unit: str, more: list[tuple[int, int]]) -> None:
    above = sorted({0, *(place for place, _price in more)})
    prices = [price for _place, price in more][: len(above)]
    tiers = Tiers("graduated", tuple(above), (*prices, *[7] * (len(above) - len(prices))))
    assert tier_texts.parse(tier_texts.said(tiers, unit), mode="graduated", unit=unit) == tiers
