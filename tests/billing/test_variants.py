"""Variants of prices: which one holds, at every edge, and that no hold is smaller than what can come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import price_conditions, pricing
from billing.meters import COMPLETION_CLASSES, PROMPT_CLASSES, TOKEN_CLASSES, Usage
from billing.price_conditions import ConditionProblem, Conditions
from billing.pricing import PriceList, PriceVersion

FROM = datetime(2027, 1, 1, tzinfo=UTC)
LONG = 200_000
UNITS = st.integers(1, 10**7)
TIERS = ("", "default", "priority", "flex", "batch")


def version(number: int, unit: int, **conditions: object) -> PriceVersion:
    """A price whose classes all differ."""
    name = f"v{number}" if conditions else ""
    units = {one: unit + place for place, one in enumerate(TOKEN_CLASSES)}
    return PriceVersion(number, FROM, None, **units, variant=name, **conditions)  # type: ignore[arg-type]


def tiered(thresholds: dict[int, int], unit: int = 100) -> PriceVersion:
    variants = [version(2 + n, price, above_tokens=above) for n, (above, price) in enumerate(thresholds.items())]
    return replace(version(1, unit), variants=tuple(variants))


@pytest.mark.parametrize("counter", TOKEN_CLASSES)
@pytest.mark.parametrize("edge", [200, 272, 1000])
@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_invariant_8_the_edges_of_long_context_match_counting_token_by_token(
    counter: str, edge: int, shift: int
) -> None:
    thresholds = {200: 150, 272: 175, 1000: 300}
    price = tiered(thresholds)
    prompt = edge + shift
    spent = {"input": prompt, "output": 7}
    if counter in PROMPT_CLASSES:
        spent = {"input": prompt - 50, counter: 50, "output": 7} if counter != "input" else spent
    else:
        spent = {"input": prompt, counter: 7}
    unit = max([100, *(price_above for above, price_above in thresholds.items() if prompt > above)])
    one_by_one = 0
    for name, count in spent.items():
        for _token in range(count):
            one_by_one += unit + TOKEN_CLASSES.index(name)
    usage = Usage(**spent)
    assert pricing.rate(usage, price.chosen(usage)) == one_by_one


def test_invariant_8_only_prompt_tokens_count_and_of_every_class() -> None:
    price = tiered({LONG: 200})
    assert price.chosen(Usage(input=LONG, output=10**6)) is price
    cached = Usage(input=1, cache_read=LONG - 100, cache_write_1h=50, input_image=50)
    assert price.chosen(cached).above_tokens == LONG


@given(
    st.dictionaries(st.integers(1, 10**6), st.integers(0, 10**4), max_size=4),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 1000),
)
def test_invariant_7_more_tokens_never_cost_less_where_long_context_is_dearer(
    added: dict[int, int], prompt: int, more: int, output: int
) -> None:
    unit, dearer = 100, {}
    for above in sorted(added):
        unit += added[above]
        dearer[above] = unit
    price = tiered(dearer)
    less, larger = Usage(input=prompt, output=output), Usage(input=prompt + more, output=output)
    assert pricing.rate(larger, price.chosen(larger)) >= pricing.rate(less, price.chosen(less))


VARIANTS = st.lists(
    st.tuples(st.sampled_from([0, 1, 500, 900]), st.sampled_from(["", "priority", "flex"]), UNITS, st.booleans()),
    max_size=6,
    unique_by=lambda one: (one[0], one[1], one[3]),
)


@given(UNITS, VARIANTS, st.data(), st.integers(0, 1000), st.integers(0, 1000), st.sampled_from(TIERS))
def test_it_never_costs_more_than_its_ceiling_whichever_variant_holds(
    unit: int, variants: list[tuple[int, str, int, bool]], data: st.DataObject, inputs: int, outputs: int, tier: str
) -> None:
    hours = {True: ((990, 30),), False: ()}
    made = [
        version(2 + n, price, above_tokens=above, service_tier=of_tier, hours=hours[some])
        for n, (above, of_tier, price, some) in enumerate(variants)
        if above or of_tier or some
    ]
    price = replace(version(1, unit), variants=tuple(made), per_image=unit)
    moment = data.draw(st.sampled_from([FROM, FROM + timedelta(hours=12)]))
    admitted = price.at_moment(moment)
    most = pricing.ceiling(input_bound=inputs, output_bound=outputs, price=admitted, service_tier=tier, images=2)
    used = Usage(
        **{data.draw(st.sampled_from(PROMPT_CLASSES)): data.draw(st.integers(0, inputs))},
        **{data.draw(st.sampled_from(COMPLETION_CLASSES)): data.draw(st.integers(0, outputs))},
    )
    answered = data.draw(st.sampled_from([tier, "default"]))
    chosen = replace(admitted.chosen(used, answered), per_image=0)
    assert pricing.rate(used, chosen) <= most
    bound = pricing.affordable_output(most=most, input_bound=inputs, price=admitted, service_tier=tier, images=2)
    assert bound >= outputs
    again = pricing.ceiling(input_bound=inputs, output_bound=bound, price=admitted, service_tier=tier, images=2)
    assert again <= most
    over = pricing.ceiling(input_bound=inputs, output_bound=bound + 1, price=admitted, service_tier=tier, images=2)
    assert over > most


def test_the_hold_counts_images_where_they_are_sold_by_the_piece() -> None:
    price = replace(version(1, 0), per_image=7, per_request=3)
    free = pricing.ceiling(input_bound=0, output_bound=0, price=price)
    assert pricing.ceiling(input_bound=0, output_bound=0, price=price, images=4) - free == 28
    assert pricing.rate(Usage(images=4), price) == 31
    assert pricing.ceiling(input_bound=0, output_bound=0, price=version(1, 0), images=4) == 0


def test_a_long_prompt_is_held_at_its_own_price_and_a_short_one_is_not() -> None:
    price = tiered({LONG: 10_000})
    short, long = (pricing.ceiling(input_bound=LONG + n, output_bound=0, price=price) for n in (0, 1))
    assert (short, long) == (LONG * 105, (LONG + 1) * 10_005)
    assert (price.dearest_input, price.dearest_output) == (10_005, 10_009)


def test_a_tier_goes_before_the_length_and_is_sold_only_where_it_has_a_price() -> None:
    base, long = version(1, 100), version(2, 200, above_tokens=LONG)
    priority, long_priority = (
        version(3, 300, service_tier="priority"),
        version(4, 400, service_tier="priority", above_tokens=LONG),
    )
    flex = version(5, 50, service_tier="flex")
    price = replace(base, variants=(flex, long_priority, priority, long))
    small, large = Usage(input=LONG), Usage(input=LONG + 1)
    found = [price.chosen(usage, tier).id for tier in ("", "default", "priority", "flex") for usage in (small, large)]
    assert found == [1, 2, 1, 2, 3, 4, 5, 5]
    assert [price.sells(tier) for tier in ("", "auto", "default", "priority", "flex", "batch")] == [True] * 5 + [False]
    held = [pricing.ceiling(input_bound=10, output_bound=0, price=price, service_tier=t) for t in ("flex", "priority")]
    assert held == [10 * 105, 10 * 305]


@pytest.mark.parametrize(
    ("clock", "number"),
    [("16:29:59", 1), ("16:30:00", 2), ("23:59:59", 2), ("00:00:00", 2), ("00:29:59", 2), ("00:30:00", 1)],
)
def test_hours_are_those_of_admission_in_utc_and_go_past_midnight(clock: str, number: int) -> None:
    off_peak = version(2, 50, hours=price_conditions.parse_hours("16:30-00:30"))
    price = PriceList.of([off_peak, version(1, 100)]).at(datetime.fromisoformat(f"2027-05-05T{clock}+00:00"))
    assert price is not None
    assert (price.id, price.chosen(Usage(input=1)).id, price.variants) == (number, number, ())


def test_what_is_frozen_has_no_clock_in_it() -> None:
    night = ((0, 60),)
    rows = [
        version(1, 100),
        version(2, 50, hours=night),
        version(3, 200, above_tokens=LONG),
        version(4, 150, above_tokens=LONG, hours=night),
        version(5, 25, service_tier="flex"),
        version(6, 20, service_tier="flex", hours=night),
    ]
    found = PriceList.of(rows)
    by_day, by_night = (found.at(FROM + timedelta(hours=hour)) for hour in (12, 0))
    assert by_day
    assert by_night
    long = Usage(input=LONG + 1)
    for price, wanted in ((by_day, [1, 3, 5]), (by_night, [2, 4, 6])):
        assert [price.id, price.chosen(long).id, price.chosen(long, "flex").id] == wanted
        assert not any(one.hours for one in (price, *price.variants))
        assert price.at_moment(FROM) == price.at_moment(FROM + timedelta(hours=12)) == price
    stored = pricing.frozen(rows[1], rows[1:])
    assert [stored.id, stored.chosen(long).id] == [2, 4]
    assert pricing.frozen(rows[0], rows[1:]).chosen(long).id == 3


def test_a_price_without_variants_is_its_own_choice() -> None:
    price = version(1, 100)
    assert price.chosen(Usage(input=10**9), "priority") is price
    assert price.at_moment(FROM) is price


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"above_tokens": LONG}, "above 200,000 prompt tokens"),
        ({"service_tier": "flex", "above_tokens": 272_000}, "flex, above 272,000 prompt tokens"),
        ({"hours": ((990, 30),)}, "16:30–00:30 UTC"),
        ({}, ""),
    ],
)
def test_a_variant_says_its_conditions_in_words(conditions: dict[str, object], said: str) -> None:
    assert pricing.words(version(1, 1, **conditions)) == said


def test_names_and_hours_are_read_as_they_are_written() -> None:
    hours = price_conditions.parse_hours("16:30-00:30, 12:00–13:15")
    assert hours == ((990, 30), (720, 795))
    assert price_conditions.parse_hours(price_conditions.said_hours(hours)) == hours
    assert price_conditions.name_of(272_000, "flex", ()) == "flex.above-272000"
    assert price_conditions.name_of(0, "", hours) == "off-peak"


@pytest.mark.parametrize("text", ["", "16:30", "24:01-01:00", "16:60-17:00", "10:00-10:00", "10:00-12:00,11:00-13:00"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConditionProblem):
        price_conditions.parse_hours(text)


@pytest.mark.parametrize(
    "conditions",
    [
        [Conditions("x")],
        [Conditions("Über", 5)],
        [Conditions("", 5)],
        [Conditions("x", -5)],
        [Conditions("x", 5), Conditions("x", 6)],
        [Conditions("x", 5), Conditions("y", 5)],
        [Conditions("x", service_tier="default")],
        [Conditions("x", 5, "flex")],
        [Conditions("x", hours=((0, 90),)), Conditions("y", hours=((60, 120),))],
        [Conditions("x", hours=((0, 1500),))],
    ],
)
def test_conditions_that_are_none_or_hold_at_once_are_refused(conditions: list[Conditions]) -> None:
    with pytest.raises(ConditionProblem):
        price_conditions.check(conditions)
