"""Usage as providers report it, turned into disjoint classes: sums agree, and no token is counted twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import meters
from billing.meters import COUNTERS, Usage, UsageProblem

WINDOW = 10**7
TOKENS = st.integers(0, 2_000_000)
SMALL = st.integers(0, 10_000)
ANY = st.builds(Usage, **dict.fromkeys(COUNTERS[:-1], SMALL), images=st.just(0)).filter(
    lambda usage: sum(usage[:10]) > 0
)
"""Usage as an answer in words can report it: no images made."""
READERS = (meters.from_openai, meters.from_openai_images, meters.from_anthropic, meters.from_gemini)


def openai(**usage: object) -> Usage:
    return meters.from_openai(usage, context_window=WINDOW)


def anthropic(**usage: object) -> Usage:
    return meters.from_anthropic(usage, context_window=WINDOW)


def gemini(**usage: object) -> Usage:
    return meters.from_gemini(usage, context_window=WINDOW)


def images(**usage: object) -> Usage:
    return meters.from_openai_images(usage, context_window=WINDOW)


# -- and back


@given(ANY)
def test_invariant_3_what_is_said_in_openais_words_is_read_back_whole(usage: Usage) -> None:
    said = meters.as_openai(usage)
    assert meters.from_openai(said, context_window=WINDOW) == usage
    assert said["total_tokens"] == said["prompt_tokens"] + said["completion_tokens"] == sum(usage[:10])


@given(ANY)
def test_invariant_3_what_is_said_in_anthropics_words_keeps_every_sum_and_cache_class(usage: Usage) -> None:
    said = meters.as_anthropic(usage)
    read = meters.from_anthropic(said, context_window=WINDOW)
    assert read[1:4] == usage[1:4]
    assert (read.prompt_tokens, read.completion_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert read.web_searches == usage.web_searches
    parts = said["input_tokens"] + said["cache_creation_input_tokens"] + said["cache_read_input_tokens"]
    assert parts == usage.prompt_tokens


def test_openais_words_hold_no_more_than_there_is_to_say() -> None:
    assert meters.as_openai(Usage(input=5, cache_read=2, output=3, reasoning=1)) == {
        "prompt_tokens": 7,
        "completion_tokens": 4,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
    }


# -- OpenAI and those who widen it


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (  # DeepSeek
            {"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
            Usage(input=4, cache_read=6, output=2),
        ),
        (  # the same said twice
            {
                "prompt_tokens": 10,
                "completion_tokens": 2,
                "prompt_cache_hit_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 6},
            },
            Usage(input=4, cache_read=6, output=2),
        ),
        (  # OpenRouter
            {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "total_tokens": 196,
                "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 100, "audio_tokens": 0},
                "cost": 0.95,
                "server_tool_use": {"web_search_requests": 3},
            },
            Usage(input=44, cache_read=50, cache_write_5m=100, output=2, web_searches=3),
        ),
        (  # cache writes under two names, an hour's among them
            {
                "prompt_tokens": 100,
                "completion_tokens": 1,
                "cache_creation_input_tokens": 60,
                "cache_read_input_tokens": 30,
                "prompt_tokens_details": {
                    "cached_tokens": 30,
                    "cache_creation_tokens": 60,
                    "cache_creation_token_details": {
                        "ephemeral_5m_input_tokens": 40,
                        "ephemeral_1h_input_tokens": 20,
                    },
                },
            },
            Usage(input=10, cache_read=30, cache_write_5m=40, cache_write_1h=20, output=1),
        ),
        (  # images in and out
            {
                "prompt_tokens": 10,
                "completion_tokens": 9,
                "prompt_tokens_details": {"image_tokens": 7},
                "completion_tokens_details": {"image_tokens": 8, "reasoning_tokens": 1},
            },
            Usage(input=3, input_image=7, reasoning=1, output_image=8),
        ),
        (  # a cached picture stays with the cache
            {
                "prompt_tokens": 100,
                "completion_tokens": 1,
                "prompt_tokens_details": {"text_tokens": 20, "image_tokens": 80, "cached_tokens": 50},
            },
            Usage(cache_read=50, input_image=50, output=1),
        ),
        (  # xAI leaves reasoning out of completion_tokens
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(input=32, output=9, reasoning=94),
        ),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input=8)),  # embeddings
        ({"prompt_tokens": 8.0, "completion_tokens": 2.0}, Usage(input=8, output=2)),
        (
            {
                "prompt_tokens": 8,
                "completion_tokens": 0,
                "prompt_tokens_details": None,
                "completion_tokens_details": {"reasoning_tokens": None},
            },
            Usage(input=8),
        ),
        (
            {"prompt_tokens": 8, "completion_tokens": 2, "num_search_queries": 4},
            Usage(input=8, output=2, web_searches=4),
        ),
    ],
)
def test_it_reads_chat_as_compatible_providers_report_it(reported: dict[str, object], usage: Usage) -> None:
    assert openai(**reported) == usage


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (
            {
                "input_tokens": 50,
                "output_tokens": 4160,
                "total_tokens": 4210,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            },
            Usage(input=10, input_image=40, output_image=4160),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 30,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
                "output_tokens_details": {"text_tokens": 5, "image_tokens": 25},
            },
            Usage(input=10, output=5, output_image=25),
        ),
    ],
)
def test_it_reads_the_usage_of_images(reported: dict[str, object], usage: Usage) -> None:
    assert images(**reported) == openai(**reported) == usage


# -- Anthropic


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 1000,
                "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
                "output_tokens": 7,
                "server_tool_use": {"web_search_requests": 2},
            },
            Usage(input=10, cache_read=1000, cache_write_5m=60, cache_write_1h=40, output=7, web_searches=2),
        ),
        (
            {"input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 7, "cache_creation": None},
            Usage(input=10, cache_write_5m=100, output=7),
        ),
        (
            {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 9}, "output_tokens": 1},
            Usage(input=1, cache_write_1h=9, output=1),
        ),
        (
            {"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
            Usage(input=3, output=5, reasoning=4),
        ),
        (
            {"input_tokens": 3, "output_tokens": 0, "cache_read_input_tokens": None, "server_tool_use": None},
            Usage(input=3),
        ),
    ],
)
def test_it_reads_usage_as_anthropic_reports_it(reported: dict[str, object], usage: Usage) -> None:
    assert anthropic(**reported) == usage


# -- Gemini


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 20, "totalTokenCount": 35},
            Usage(input=10, output=5, reasoning=20),
        ),
        (  # thoughts are inside
            {"promptTokenCount": 10, "candidatesTokenCount": 25, "thoughtsTokenCount": 20, "totalTokenCount": 35},
            Usage(input=10, output=5, reasoning=20),
        ),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "candidatesTokenCount": 5,
                "totalTokenCount": 105,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 30},
                    {"modality": "IMAGE", "tokenCount": 50},
                    {"modality": "AUDIO", "tokenCount": 20},
                ],
                "cacheTokensDetails": [
                    {"modality": "IMAGE", "tokenCount": 45},
                    {"modality": "TEXT", "tokenCount": 15},
                ],
            },
            Usage(input=15, cache_read=60, input_audio=20, input_image=5, output=5),
        ),
        (  # nobody says what was cached: text first
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": 50}],
            },
            Usage(cache_read=60, input_image=40),
        ),
        (  # an image model
            {
                "promptTokenCount": 8,
                "candidatesTokenCount": 1300,
                "totalTokenCount": 1308,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
            },
            Usage(input=8, output=10, output_image=1290),
        ),
        (  # tools
            {
                "promptTokenCount": 10,
                "toolUsePromptTokenCount": 7,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 3,
                "totalTokenCount": 25,
            },
            Usage(input=17, output=5, reasoning=3),
        ),
        ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(input=10)),  # blocked, or embeddings
        ({"promptTokenCount": 10, "thoughtsTokenCount": 4, "totalTokenCount": 14}, Usage(input=10, reasoning=4)),
        ({"promptTokenCount": 4, "candidatesTokenCount": None, "promptTokensDetails": [None, {}]}, Usage(input=4)),
    ],
)
def test_it_reads_usage_as_gemini_reports_it(reported: dict[str, object], usage: Usage) -> None:
    assert gemini(**reported) == usage


@given(TOKENS, TOKENS, TOKENS, st.booleans(), st.data())
def test_invariant_3_geminis_classes_sum_to_its_total(
    prompt: int, candidates: int, thoughts: int, inside: bool, data: st.DataObject
) -> None:
    cached = data.draw(st.integers(0, prompt))
    image = data.draw(st.integers(0, prompt))
    drawn = data.draw(st.integers(0, candidates))
    total = prompt + candidates + thoughts
    reported: dict[str, object] = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": candidates + thoughts if inside else candidates,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": total,
        "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": image}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": drawn}],
    }
    if not total:
        with pytest.raises(UsageProblem):
            gemini(**reported)
        return
    usage = gemini(**reported)
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, candidates + thoughts)
    assert (usage.cache_read, usage.reasoning, usage.output_image) == (cached, thoughts, drawn)
    assert min(usage) >= 0


# -- what cannot be true


@pytest.mark.parametrize("read", READERS)
def test_invariant_3_all_zero_and_nothing_are_missing(read: Callable[..., Usage]) -> None:
    names = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "promptTokenCount")
    for reported in ({}, dict.fromkeys(names, 0), dict.fromkeys(names)):
        with pytest.raises(UsageProblem):
            read(reported, context_window=WINDOW)


@pytest.mark.parametrize(
    ("read", "reported"),
    [
        (meters.from_openai, {"prompt_tokens": 5, "completion_tokens": None}),
        (meters.from_openai, {"prompt_tokens": 5, "total_tokens": 4}),
        (meters.from_openai, {"input_tokens": 5, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 0}}),
        (meters.from_openai, {"prompt_tokens": 5, "completion_tokens": 1, "prompt_cache_hit_tokens": 6}),
        (
            meters.from_openai,
            {"prompt_tokens": 5, "completion_tokens": 1, "prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 3},
        ),
        (meters.from_openai, {"prompt_tokens": 5, "completion_tokens": 1, "cache_creation_input_tokens": 6}),
        (
            meters.from_openai,
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 3},
            },
        ),
        (
            meters.from_openai,
            {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"image_tokens": 6}},
        ),
        (
            meters.from_openai,
            {"prompt_tokens": 5, "completion_tokens": 1, "completion_tokens_details": {"image_tokens": 2}},
        ),
        (meters.from_openai, {"prompt_tokens": 5, "completion_tokens": 1, "num_search_queries": -1}),
        (
            meters.from_openai_images,
            {"input_tokens": 5, "output_tokens": 1, "output_tokens_details": {"text_tokens": 2}},
        ),
        (meters.from_openai_images, {"input_tokens": -5, "output_tokens": 1}),
        (meters.from_anthropic, {"input_tokens": -1, "output_tokens": 1}),
        (meters.from_anthropic, {"input_tokens": "1", "output_tokens": 1}),
        (meters.from_anthropic, {"input_tokens": 9 * 10**6, "cache_read_input_tokens": 10**6 + 1, "output_tokens": 1}),
        (
            meters.from_anthropic,
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_1h_input_tokens": 6},
            },
        ),
        (meters.from_anthropic, {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 6}}),
        (meters.from_gemini, {"promptTokenCount": 5, "cachedContentTokenCount": 6}),
        (meters.from_gemini, {"promptTokenCount": 2**31}),
        (meters.from_gemini, {"promptTokenCount": 5, "candidatesTokenCount": True}),
        (
            meters.from_gemini,
            {
                "promptTokenCount": 5,
                "candidatesTokenCount": 5,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 6}],
            },
        ),
    ],
)
def test_invariant_3_counts_that_cannot_be_true_are_refused(
    read: Callable[..., Usage], reported: dict[str, object]
) -> None:
    with pytest.raises(UsageProblem):
        read(reported, context_window=WINDOW)
