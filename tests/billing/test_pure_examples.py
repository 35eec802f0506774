"""Amounts, prices, periods and conditions by example, each just inside and just outside what is allowed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from billing import money, periods, price_conditions, pricing
from billing.meters import COMPLETION_CLASSES, MOST_TOKENS, PROMPT_CLASSES, TOKEN_CLASSES, Usage
from billing.money import MoneyProblem
from billing.periods import FIRST_DAY, Period, PeriodProblem
from billing.price_conditions import ConditionProblem, Conditions
from billing.pricing import MOST_COST, PriceVersion, PricingProblem

ISO_4217 = {
    "USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "TRY": 2, "JPY": 0, "KWD": 3, "INR": 2, "CAD": 2, "AUD": 2,
}  # fmt: skip
FROM = datetime(2027, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def flat(unit: int = 0, **more: object) -> PriceVersion:
    return PriceVersion(1, FROM, None, **dict.fromkeys(TOKEN_CLASSES, unit), **more)  # type: ignore[arg-type]


# -- amounts


def test_every_currency_has_the_digits_of_iso_4217() -> None:
    assert ISO_4217 == money.MINOR_DIGITS
    assert money.PICO_PER_USD == 10**12
    for currency, digits in ISO_4217.items():
        assert money.minor_digits(currency) == digits
        assert money.minor_to_pico(3, currency) == 3 * 10 ** (12 - digits)
        assert money.round_to_minor(10**12, currency) == 10**digits


@pytest.mark.parametrize("text", ["abcdefghijkl", "", "usd"])
def test_an_unknown_currency_is_refused_by_its_first_letters(text: str) -> None:
    with pytest.raises(MoneyProblem, match=f"^'{text[:8]}' is not a currency"):
        money.minor_digits(text)


def test_amounts_are_written_with_two_decimals_at_least_unless_fewer_are_asked_for() -> None:
    written = [money.usd(pico) for pico in (0, 5 * 10**12, 37_500, -1, -(10**12) - 5 * 10**11, 10**11)]
    assert written == ["0.00", "5.00", "0.0000000375", "-0.000000000001", "-1.50", "0.10"]
    assert [money.usd(10**12, least_digits=digits) for digits in (0, 1, 4)] == ["1", "1.0", "1.0000"]


def test_amounts_are_read_with_as_many_decimals_as_asked_for() -> None:
    assert money.parse_usd("0.123456789012") == 123_456_789_012
    assert (money.parse_usd("7", digits=0), money.parse_usd("7.25", digits=2)) == (7 * 10**12, 725 * 10**10)
    assert (money.parse_price("0.15"), money.parse_price("0.0375"), money.parse_price("0.000001")) == (
        150_000,
        37_500,
        1,
    )
    for text, digits in (("7.255", 2), ("7.2", 1 - 1)):
        with pytest.raises(
            MoneyProblem, match=f"'{text}' is not an amount such as 5.00 with at most {digits} decimals"
        ):
            money.parse_usd(text, digits=digits)
    with pytest.raises(MoneyProblem, match="^'" + "9" * 40 + "' is not"):
        money.parse_usd("9" * 50)
    with pytest.raises(MoneyProblem):
        money.parse_usd(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.34", "USD", 1234), ("-12.34", "USD", -1234), ("5", "USD", 500), ("5.1", "EUR", 510), ("0", "USD", 0),
        ("1234", "JPY", 1234), ("-7", "JPY", -7), ("1.234", "KWD", 1234), ("1.2", "KWD", 1200),
    ],
)  # fmt: skip
def test_minor_units_are_read_and_written(text: str, currency: str, minor: int) -> None:
    assert money.parse_minor(text, currency) == minor
    assert money.parse_minor(money.format_minor(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"), [("1.234", "USD"), ("1.2", "JPY"), ("--1", "USD"), ("", "USD"), ("1,5", "EUR"), ("+1", "USD")]
)
def test_minor_units_with_more_digits_than_the_currency_has_are_refused(text: str, currency: str) -> None:
    with pytest.raises(
        MoneyProblem, match=f"is not an amount in {currency} with at most {ISO_4217[currency]} decimals"
    ):
        money.parse_minor(text, currency)
    with pytest.raises(MoneyProblem, match="^'" + "x" * 40 + "' is not"):
        money.parse_minor("x" * 50, currency)


def test_nothing_has_no_sign() -> None:
    assert [money.format_minor(0, currency) for currency in ("USD", "JPY", "KWD")] == ["0.00", "0", "0.000"]
    assert [money.format_minor(-1234, currency) for currency in ("USD", "JPY", "KWD")] == ["-12.34", "-1234", "-1.234"]


# -- periods


@pytest.mark.parametrize("label", ["1970-12", "9001-01", "2026-13", "2026-00", "2026-1", "26-01", "٢٠٢٦-01", "x" * 30])
def test_a_text_that_is_no_month_is_refused(label: str) -> None:
    with pytest.raises(PeriodProblem, match=f"^'{label[:20]}' is not a month"):
        periods.month(label, "UTC")


@pytest.mark.parametrize("label", ["1971-01", "9000-12"])
def test_the_first_and_the_last_month_there_are(label: str) -> None:
    assert periods.month(label, "UTC").label == label


def test_a_period_holds_its_start_and_not_its_end() -> None:
    march = periods.month("2027-03", "UTC")
    assert march.end == datetime(2027, 4, 1, tzinfo=UTC)
    assert [march.holds(moment) for moment in (march.start - TICK, march.start, march.end - TICK, march.end)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not march.holds(march.end + TICK)
    assert Period(FIRST_DAY, None).holds(datetime(9999, 1, 1, tzinfo=UTC))
    assert datetime(1970, 1, 1, tzinfo=UTC) == FIRST_DAY


def test_december_is_followed_by_january() -> None:
    december = periods.month("2027-12", "UTC", 15)
    assert (december.start, december.end) == (datetime(2027, 12, 15, tzinfo=UTC), datetime(2028, 1, 15, tzinfo=UTC))
    assert periods.month_of(datetime(2028, 1, 14, tzinfo=UTC), "UTC", 15) == december
    assert periods.month_of(datetime(2028, 1, 15, tzinfo=UTC), "UTC", 15).label == "2028-01"
    assert periods.month_of(datetime(2028, 3, 1, tzinfo=UTC), "UTC", 31).label == "2028-02"
    assert periods.month_of(datetime(2028, 3, 1, tzinfo=UTC), "UTC").label == "2028-03"


def test_the_last_month_that_ended_is_the_one_before() -> None:
    assert periods.last_ended(datetime(2027, 3, 1, tzinfo=UTC), "UTC").label == "2027-02"
    assert periods.last_ended(datetime(2027, 3, 31, tzinfo=UTC), "UTC").label == "2027-02"
    assert periods.last_ended(datetime(2027, 3, 10, tzinfo=UTC), "UTC", 20).label == "2027-01"


def test_shares_of_a_period() -> None:
    april = periods.month("2027-04", "UTC")
    assert april.end is not None
    second, tenth = april.start + timedelta(days=1), april.start + timedelta(days=10)
    assert periods.share(april, second, tenth) == Fraction(9, 30)
    assert periods.share(april, None, second) == Fraction(1, 30)
    assert periods.share(april, april.end - TICK, None) == Fraction(1, (april.end - april.start) // TICK)
    outside = [(april.end, None), (None, april.start), (tenth, second), (tenth, tenth)]
    assert [periods.share(april, start, end) for start, end in outside] == [0, 0, 0, 0]
    with pytest.raises(PeriodProblem, match="no share"):
        periods.share(Period(FIRST_DAY, None), None, None)


def test_windows_of_budgets_are_days_months_and_for_ever() -> None:
    noon = datetime(2027, 3, 28, 12, tzinfo=UTC)
    day = periods.window_of("day", noon, "Europe/Paris")
    assert (day.start, day.end) == (datetime(2027, 3, 27, 23, tzinfo=UTC), datetime(2027, 3, 28, 22, tzinfo=UTC))
    assert periods.window_of("month", noon, "Europe/Paris") == periods.month("2027-03", "Europe/Paris")
    assert periods.window_of("lifetime", noon, "Europe/Paris") == Period(FIRST_DAY, None, "")


def test_a_day_whose_midnight_is_skipped_begins_at_one() -> None:
    day = periods.day_of(datetime(2027, 4, 30, 12, tzinfo=UTC), "Africa/Cairo")
    assert day.start.astimezone(ZoneInfo("Africa/Cairo")).hour == 1
    assert day.end == datetime(2027, 4, 30, 21, tzinfo=UTC)


def test_buckets_are_quarters_of_an_hour() -> None:
    moment = datetime(2027, 3, 1, 10, 44, 59, 999_999, tzinfo=UTC)
    assert periods.bucket_of(moment) == datetime(2027, 3, 1, 10, 30, tzinfo=UTC)
    assert periods.bucket_of(moment + TICK) == datetime(2027, 3, 1, 10, 45, tzinfo=UTC)
    kolkata = moment.astimezone(ZoneInfo("Asia/Kolkata"))
    assert periods.bucket_of(kolkata).isoformat() == "2027-03-01T10:30:00+00:00"


# -- prices


def test_the_dearest_cost_fits_and_one_more_does_not() -> None:
    assert MOST_COST == 2**63 - 1
    full = flat(per_request=MOST_COST)
    assert pricing.rate(Usage(), full) == MOST_COST
    assert pricing.ceiling(input_bound=0, output_bound=0, price=full) == MOST_COST
    over = flat(per_request=MOST_COST + 1)
    with pytest.raises(PricingProblem, match="cost of one request does not fit"):
        pricing.rate(Usage(), over)
    with pytest.raises(PricingProblem, match="ceiling of one request does not fit"):
        pricing.ceiling(input_bound=0, output_bound=0, price=over)


def test_each_counter_is_multiplied_with_its_own_price() -> None:
    units = {name: 10 + 3 * place for place, name in enumerate(TOKEN_CLASSES)}
    price = PriceVersion(1, FROM, None, **units, per_request=5, per_web_search=70, per_image=90)  # type: ignore[arg-type]
    counts = {name: 7 + 2 * place for place, name in enumerate(TOKEN_CLASSES)}
    wanted = sum(counts[name] * units[name] for name in TOKEN_CLASSES) + 5
    assert pricing.rate(Usage(**counts), price) == wanted
    assert pricing.rate(Usage(**counts, web_searches=3, images=4), price) == wanted + 210 + 360
    assert (price.dearest_input, price.dearest_output) == (units[PROMPT_CLASSES[-1]], units[COMPLETION_CLASSES[-1]])


def test_a_surcharge_that_is_not_sold_cannot_be_counted() -> None:
    with pytest.raises(PricingProblem, match="no price"):
        pricing.rate(Usage(web_searches=1), flat())
    with pytest.raises(PricingProblem, match="no price"):
        pricing.rate(Usage(images=1), flat())
    assert pricing.rate(Usage(output_image=3, images=1), flat(2)) == 6  # sold by their tokens


def test_what_is_affordable_is_the_highest_output_whose_ceiling_fits() -> None:
    price = flat(10, per_request=7, per_image=5)
    most = [pricing.affordable_output(most=most, input_bound=2, price=price, images=1) for most in (31, 32, 41, 42)]
    assert most == [-1, 0, 0, 1]
    free = flat(0)
    assert pricing.affordable_output(most=0, input_bound=9, price=free) == MOST_TOKENS
    long = replace(price, variants=(flat(20, variant="long", above_tokens=2),))
    found = [pricing.affordable_output(most=100, input_bound=bound, price=long) for bound in (2, 3)]
    assert found == [7, 2]


def test_versions_are_half_open_and_in_order_of_time() -> None:
    later = replace(flat(2), id=2, effective_from=FROM + timedelta(days=2))
    first = replace(flat(1), effective_to=FROM + timedelta(days=1))
    prices = pricing.PriceList.of([later, first])
    moments = [FROM - TICK, FROM, FROM + timedelta(days=1), later.effective_from - TICK, later.effective_from]
    assert [prices.at(moment) for moment in moments] == [None, first, None, None, later]
    assert prices.versions == (first, later)


def test_hours_stand_for_the_price_they_share_conditions_with() -> None:
    whole = flat(5, variant="night", hours=((60, 120),))
    over_midnight = flat(3, variant="late", hours=((1380, 30),))
    price = replace(flat(9), variants=(whole, over_midnight))
    units = [
        price.at_moment(FROM + timedelta(minutes=minute)).input for minute in (59, 60, 119, 120, 1379, 1380, 29, 30)
    ]
    assert units == [9, 5, 5, 9, 9, 3, 3, 9]
    assert price.chosen(Usage(input=1)).input == 9  # hours that are not resolved do not count


def test_only_longer_variants_of_the_same_tier_stay_possible() -> None:
    base = flat(1, variant="long", above_tokens=100)
    beside = [
        flat(2, variant="same", above_tokens=100), flat(3, variant="longer", above_tokens=101),
        flat(4, variant="flex", above_tokens=102, service_tier="flex"),
        flat(5, variant="some", above_tokens=103, hours=((0, 60),)),
    ]  # fmt: skip
    assert [one.variant for one in pricing.frozen(base, beside).variants] == ["longer"]


def test_input_and_output_need_prices_of_their_own() -> None:
    full, inherited = pricing.with_inherited({"input": 1, "output": 2, "cache_write_5m": 3})
    assert (full["cache_read"], full["cache_write_1h"], full["reasoning"]) == (1, 3, 2)
    assert "cache_write_5m" not in inherited
    assert len(inherited) == len(TOKEN_CLASSES) - 3
    for missing in ("input", "output"):
        with pytest.raises(PricingProblem, match=f"^{missing} needs a price"):
            pricing.with_inherited({name: 1 for name in ("input", "output") if name != missing})


# -- conditions


@pytest.mark.parametrize(
    "conditions",
    [
        [Conditions("x", MOST_TOKENS)],
        [Conditions("x" * 64, 1)],
        [Conditions("x", 5, "flex"), Conditions("y", 0, "flex")],
        [Conditions("x", 5, "t" * 32), Conditions("y", 0, "t" * 32)],
        [Conditions("x", hours=((0, 60),)), Conditions("y", hours=((60, 120),))],
        [Conditions("x", 5, hours=((0, 60),)), Conditions("y", 5)],
        [Conditions("x", 5, hours=((0, 60),)), Conditions("y", 6, hours=((0, 60),))],
        [Conditions("x", hours=((0, 1440),))],
        [Conditions("x", hours=((1439, 1),))],
        [Conditions("x", hours=tuple((2 * n, 2 * n + 1) for n in range(8)))],
    ],
)
def test_conditions_just_inside_their_bounds_are_taken(conditions: list[Conditions]) -> None:
    price_conditions.check(conditions)


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ([Conditions("")], "a variant has no condition"),
        ([Conditions("x")], "x has no condition"),
        ([Conditions("x" * 65, 1)], "x" * 64 + "' is no name"),
        ([Conditions("x", MOST_TOKENS + 1)], "no number of prompt tokens"),
        ([Conditions("x", -1)], "no number of prompt tokens"),
        ([Conditions("x", True)], "no number of prompt tokens"),
        ([Conditions("x", 0, "t" * 33)], "'" + "t" * 32 + "' is no service tier"),
        ([Conditions("x", 0, "auto")], "no service tier with a price"),
        ([Conditions("x", 5, "flex"), Conditions("y", 0, "flex", ((0, 60),))], "x: the tier flex needs a price"),
        ([Conditions("x", hours=((0, 1441),))], "no span of hours"),
        ([Conditions("x", hours=((1440, 10),))], "no span of hours"),
        ([Conditions("x", hours=((-1, 10),))], "no span of hours"),
        ([Conditions("x", hours=((10, -1),))], "no span of hours"),
        ([Conditions("x", hours=((10, 10),))], "00:10-00:10 is no span of hours"),
        ([Conditions("x", hours=((0, 61), (60, 70)))], "00:00-01:01, 01:00-01:10 overlap"),
        ([Conditions("x", hours=((1439, 1), (0, 5)))], "overlap"),
        ([Conditions("x", hours=tuple((2 * n, 2 * n + 1) for n in range(9)))], "at most 8 spans"),
        ([Conditions("x", hours=((0, 61),)), Conditions("y", hours=((60, 120),))], "x and y would hold at once"),
        ([Conditions("x", 5), Conditions("x", 6)], "x is there twice"),
    ],
)
def test_conditions_just_outside_are_refused_in_words(conditions: list[Conditions], said: str) -> None:
    with pytest.raises(ConditionProblem, match=said):
        price_conditions.check(conditions)


def test_names_of_variants_say_what_they_are_for() -> None:
    names = [
        price_conditions.name_of(*each) for each in ((5, "", ()), (0, "flex", ()), (5, "flex", ((0, 1),)), (0, "", ()))
    ]
    assert names == ["above-5", "flex", "flex.above-5.off-peak", ""]
    assert price_conditions.parse_hours(" 23:59 – 00:01 ") == ((1439, 1),)
    with pytest.raises(ConditionProblem, match=r"^'noon' is no span"):
        price_conditions.parse_hours("10:00-11:00, noon")


def test_variants_are_told_apart_whatever_their_order_and_names() -> None:
    price_conditions.check([Conditions("y", 5), Conditions("x", 6)])
    price_conditions.check([Conditions("y", 5), Conditions("x", 5, hours=((990, 0),))])
    with pytest.raises(ConditionProblem, match=r"^'x{64}' is no name"):
        price_conditions.check([Conditions("x" * 70, 1)])
    assert price_conditions.said_hours(((59, 61),)) == "00:59-01:01"
    assert pricing.words(flat(1, hours=((59, 61), (60, 120)))) == "00:59–01:01, 01:00–02:00 UTC"


def test_a_tier_is_this_one_and_no_other() -> None:
    flex = flat(2, variant="flex", service_tier="flex")
    price = replace(flat(9), variants=(flex,))
    assert [price.chosen(Usage(input=1), tier).input for tier in ("flex", "priority", "batch")] == [2, 9, 9]
    assert [price.sells(tier) for tier in ("flex", "priority", "batch")] == [True, False, False]
    long = flat(3, variant="long", above_tokens=50)
    assert pricing.frozen(flex, [long]).variants == ()
    assert pricing.frozen(flat(4, variant="longer", above_tokens=100), [long]).variants == ()


def test_what_costs_nothing_holds_nothing() -> None:
    free = replace(flat(0), variants=(flat(0, variant="long", above_tokens=5),))
    assert pricing.ceiling(input_bound=9, output_bound=9, price=free) == 0
    assert free.at_moment(FROM) is free
    assert pricing.affordable_output(most=0, input_bound=0, price=flat(0, per_request=1)) == -1
    assert pricing.affordable_output(most=0, input_bound=0, price=flat(1, per_image=1)) == 0


def test_prices_and_their_lists_cannot_be_changed() -> None:
    for frozen, name in ((flat(1), "input"), (pricing.PriceList(()), "versions")):
        with pytest.raises(FrozenInstanceError):
            setattr(frozen, name, 5)


def test_prices_are_whole_numbers_and_a_cent_has_its_sign() -> None:
    assert type(money.parse_price("0.15")) is int
    assert money.format_minor(-1, "USD") == "-0.01"
