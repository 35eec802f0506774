"""Tiers, free tokens and minimums against a loop over single tokens."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import tiers
from billing.tiers import TierProblem, Tiers


@st.composite
def some_tiers(draw: st.DrawFn, mode: str) -> Tiers:
    widths = draw(st.lists(st.integers(1, 20), max_size=4))
    thresholds = tuple(sum(widths[:count]) for count in range(len(widths) + 1))
    count = len(thresholds)
    return Tiers(mode, thresholds, tuple(draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count))))


def price_of_token(rule: Tiers, number: int) -> int:
    """The price of the tier that the ``number``-th token falls into, found by counting."""
    price = rule.prices[0]
    for above, candidate in zip(rule.thresholds, rule.prices, strict=True):
        if number > above:
            price = candidate
    return price


def by_single_tokens(rule: Tiers, quantity: int) -> int:
    cost = 0
    for number in range(1, quantity + 1):
        cost += price_of_token(rule, quantity if rule.mode == "volume" else number)
    return cost


@pytest.mark.parametrize("mode", ["graduated", "volume"])
@given(data=st.data())
def test_invariant_8_tier_edges_match_a_loop_over_tokens(mode: str, data: st.DataObject) -> None:
    rule = data.draw(some_tiers(mode))
    for edge in rule.thresholds:
        for quantity in (max(0, edge - 1), edge, edge + 1):
            assert rule.cost(quantity) == by_single_tokens(rule, quantity)
            assert sum(part * price for part, price in rule.parts(quantity)) == rule.cost(quantity)
            assert sum(part for part, _price in rule.parts(quantity)) == quantity


@given(some_tiers("graduated"), st.integers(0, 200), st.integers(0, 200))
def test_invariant_7_more_tokens_never_cost_less_when_graduated(rule: Tiers, quantity: int, more: int) -> None:
    assert rule.cost(quantity + more) >= rule.cost(quantity)


@given(st.sampled_from(["graduated", "volume"]), st.integers(0, 10**6), st.integers(0, 10**12), st.integers(0, 10**12))
def test_invariant_6_one_tier_is_a_flat_price(mode: str, price: int, one: int, other: int) -> None:
    rule = Tiers(mode, (0,), (price,))
    assert rule.cost(one) + rule.cost(other) == rule.cost(one + other) == price * (one + other)


@given(st.integers(0, 10**15), st.integers(0, 744))
def test_it_prorates_by_exact_shares(amount: int, hours: int) -> None:
    share = Fraction(hours, 744)
    assert abs(Fraction(tiers.part_of(amount, share)) - amount * share) <= Fraction(1, 2)
    assert tiers.part_of(amount, Fraction(1)) == amount


def test_it_takes_a_discount_off_money() -> None:
    rule = Tiers("graduated", (0, 100), (0, 1_000))
    assert [tiers.discounted(rule, amount) for amount in (100, 200)] == [100, 190]


def test_it_says_what_is_missing_to_a_minimum() -> None:
    assert [tiers.shortfall(minimum=5, spent=spent) for spent in (4, 5, 6)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("mode", "thresholds", "prices"),
    [("volume", (), ()), ("volume", (1,), (1,)), ("volume", (0, 0), (1, 1)), ("other", (0,), (1,)),
     ("graduated", (0,), (-1,)), ("graduated", (0, 5), (1,))],
)  # fmt: skip
def test_it_refuses_tiers_that_are_none(mode: str, thresholds: tuple[int, ...], prices: tuple[int, ...]) -> None:
    with pytest.raises(TierProblem):
        Tiers(mode, thresholds, prices)
