"""Estimates of tokens: counted in a vocabulary, by learned factors, and the factors that holds go by."""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import Any

import orjson
import pytest

from proxy import chat, estimator, measurement, rules, snapshot, tokenizers
from proxy.dialects.shape import Answer
from proxy.directory import ModelEntry
from proxy.factors import UNLEARNED, Factors, tokens
from proxy.measurement import Side, Usual
from proxy.surfaces import SURFACES, messages_request

#: Text, and its tokens in o200k_base and cl100k_base, as OpenAI's own tokenizer counts them.
COUNTED = [
    ("", 0, 0),
    ("Hello, world!", 4, 4),
    ("The quick brown fox jumps over the lazy dog.", 10, 10),
    ("don't WON'T I'll we've", 5, 8),
    ("1234567890 + 3.14159", 10, 10),
    ("Grüße aus Zürich, ça va?", 9, 11),
    ("漢字とひらがなのテスト", 9, 12),
    ("हिन्दी में एक वाक्य", 8, 18),
    ("🎉👩‍👩‍👧‍👦 ok", 14, 22),
    ("  \n\n\t  indented\r\n\r\nlines ", 7, 7),
    ("def f(x: int) -> int:\n    return x // 2  # half\n", 19, 19),
    ('{"a": [1, 2.5, null], "b": {"c": "d"}}', 22, 22),
    ("https://example.org/a/b?c=d&e=%20#f", 14, 14),
    ("<|endoftext|>", 7, 7),
    ("a" * 1000, 125, 125),
    ("\x00\u2028\u0301x", 4, 5),
]
PICTURE = "data:image/png;base64," + base64.b64encode(bytes(600_000)).decode()


def entry(**fields: Any) -> ModelEntry:
    shape: dict[str, Any] = {"capabilities": {}, "aliases": (), "routes": (), "prices": MappingProxyType({})}
    return ModelEntry(name="m", created=0, context_window=128_000, max_output_tokens=4096, **{**shape, **fields})


def asked(*contents: Any, **more: Any) -> chat.ChatRequest:
    messages = [{"role": "user", "content": content} for content in contents]
    return chat.parse(orjson.dumps({"model": "m", "messages": messages, **more}))


@pytest.mark.parametrize(("text", "o200k", "cl100k"), COUNTED)
def test_it_counts_as_the_vocabulary_does(text: str, o200k: int, cl100k: int) -> None:
    for name, wanted in (("o200k_base", o200k), ("cl100k_base", cl100k)):
        count = tokenizers.find(name)
        assert count is not None
        assert count(text) == wanted


def test_it_counts_long_texts_in_part_and_in_proportion() -> None:
    count = tokenizers.find("o200k_base")
    assert count is not None
    read: list[int] = []

    def counting(text: str) -> int:
        read.append(len(text))
        return count(text)

    once = "The quick brown fox jumps over the lazy dog. " * 100
    assert tokenizers.counted([once] * 1000, counting) == pytest.approx(count(once) * 1000, rel=0.01)
    assert sum(read) == tokenizers.SAMPLE


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("openai/gpt-4.1-2025-04-14", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("claude-sonnet-4-5", ""),
        ("o100", ""),
        ("sandbox/echo", ""),
    ],
)
def test_it_knows_the_vocabularies_of_openais_models_by_name(model: str, name: str) -> None:
    assert tokenizers.guess(model) == name


def test_a_rule_names_the_vocabulary_or_that_there_is_none() -> None:
    assert snapshot.tokenizer_of("ours", {"tokenizer": "cl100k_base"}, "") == "cl100k_base"
    assert snapshot.tokenizer_of("ours", {}, "gpt-4o") == "o200k_base"
    assert snapshot.tokenizer_of("gpt-4o", {"tokenizer": "none"}, "gpt-4o") == ""
    with pytest.raises(rules.RuleProblem, match="one of"):
        rules.check({"tokenizer": "gpt2"})


def test_a_prompt_is_counted_by_its_text_where_the_vocabulary_is_known() -> None:
    count = tokenizers.find("o200k_base")
    assert count is not None
    text = "Ein Satz, den niemand zweimal liest. " * 50
    chat_request = asked(text, [{"type": "text", "text": text}])
    expected = 2 * (count(text) + count("user") + 3) + 3
    assert estimator.prompt_tokens(chat_request, entry(tokenizer="o200k_base")) == expected


def test_texts_and_tokens_to_embed_are_counted() -> None:
    model = entry(tokenizer="cl100k_base")
    for given, wanted in ((["Hello, world!"] * 3, 12), ([1, 2, 3, 4], 4), ([[1, 2], [3]], 3), ("Hello, world!", 4)):
        request = SURFACES["/embeddings"].parse(orjson.dumps({"model": "m", "input": given}))
        assert estimator.prompt_tokens(request, model) == wanted


def test_an_answer_without_usage_is_counted_by_its_text_and_never_above_its_limit() -> None:
    body = {"choices": [{"message": {"role": "assistant", "content": "The quick brown fox jumps over the lazy dog."}}]}
    answer, model = Answer(body, None, False, "stop", 44), entry(tokenizer="o200k_base")
    assert estimator.answer_tokens(asked("x"), model, answer, 100) == 10
    assert estimator.answer_tokens(asked("x"), model, answer, 7) == 7
    assert estimator.answer_tokens(asked("x"), entry(factors=Factors(output=5500)), answer, 100) == 8
    assert estimator.answer_tokens(asked("x"), entry(), answer, 100) == 11


