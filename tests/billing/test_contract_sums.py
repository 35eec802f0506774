"""A month under a contract as whole numbers: against loops over single tokens, and whatever its usage is split into."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import contract_sums
from billing.contract_sums import TOKENS, USD, Contract, Counted, FreeTerms, Outcome, TierTerms
from billing.tiers import Tiers
from tests.billing.test_tiers import some_tiers

PRICES = {"input": 150_000, "output": 600_000}
CLASSES = st.sampled_from(["input", "output"])


@st.composite
def usages(draw: st.DrawFn) -> list[Counted]:
    """Calls of two models, each in a class at its price."""
    calls = draw(st.lists(st.tuples(st.sampled_from(["a-1", "b-1"]), CLASSES, st.integers(1, 60)), max_size=6))
    return [Counted(model, name, tokens, tokens * PRICES[name]) for model, name, tokens in calls]


@st.composite
def contracts(draw: st.DrawFn, mode: str = "graduated") -> Contract:
    """A contract with at most one rule of each kind; free tokens are those of the tiers, or of all usage."""
    tiers, free = [], []
    pattern, name = draw(patterns), draw(classes)
    if draw(st.booleans()):
        tiers.append(TierTerms(pattern, name, TOKENS, draw(some_tiers(mode))))
    if draw(st.booleans()):
        free.append(FreeTerms(*draw(st.sampled_from([(pattern, name), ("*", "")])), draw(st.integers(1, 80))))
    amounts = st.integers(0, 40_000_000)
    return Contract(draw(amounts), draw(amounts), tuple(tiers), tuple(free))


patterns = st.sampled_from(["*", "a-*", "b-1"])
classes = st.sampled_from(["", "input", "output"])


def month(contract: Contract, used: Sequence[Counted], *, over: bool = True, share: Fraction = Fraction(1)) -> Outcome:
    return contract_sums.outcome(contract, used, share=share, is_over=over)


@given(usages(), usages(), st.sampled_from([TOKENS, USD]), st.integers(0, 10_000))
def test_invariant_6_flat_terms_cost_the_same_together_and_apart(
    one: list[Counted], other: list[Counted], unit: str, price: int
) -> None:
    contract = Contract(tiers=(TierTerms("*", "", unit, Tiers("graduated", (0,), (price,))),))
    apart = month(contract, one).total + month(contract, other).total
    assert apart == month(contract, [*one, *other]).total


@given(contracts(), usages(), st.sampled_from(["a-1", "b-1"]), CLASSES, st.integers(1, 40))
def test_invariant_7_more_tokens_never_cost_less(
    contract: Contract, used: list[Counted], model: str, name: str, more: int
) -> None:
    extra = Counted(model, name, more, more * PRICES[name])
    assert month(contract, [*used, extra]).total >= month(contract, used).total


@given(some_tiers("volume"), st.integers(0, 200), st.integers(1, 50))
def test_invariant_7_volume_tiers_cost_less_only_where_a_cheaper_tier_begins(
    rule: Tiers, quantity: int, more: int
) -> None:
    if rule.reached(quantity) == rule.reached(quantity + more):
        assert rule.cost(quantity + more) >= rule.cost(quantity)
    drops = dict(contract_sums.drops(TierTerms("*", "", TOKENS, rule)))
    for above in rule.thresholds[1:]:
        assert max(0, rule.cost(above) - rule.cost(above + 1)) == drops.get(above, 0)


@pytest.mark.parametrize("mode", ["graduated", "volume"])
@given(data=st.data())
def test_invariant_8_tiers_over_several_classes_match_a_loop_over_tokens(mode: str, data: st.DataObject) -> None:
    rule, used = data.draw(some_tiers(mode)), data.draw(usages())
    came = month(Contract(tiers=(TierTerms("*", "", TOKENS, rule),)), used)
    tokens = sum(one.tokens for one in used)
    cost = 0
    for number in range(1, tokens + 1):
        reached = tokens if mode == "volume" else number
        cost += max(zip(rule.thresholds, rule.prices, strict=True), key=lambda tier: (tier[0] < reached, tier[0]))[1]
    assert came.total == cost


@given(contracts(), usages(), st.randoms(use_true_random=False))
def test_invariant_10_neither_order_nor_splitting_changes_a_total(
    contract: Contract, used: list[Counted], random: object
) -> None:
    pieces = [
        Counted(one.model, one.token_class, part, part * PRICES[one.token_class])
        for one in used
        for part in (one.tokens // 2, one.tokens - one.tokens // 2)
    ]
    random.shuffle(pieces)  # type: ignore[attr-defined]
    assert month(contract, pieces).total == month(contract, used).total


@given(contracts("volume"), usages(), st.fractions(0, 1))
def test_nothing_is_given_back_that_was_not_used(contract: Contract, used: list[Counted], share: Fraction) -> None:
    came = month(contract, used, share=share)
    assert all(-part.exact <= came.listed + sum(tier.exact for tier in came.tiers) for part in came.free_tokens)
    assert came.spent >= 0
    assert came.total == came.listed + came.changed
    if came.minimum:
        assert came.total == max(came.minimum.agreed, came.spent)


@given(contracts(), usages())
def test_the_running_month_is_the_same_without_its_minimum(contract: Contract, used: list[Counted]) -> None:
    running, over = month(contract, used, over=False), month(contract, used)
    assert running.total == running.spent == over.spent
    assert (running.minimum and running.minimum.missing) == (over.minimum and over.minimum.exact)


@given(st.lists(st.fractions(0, 1), max_size=4), st.integers(0, 10**15))
def test_parts_of_a_month_sum_to_the_whole_minimum(cuts: list[Fraction], minimum: int) -> None:
    bounds = [Fraction(0), *sorted(cuts), Fraction(1)]
    parts = [month(Contract(minimum=minimum), [], share=b - a) for a, b in pairwise(bounds)]
    assert 2 * abs(sum(part.total for part in parts) - minimum) <= len(parts)


def test_usage_at_a_variant_s_price_keeps_it_under_tiers_of_tokens() -> None:
    used = [Counted("a-1", "input", 100, 100 * 150), Counted("a-1", "input", 50, 50 * 300, standard=False)]
    rule = TierTerms("*", "", TOKENS, Tiers("volume", (0,), (100,)))
    assert month(Contract(tiers=(rule,)), used).total == 100 * 100 + 50 * 300


def test_surcharges_are_in_discounts_on_everything_and_never_free_tokens() -> None:
    used = [Counted("a-1", "input", 100, 1_000), Counted("a-1", "", 0, 500)]
    half = TierTerms("*", "", USD, Tiers("volume", (0,), (5_000,)))
    assert month(Contract(tiers=(half,)), used).total == 750
    assert month(Contract(free_tokens=(FreeTerms("*", "", 1_000),)), used).total == 500


def test_tiers_begin_from_what_was_re_rated() -> None:
    used = [Counted("a-1", "input", 100, 1_000), Counted("b-1", "input", 10, 400)]
    flat = TierTerms("a-1", "", TOKENS, Tiers("volume", (0,), (8,)))
    half = TierTerms("b-1", "", USD, Tiers("volume", (0,), (5_000,)))
    came = contract_sums.outcome(
        Contract(tiers=(flat, half)), used, share=Fraction(1), is_over=True, rerated={"a-1": -100, "b-1": -200, "c": 7}
    )
    assert came.total == 800 + 100 + 7


def test_it_says_what_is_left_to_the_next_tier() -> None:
    rule = TierTerms("*", "", TOKENS, Tiers("graduated", (0, 100, 200), (3, 2, 1)))
    contract = Contract(tiers=(rule,))
    came = [month(contract, [Counted("a-1", "input", tokens, 0)]).tiers[0] for tokens in (0, 100, 101, 250)]
    assert [(part.reached, part.to_next) for part in came] == [(1, 100), (1, 0), (2, 99), (3, None)]
