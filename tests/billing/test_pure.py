"""Money, meters, prices and periods: the rules without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import meters, money, periods, pricing
from billing.meters import COUNTERS, TOKEN_CLASSES, Usage, UsageProblem
from billing.pricing import PriceVersion

UNITS = st.integers(0, 10**9)
TOKENS = st.integers(0, 2_000_000)
USAGES = st.builds(Usage, **dict.fromkeys(COUNTERS, TOKENS))
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def version(units: dict[str, int], **more: int) -> PriceVersion:
    full, _inherited = pricing.with_inherited(units)
    numbers: dict[str, Any] = {**full, **more}
    return PriceVersion(1, datetime(2027, 1, 1, tzinfo=UTC), None, **numbers)


PRICES = st.builds(
    lambda units, extra: version(units, **extra),
    st.fixed_dictionaries(dict.fromkeys(TOKEN_CLASSES, UNITS)),
    st.fixed_dictionaries({"per_request": UNITS, "per_web_search": UNITS, "per_image": UNITS}),
)


def plus(first: Usage, second: Usage) -> Usage:
    return Usage(*(a + b for a, b in zip(first, second, strict=True)))


@given(USAGES, USAGES, PRICES)
def test_invariant_6_rates_add_up_for_flat_prices(first: Usage, second: Usage, price: PriceVersion) -> None:
    together = pricing.rate(plus(first, second), price)
    assert pricing.rate(first, price) + pricing.rate(second, price) == together + price.per_request


@given(USAGES, PRICES, st.sampled_from(COUNTERS), st.integers(1, 1000))
def test_invariant_7_more_tokens_never_cost_less(usage: Usage, price: PriceVersion, counter: str, more: int) -> None:
    larger = plus(usage, Usage(**{counter: more}))
    assert pricing.rate(larger, price) >= pricing.rate(usage, price)


@pytest.mark.parametrize("counter", TOKEN_CLASSES)
@pytest.mark.parametrize("tokens", [0, 1, 999, 1000, 1001])
def test_invariant_8_a_cost_is_what_counting_token_by_token_gives(counter: str, tokens: int) -> None:
    price = version({name: 1000 + place for place, name in enumerate(TOKEN_CLASSES)}, per_request=7)
    one_by_one = 7
    for _token in range(tokens):
        one_by_one += getattr(price, counter)
    assert pricing.rate(Usage(**{counter: tokens}), price) == one_by_one


def test_invariant_8_the_edges_of_price_versions_belong_to_the_later_one() -> None:
    edge = datetime(2027, 6, 1, tzinfo=UTC)
    old, new = (replace(version(dict.fromkeys(TOKEN_CLASSES, n)), id=n, effective_from=edge) for n in (1, 2))
    old = replace(old, effective_from=edge - timedelta(days=1), effective_to=edge)
    prices = pricing.PriceList((old, new))
    tick = timedelta(microseconds=1)
    assert [prices.at(edge + shift) for shift in (-tick, timedelta(0), tick)] == [old, new, new]
    assert prices.at(old.effective_from - tick) is None


@given(st.integers(0, 10**6), st.integers(0, 10**6), PRICES, st.data())
def test_it_never_costs_more_than_its_ceiling(
    inputs: int, outputs: int, price: PriceVersion, data: st.DataObject
) -> None:
    most = pricing.ceiling(input_bound=inputs, output_bound=outputs, price=price)
    prompt = dict.fromkeys(meters.PROMPT_CLASSES, 0)
    prompt[data.draw(st.sampled_from(meters.PROMPT_CLASSES))] = inputs
    completion = dict.fromkeys(meters.COMPLETION_CLASSES, 0)
    completion[data.draw(st.sampled_from(meters.COMPLETION_CLASSES))] = outputs
    assert pricing.rate(Usage(**prompt, **completion), price) <= most


def test_it_refuses_a_cost_that_does_not_fit_and_a_surcharge_nobody_priced() -> None:
    dear = version({"input": 10**13, "output": 1})
    with pytest.raises(pricing.PricingProblem):
        pricing.rate(Usage(input=2**31 - 1), dear)
    with pytest.raises(pricing.PricingProblem):
        pricing.rate(Usage(web_searches=1), dear)


def test_a_class_without_a_price_takes_its_parents_and_says_so() -> None:
    full, inherited = pricing.with_inherited({"input": 5, "cache_write_5m": 6, "output": 9})
    assert full["cache_write_1h"] == 6
    assert full["cache_read"] == 5
    assert full["reasoning"] == 9
    assert "cache_read" in inherited
    with pytest.raises(pricing.PricingProblem):
        pricing.with_inherited({"input": 5})


# -- token classes


@given(TOKENS, TOKENS, st.data())
def test_invariant_3_openai_usage_becomes_disjoint_classes_that_sum_to_its_totals(
    prompt: int, completion: int, data: st.DataObject
) -> None:
    cached = data.draw(st.integers(0, prompt))
    audio = data.draw(st.integers(0, prompt - cached))
    reasoning = data.draw(st.integers(0, completion))
    reported = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": audio},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    if not prompt + completion:
        with pytest.raises(UsageProblem):
            meters.from_openai(reported, context_window=10**7)
        return
    usage = meters.from_openai(reported, context_window=10**7)
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, completion)
    assert (usage.cache_read, usage.input_audio, usage.reasoning) == (cached, audio, reasoning)
    assert min(usage) >= 0


@pytest.mark.parametrize(
    "reported",
    [
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 10**12, "completion_tokens": 1},
        {"prompt_tokens": 2000, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 6}},
        {"completion_tokens": 1},
    ],
)
def test_invariant_3_usage_that_cannot_be_true_is_refused(reported: dict[str, object]) -> None:
    with pytest.raises(UsageProblem):
        meters.from_openai(reported, context_window=1000)


# -- amounts


@given(st.integers(0, 10**24 - 1))
def test_amounts_survive_being_written_and_read(pico: int) -> None:
    assert money.parse_usd(money.usd(pico)) == pico


@given(st.integers(0, 10**12 - 1))
def test_prices_survive_being_written_and_read(price: int) -> None:
    assert money.parse_price(money.usd(price * 10**6)) == price


@pytest.mark.parametrize(
    "text", ["", "-1", "1e5", "1,5", ".5", "5.", "NaN", "0x1", "1.0000000000001", "٣", " 1", "1_0"]
)
def test_it_refuses_texts_that_are_no_amount(text: str) -> None:
    with pytest.raises(money.MoneyProblem):
        money.parse_usd(text)


def test_it_refuses_prices_past_six_decimals() -> None:
    with pytest.raises(money.MoneyProblem):
        money.parse_price("0.0000001")


@given(st.integers(-(10**24), 10**24), st.sampled_from(sorted(money.MINOR_DIGITS)))
def test_invariant_24_rounding_is_half_up_and_off_by_half_a_unit_at_most(pico: int, currency: str) -> None:
    unit = 10 ** (12 - money.minor_digits(currency))
    minor = money.round_to_minor(pico, currency)
    assert abs(money.minor_to_pico(minor, currency) - pico) * 2 <= unit
    assert money.round_to_minor(-pico, currency) == -minor


@pytest.mark.parametrize(
    ("pico", "cents"), [(4_999_999_999, 0), (5_000_000_000, 1), (15_000_000_000, 2), (-5_000_000_000, -1)]
)
def test_invariant_24_half_a_cent_is_rounded_away_from_zero(pico: int, cents: int) -> None:
    assert money.round_to_minor(pico, "USD") == cents


def test_minor_units_follow_iso_4217_and_unknown_currencies_are_refused() -> None:
    assert [money.format_minor(1234, currency) for currency in ("USD", "JPY", "KWD")] == ["12.34", "1234", "1.234"]
    assert money.format_minor(-5, "USD") == "-0.05"
    with pytest.raises(money.MoneyProblem):
        money.round_to_minor(1, "XXX")


# -- periods


@pytest.mark.parametrize("zone", sorted(available_timezones()))
def test_invariant_30_periods_tile_time_in_every_zone_for_ten_years(zone: str) -> None:
    period = periods.month("2026-01", zone)
    for _month in range(120):
        assert period.end is not None
        following = periods.month_of(period.end, zone)
        assert following.start == period.end
        assert periods.month_of(period.end - timedelta(microseconds=1), zone) == period
        assert periods.bucket_of(period.start) == period.start
        period = following
    assert period.label == "2036-01"


@settings(max_examples=200)
@given(MOMENTS, st.sampled_from(sorted(available_timezones())), st.sampled_from(["day", "month", "lifetime"]))
def test_invariant_30_every_moment_is_in_exactly_one_window(moment: datetime, zone: str, window: str) -> None:
    found = periods.window_of(window, moment, zone)
    assert found.holds(moment)
    if found.end:
        assert not found.holds(found.end)
        assert periods.window_of(window, found.end, zone).start == found.end


def test_invariant_30_a_month_in_paris_has_the_hours_of_its_clock_changes() -> None:
    march, october = (periods.month(label, "Europe/Paris") for label in ("2026-03", "2026-10"))
    assert [(p.end - p.start) // timedelta(hours=1) for p in (march, october) if p.end] == [743, 745]


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-1", "0000-01", "2026-11-01", "x"])
def test_it_refuses_texts_that_are_no_month(text: str) -> None:
    with pytest.raises(periods.PeriodProblem):
        periods.month(text, "UTC")


@given(MOMENTS)
def test_buckets_are_quarters_of_an_hour(moment: datetime) -> None:
    bucket = periods.bucket_of(moment.astimezone(ZoneInfo("Asia/Kathmandu")))
    assert bucket <= moment < bucket + timedelta(minutes=15)
    assert bucket.minute % 15 == 0