def test_without_the_package_bytes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bpe_openai", None)
    tokenizers.find.cache_clear()
    try:
        model = entry(tokenizer="o200k_base", factors=Factors(input=8000))
        request = asked("Hello there")
        assert estimator.prompt_tokens(request, model) == request.size * 1000 // 8000 + 1
    finally:
        tokenizers.find.cache_clear()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "file", "file": {"file_data": PICTURE, "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
    ],
)
def test_what_is_attached_is_not_counted_as_text(part: dict[str, Any]) -> None:
    words = {"type": "text", "text": "What is this? " * 20}
    bare, laden = asked([words]), asked([words, part])
    assert laden.size > 800_000
    assert laden.attached == len(PICTURE)
    assert bare.input_estimate() < laden.input_estimate() < bare.input_estimate() + 3_100
    for model in (entry(), entry(tokenizer="o200k_base")):
        assert estimator.prompt_tokens(laden, model) < estimator.prompt_tokens(bare, model) + 3_100


def test_a_linked_picture_is_a_picture_and_its_address_text() -> None:
    linked = asked([{"type": "image_url", "image_url": {"url": "https://example.org/" + "a" * 300}}])
    assert linked.attached == 0
    assert linked.input_estimate() == linked.size // 4 + 1 + chat.LIKELY_IMAGE


def test_pictures_that_come_by_the_messages_surface_are_not_text_either() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(bytes(600_000)).decode()}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    raw = orjson.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]})
    assert messages_request.parse(raw).input_estimate() < 1_000


def test_factors_are_of_texts_and_errors_of_every_call() -> None:
    side = Side()
    for size in range(100, 5100, 100):
        assert side.add(size, size // 5, size // 4)
    assert not side.add(800_000, 1_000, 200_000)  # a picture: 800 bytes a token
    assert not side.add(100, 1_000, 25)  # a linked one: less than a byte
    assert not side.add(30_000, 1_000, 7_500)  # six times the usual
    assert not side.add(0, 5, 1)
    assert side.factor() == 5_000
    assert side.errors[:50] == [250] * 50
    assert side.errors[50] == 199_000
    assert measurement.quantile(side.errors, 50) == 250
    assert Side.restored(side.sums(), side.ratios, side.errors) == side


def test_nothing_is_told_of_few_calls() -> None:
    side, usual = Side(), Usual()
    for _ in range(measurement.LEAST_SAMPLES - 1):
        side.add(500, 100, 125)
        usual.add(70)
    assert (side.factor(), usual.mean()) == (0, 0)
    side.add(500, 100, 125)
    usual.add(71)
    assert (side.factor(), usual.mean()) == (5_000, 71)


def test_newer_calls_outweigh_older_ones() -> None:
    side = Side()
    for _ in range(measurement.WEIGHT):
        side.add(500, 100, 125)
    for _ in range(2 * measurement.WEIGHT):
        side.add(250, 100, 125)
    assert side.factor() < 2_900


def test_holds_go_by_bytes_until_enough_was_measured() -> None:
    side = Side()
    for _ in range(measurement.LEAST_FOR_HOLDS - 1):
        side.add(500, 100, 125)
    assert side.low_factor() == 0
    side.add(500, 100, 125)
    assert side.low_factor() == 4_000
    assert rules.hold_factor({}, measured=4_000) == 1_000
    assert rules.hold_factor({"hold_bytes_per_token": "measured"}, measured=4_000) == 4_000
    assert rules.hold_factor({"hold_bytes_per_token": "measured"}, measured=0) == 1_000
    assert rules.hold_factor({"hold_bytes_per_token": "2.5"}, measured=0) == 2_500
    for text in ("0.5", "much", "-1", "1e3", "", "٣"):
        with pytest.raises(rules.RuleProblem, match="at least 1"):
            rules.check({"hold_bytes_per_token": text})


def test_the_bound_of_a_hold_follows_the_factor() -> None:
    request = asked("x" * 10_000)
    assert request.input_bound(128_000) == request.size
    assert request.input_bound(128_000, 2_500) == tokens(request.size, 2_500)
    assert request.input_bound(1_000, 2_500) == 1_000


@pytest.mark.parametrize(
    ("known", "found", "told"),
    [(0, 0, False), (0, 5000, True), (5000, 5100, False), (5000, 5101, True), (100, 97, True)],
)
def test_gateways_are_told_when_a_factor_moves_by_more_than_two_percent(known: int, found: int, told: bool) -> None:
    assert measurement.moved(known, found) is told


def test_days_of_estimated_calls_add_up_and_are_forgotten() -> None:
    known = {"2026-01-01": [1, 10], "2026-02-01": [2, 20]}
    found = [("2026-02-01", 1, 5), ("2026-02-02", 3, 30)]
    assert measurement.by_day(known, found, "2026-01-15") == {"2026-02-01": [3, 25], "2026-02-02": [3, 30]}


def test_nothing_learned_is_four_bytes_a_token() -> None:
    request = asked("Hello there")
    assert entry().factors == UNLEARNED
    assert request.input_estimate(UNLEARNED.input) == request.size // 4 + 1
