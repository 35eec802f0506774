"""The parser of the public price file: each family of fields, to the last digit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pricing_import import fields, findings, matching
from proxy.pricing_import.entry import Entry, Tier
from proxy.pricing_import.matching import Matcher, Sold
from proxy.pricing_import.proposal import Status, propose
from proxy.pricing_import.reading import PriceFileProblem, read
from tests.billing.test_no_float import floats_in

SMALL = Path(__file__).with_name("price_files") / "small.json"
PACKAGE = Path(fields.__file__).parent
CHAT = '"litellm_provider": "house", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06'


def small() -> dict[str, Entry]:
    return {entry.name: entry for entry in read(SMALL.read_bytes()).entries}


def one(members: str, base: str = CHAT) -> Entry:
    """The only entry of a file with these members."""
    return read(f'{{"m": {{{base}{", " if base else ""}{members}}}}}'.encode()).entries[0]


def told(entry: Entry, **in_force: int) -> str:
    return " ".join(findings.suspicions(entry, in_force))


@pytest.mark.parametrize(
    ("written", "micro"),
    [
        ("1.5e-07", 150_000),
        ("0.00000015", 150_000),
        ("0", 0),
        ("0.0", 0),
        ("1e-12", 1),
        ("3.75e-8", 37_500),
        ("0.0000011249700", 1_124_970),
        ("1", 10**12),
        ("2.5E-6", 2_500_000),
    ],
)
def test_it_reads_a_price_to_the_last_digit(written: str, micro: int) -> None:
    entry = one(f'"input_cost_per_token": {written}', '"mode": "chat"')
    assert entry.prices == {"input": micro}
    assert not entry.unreadable


@given(st.integers(0, 10**12))
def test_it_reads_every_price_we_can_publish(micro: int) -> None:
    text = f"{micro // 10**12}.{micro % 10**12:012d}"
    assert one(f'"input_cost_per_token": {text}', '"mode": "chat"').prices == {"input": micro}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1.23e-13", "more than 6 decimals"),
        ("8.000000000000001e-07", "more than 6 decimals"),
        ("1e-999999999", "more than 6 decimals"),
        ("-1e-06", "is not a price"),
        ("1.0000001", "more than any price"),
        ("1e999999999", "more than any price"),
        ("NaN", "is not a price"),
        ("-Infinity", "is not a price"),
        ('"1e-06"', "is not a number"),
        ('"free"', "is not a number"),
        ("true", "is not a number"),
        ("[1]", "is not a number"),
        ("{}", "is not a number"),
    ],
)
def test_it_rounds_nothing_and_guesses_nothing(written: str, said: str) -> None:
    entry = one(f'"input_cost_per_token": {written}, "output_cost_per_token": 1e-06', '"mode": "chat"')
    assert entry.prices == {"output": 10**6}
    assert [name for name, _ in entry.unreadable] == ["input_cost_per_token"]
    assert said in entry.unreadable[0][1]
    assert propose(entry, model="m", in_force=None).status == Status.NOT_UNDERSTOOD


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("cache_read_input_token_cost", "cache_read"),
        ("input_cost_per_token_cache_hit", "cache_read"),
        ("cache_creation_input_token_cost", "cache_write_5m"),
        ("cache_creation_input_token_cost_above_1hr", "cache_write_1h"),
        ("input_cost_per_audio_token", "input_audio"),
        ("output_cost_per_audio_token", "output_audio"),
        ("input_cost_per_image_token", "input_image"),
        ("output_cost_per_image_token", "output_image"),
        ("output_cost_per_reasoning_token", "reasoning"),
        ("output_cost_per_image", "per_image"),
        ("input_cost_per_request", "per_request"),
    ],
)
def test_it_knows_each_class_of_token_and_each_surcharge(field: str, name: str) -> None:
    assert one(f'"{field}": 7e-07').prices == {"input": 10**6, "output": 2 * 10**6, name: 700_000}


@pytest.mark.parametrize(
    ("ending", "above", "service_tier"),
    [
        ("_above_128k_tokens", 128_000, ""),
        ("_above_200k_tokens", 200_000, ""),
        ("_above_272k_tokens", 272_000, ""),
        ("_priority", 0, "priority"),
        ("_flex", 0, "flex"),
        ("_batches", 0, "batch"),
        ("_above_272k_tokens_priority", 272_000, "priority"),
        ("_above_200k_tokens_batches", 200_000, "batch"),
    ],
)
def test_it_knows_each_tier(ending: str, above: int, service_tier: str) -> None:
    whole = f"_{ending.rsplit('_', 1)[1]}" if service_tier else ending
    both = "".join(
        f'"input_cost_per_token{one}": 3e-06, "output_cost_per_token{one}": 4e-06, ' for one in {whole, ending}
    )
    entry = one(both.removesuffix(", "))
    assert entry.tiers[-1] == Tier({"input": 3 * 10**6, "output": 4 * 10**6}, above, service_tier)
    assert not entry.left_out


def test_a_tier_is_a_whole_price_and_says_what_it_took_from_the_base() -> None:
    entry = one('"cache_read_input_token_cost": 5e-07, "input_cost_per_token_priority": 3e-06, '
                '"output_cost_per_token_priority": 4e-06')  # fmt: skip
    assert entry.tiers[0].prices == {"input": 3 * 10**6, "output": 4 * 10**6, "cache_read": 500_000}
    assert entry.notes == ("priority: cache_read as in the base price.",)


def test_a_class_that_costs_what_its_parent_does_follows_it_into_a_tier() -> None:
    same, own = (one(f'''"output_cost_per_reasoning_token": {price}, "input_cost_per_token_priority": 3e-06,
                 "output_cost_per_token_priority": 4e-06''') for price in ("2e-06", "5e-06"))  # fmt: skip
    assert same.tiers[0].prices == {"input": 3 * 10**6, "output": 4 * 10**6}
    assert own.tiers[0].prices["reasoning"] == 5 * 10**6


def test_a_long_prompt_in_a_tier_needs_the_tier_itself() -> None:
    entry = one('"input_cost_per_token_above_200k_tokens_flex": 1e-06')
    assert entry.tiers == ()
    assert entry.left_out == ("flex, above 200,000 prompt tokens: flex has no price below that",)


def test_a_tier_that_cannot_be_read_whole_is_left_out_and_named() -> None:
    entry = one('"input_cost_per_token_flex": 5e-07, "output_cost_per_token_flex": "half"')
    assert entry.tiers == ()
    assert entry.left_out == ("flex: not all of its prices can be read",)
    assert "output_cost_per_token_flex was not taken: “half” is not a number." in told(entry)


def test_ranges_of_prompts_are_tiers_above_their_start() -> None:
    parts = [
        {"range": [0, 256000.0], "input_cost_per_token": 0.5, "output_cost_per_token": 0.25},
        {"range": [256000.0, 1e6], "input_cost_per_token": 1, "output_cost_per_token": 0.5},
    ]
    entry = one(f'"tiered_pricing": {json.dumps(parts)}', '"mode": "chat"')
    assert entry.prices == {"input": 5 * 10**11, "output": 25 * 10**10}
    assert entry.tiers == (Tier({"input": 10**12, "output": 5 * 10**11}, 256_000),)


@pytest.mark.parametrize(
    "ranges",
    [
        '[{"range": [5, 10], "input_cost_per_token": 1}]',
        '[{"range": [0, 10]}, {"range": [20, 30]}]',
        '[{"range": [0, 10], "input_cost_per_query": 0.5}]',
        '[{"max_results_range": [0, 10], "input_cost_per_query": 0.5}]',
        '[{"range": [0, "ten"]}]',
        '[{"range": [10, 5]}]',
        '["a"]',
        "[]",
        "3",
    ],
)
def test_ranges_that_mean_something_else_are_named(ranges: str) -> None:
    entry = one(f'"tiered_pricing": {ranges}')
    assert entry.tiers == ()
    assert entry.left_out[0].startswith("tiered_pricing: its ")


def test_hours_are_minutes_of_the_day() -> None:
    windows = '"windows": [{"hours_utc": ["16:30-00:30", "02:00-03:00"]}, {"hours_utc": "10:00-24:00"}]'
    entry = one(f'"off_peak_pricing": {{"input_cost_per_token": 5e-07, {windows}}}')
    hours = ((990, 30), (120, 180), (600, 0))
    assert entry.tiers == (Tier({"input": 500_000, "output": 2 * 10**6}, hours=hours),)


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ('{"hours_utc": "10:00-12:00", "weekdays": [6, 7]}', "differ by day of the week"),
        ('{"hours_utc": "25:00-26:00"}', "such as 16:30-00:30"),
        ('{"hours_utc": "10:00-10:00"}', "the whole day"),
        ('{"hours_utc": 5}', "such as 16:30-00:30"),
        ("7", "no list"),
    ],
)
def test_hours_that_cannot_be_said_are_named(window: str, said: str) -> None:
    entry = one(f'"off_peak_pricing": {{"input_cost_per_token": 5e-07, "windows": [{window}]}}')
    assert entry.tiers == ()
    assert said in entry.left_out[0]


@pytest.mark.parametrize(
    "field",
    [
        "input_cost_per_second",
        "output_cost_per_second_1080p",
        "input_cost_per_character",
        "output_cost_per_pixel",
        "ocr_cost_per_page",
        "input_cost_per_token_ultrafast",
        "input_cost_per_video_token",
        "regional_processing_uplift_multiplier_eu",
        "a_cost_nobody_has_heard_of",
    ],
)
def test_what_it_does_not_understand_it_names(field: str) -> None:
    assert one(f'"{field}": 0.5').left_out == (field,)


@pytest.mark.parametrize("field", ["source", "rpm", "supports_vision", "comment", "max_tokens"])
def test_what_is_not_about_money_it_passes_by(field: str) -> None:
    entry = one(f'"{field}": 1')
    assert (entry.left_out, entry.unreadable) == ((), ())


def test_a_search_costs_what_the_middle_size_costs() -> None:
    sizes = ", ".join(f'"search_context_size_{size}": {usd}' for size, usd in
                      (("low", "0.005"), ("medium", "0.008"), ("high", "0.014")))  # fmt: skip
    entry = one(f'"search_context_cost_per_query": {{{sizes}}}')
    assert entry.prices["per_web_search"] == 8 * 10**9
    assert "middle" in entry.notes[0]


def test_images_are_not_charged_by_the_piece_and_by_the_token() -> None:
    both = one('"output_cost_per_image": 0.04, "output_cost_per_image_token": 3e-05, "mode": "image_generation"')
    piece = small()["house-image"]
    assert "per_image" not in both.prices
    assert both.prices["output_image"] == 30 * 10**6
    assert piece.prices == {"per_image": 4 * 10**10, "input": 0, "output": 0}


def test_what_images_are_written_with_is_never_free_by_omission() -> None:
    entry = one('"input_cost_per_token": 5e-06, "output_cost_per_image_token": 4e-05', '"mode": "image_generation"')
    assert entry.prices["output"] == 40 * 10**6


@pytest.mark.parametrize("name", ["1024-x-1024/pen", "house/hd/1024-x-1792/pen", "max-x-max/50-steps/pen"])
def test_a_price_of_one_size_of_image_is_no_model(name: str) -> None:
    text = f'{{"{name}": {{"mode": "image_generation", "output_cost_per_image": 0.04}}}}'
    proposal = propose(read(text.encode()).entries[0], model="", in_force=None)
    assert proposal.status == Status.NOT_UNDERSTOOD
    assert "one size of image" in proposal.reasons[0]


def test_an_embedding_writes_nothing() -> None:
    assert small()["house-embed"].prices == {"input": 20_000, "output": 0}


def test_it_reads_limits_capabilities_and_the_end() -> None:
    entry = small()["house-large"]
    assert (entry.context_window, entry.max_output_tokens) == (200_000, 64_000)
    assert entry.capabilities == ("function_calling", "vision")
    assert "The provider retires it on 2030-01-31." in findings.notes(entry)


def test_it_skips_the_example() -> None:
    file = read(SMALL.read_bytes())
    assert "sample_spec" not in {entry.name for entry in file.entries}
    assert file.skipped == ("sample_spec",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "not JSON"),
        (b"[]", "no object of models"),
        (b"{}", "no model in it"),
        (b'{"a": 1}', "no model in it"),
        (b"<!doctype html>", "not JSON"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "number too long"),
    ],
)
def test_it_says_what_is_wrong_with_a_file_that_is_none(content: bytes, said: str) -> None:
    with pytest.raises(PriceFileProblem, match=said):
        read(content)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (
            '"input_cost_per_token_priority": 5e-05',
            "priority: input costs 50.00, and 1.00 otherwise: 50 times as much.",
        ),
        (
            '"input_cost_per_token_priority": 5e-07',
            "priority: input costs 0.50, and 1.00 otherwise: it should cost more.",
        ),
        ('"input_cost_per_token_above_200k_tokens": 5e-07', "above 200,000 prompt tokens: input costs 0.50"),
        ('"input_cost_per_token_batches": 2e-06', "batch: input costs 2.00, and 1.00 otherwise: it should cost less."),
        ('"input_cost_per_token_flex": 2e-06', "flex: input costs 2.00"),
        ('"input_cost_per_token_flex": 1e-08', "less than a tenth"),
        ('"cache_read_input_token_cost": 2e-06', "Reading from the cache (2.00) costs more than input (1.00)."),
        ('"cache_read_input_token_cost": 0', "Reading from the cache costs nothing"),
        ('"cache_creation_input_token_cost": 1.25e-05', "Writing to the cache (12.50) costs 12 times input."),
        ('"output_cost_per_token": 1e-07', "Output (0.10) costs less than half of input (1.00)."),
        ('"output_cost_per_token": 0', "Output costs nothing"),
        ('"input_cost_per_token": 0', "Input costs nothing"),
        ('"input_cost_per_token": 0, "output_cost_per_token": 0', "not known to be free"),
        ('"output_cost_per_token": 0.003', "Output (3000.00) costs 3,000 times input"),
        ('"output_cost_per_token": 0.003', "output costs 3000.00 USD per 1M tokens."),
        ('"max_input_tokens": 10, "max_output_tokens": 20', "It would write 20 tokens, but reads at most 10."),
        ('"cache_read_input_token_cost": "none"', "cache_read_input_token_cost was not taken"),
        ('"cache_read_input_token_cost": 1e-07, "input_cost_per_token_cache_hit": 2e-07', "it is not the price of"),
        ('"source": "a", "source": "b"', "source was not taken: it is there twice."),
    ],
)
def test_it_suspects_known_mistakes_and_says_why(members: str, said: str) -> None:
    kept = [part for part in CHAT.split(", ") if part.split(":")[0] + ":" not in members]
    entry = one(members, ", ".join(kept))
    assert said in told(entry)
    assert propose(entry, model="m", in_force=None).status == Status.SUSPICIOUS


def test_it_suspects_nothing_of_a_sound_price() -> None:
    entries = small()
    for name in ("house-large", "house-mini", "house-embed", "house-image", "elsewhere/house-mini"):
        assert told(entries[name]) == ""


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (10**9 + 10**6, "the price in force is 1,001 times that"),
        (10**3, "1,000 times the price in force"),
        (0, "it was free"),
        (11 * 10**6, "the price in force is 11 times that"),
        (10 * 10**6, ""),
        (10**5, ""),
        (10**6, ""),
    ],
)
def test_it_suspects_jumps_beyond_tenfold(before: int, said: str) -> None:
    found = told(one('"rpm": 1'), input=before)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("inside", ["", '"x": {%s}'])
def test_a_long_file_takes_no_longer_for_its_length_squared(inside: str) -> None:
    names = ", ".join(f'"m{index}": {{{CHAT}}}' for index in range(30_000))
    twins = f'{names}, "m0": {{{CHAT}}}'
    content = f'{{"m": {{{CHAT}, {inside % twins}}}}}' if inside else f"{{{twins}}}"
    assert len(read(content.encode()).entries) == (1 if inside else 30_000)


def test_it_suspects_names_that_differ_in_case_and_names_that_are_there_twice() -> None:
    content = f'{{"Twin": {{{CHAT}}}, "twin": {{{CHAT}}}, "again": {{{CHAT}}}, "again": {{{CHAT}}}}}'
    found = {entry.name: told(entry) for entry in read(content.encode()).entries}
    assert found == {name: f"The file has this model more than once: {other}."
                     for name, other in (("Twin", "twin"), ("twin", "Twin"), ("again", "again"))}  # fmt: skip


@pytest.mark.parametrize(
    ("sold", "expected"),
    [
        (Sold("swift", (), (("house", "house-mini"),)), "house-mini"),
        (Sold("swift", (), (("elsewhere", "house-mini"),)), "elsewhere/house-mini"),
        (Sold("house-mini", (), (("elsewhere", "hm-1"),)), "elsewhere/house-mini"),
        (Sold("house-mini", (), (("nobody", "house-mini"),)), None),
        (Sold("house-mini", (), (("", "hm-1"),)), "house-mini"),
        (Sold("swift", ("anyone/house-mini",), ()), "house-mini"),
        (Sold("swift", (), (("", "x"), ("house", "house-large"))), "house-large"),
        (Sold("swift", (), ()), None),
    ],
)
def test_it_finds_the_entry_of_a_model_by_its_provider(sold: Sold, expected: str | None) -> None:
    entry = Matcher(small().values()).entry_for(sold)
    assert (entry.name if entry else None) == expected


@pytest.mark.parametrize(
    ("url", "like", "name", "expected"),
    [
        ("https://api.openai.com/v1", "", "mine", "openai"),
        ("https://acme.openai.azure.com/openai", "", "mine", "azure"),
        ("https://llm.acme.test/v1", "deepseek", "mine", "deepseek"),
        ("https://llm.acme.test/v1", "", "together-ai", "together_ai"),
        ("https://api.openai.com.evil.test/v1", "", "mine", ""),
        ("https://llm.acme.test/v1", "", "mine", ""),
    ],
)
def test_it_knows_providers_by_their_hosts(url: str, like: str, name: str, expected: str) -> None:
    known = {"openai", "azure", "deepseek", "together_ai"}
    assert matching.provider_of(base_url=url, like=like, name=name, known=known) == expected


@pytest.mark.parametrize(
    "path", sorted({*PACKAGE.glob("*.py")} - {PACKAGE / "fetching.py"}), ids=lambda path: path.name
)
def test_no_float_comes_near_these_prices(path: Path) -> None:
    """Decimal is what the parser of JSON makes, and digits are all that is taken from it."""
    allowed = {"fields.py": {"exact", "whole"}, "reading.py": {"_document"}}.get(path.name, set())
    found = [hit for hit in floats_in(path.read_text()) if not (hit[2] == "Decimal" and hit[0] in allowed)]
    assert found == []
