"""Embeddings: what is asked and answered in each dialect, and through the product, billed as the sandbox counts."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import openai
import orjson
import pytest

from billing.meters import Usage
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Asked, MalformedAnswer
from proxy.errors import BadRequest, GatewayError
from proxy.sandbox import vectors
from proxy.surfaces import embeddings
from tests.proxy.gallery import Gallery

OPENAI, GEMINI = DIALECTS["embeddings", "openai"], DIALECTS["embeddings", "gemini"]
ASKED = Asked("id", "ours", include_usage=False, context_window=100, choices=2, created=7)


def parse(**body: Any) -> Any:
    return embeddings.parse(orjson.dumps({"model": "ours", "input": "Hi", **body}))


@pytest.mark.parametrize(
    ("given", "number"),
    [("Hi", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), (["x"] * 2048, 2048)],
    ids=["text", "texts", "tokens", "arrays of tokens", "as many as there may be"],
)
def test_it_counts_the_inputs(given: Any, number: int) -> None:
    parsed = parse(input=given)
    assert (parsed.choices, parsed.output_limit, parsed.operation) == (number, 0, "embeddings")
    assert parsed.input_bound(4) == min(4 * number, parsed.size)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"input": ""}, "input", "string_below_min_length"),
        ({"input": []}, "input", "empty_array"),
        ({"input": {}}, "input", "invalid_type"),
        ({"input": ["a", ""]}, "input[1]", "string_below_min_length"),
        ({"input": ["a", 1]}, "input[1]", "invalid_type"),
        ({"input": [1, "a"]}, "input[1]", "invalid_type"),
        ({"input": [1, -1]}, "input[1]", "invalid_type"),
        ({"input": [[1], []]}, "input[1]", "empty_array"),
        ({"input": [[1], [True]]}, "input[1][0]", "invalid_type"),
        ({"input": [True]}, "input[0]", "invalid_type"),
        ({"input": [None]}, "input[0]", "invalid_type"),
        ({"input": ["a"] * 2049}, "input", "array_above_max_length"),
        ({"encoding_format": "int8"}, "encoding_format", "invalid_value"),
        ({"dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"user": 7}, "user", "invalid_type"),
        ({"api_base": "x"}, "api_base", "unknown_parameter"),
    ],
)
def test_it_refuses_bad_bodies(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**body)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_openai_is_asked_under_its_own_name_beside_chat_completions() -> None:
    parsed = parse(dimensions=8, user="u", extra=1)
    call = OPENAI.call(parsed, "theirs", 0, {"drop": ["user"], "developer_role": "system", "set": {"a": 1}})
    assert call.path == "/embeddings"
    assert call.dropped == ("user",)
    assert json.loads(call.body) == {"model": "theirs", "input": "Hi", "dimensions": 8, "extra": 1, "a": 1}
    azure = {"path": "/openai/deployments/{model}/chat/completions", "query": "api-version=1"}
    assert OPENAI.call(parsed, "d/1", 0, azure).path == "/openai/deployments/d%2F1/embeddings?api-version=1"


def test_gemini_is_asked_in_a_batch() -> None:
    call = GEMINI.call(parse(input=["a", "b"], dimensions=8, user="u", encoding_format="base64"), "m", 0, {})
    assert call.path == "/v1beta/models/m:batchEmbedContents"
    assert call.dropped == ("user",)
    asked = {"model": "models/m", "outputDimensionality": 8}
    assert json.loads(call.body) == {"requests": [{**asked, "content": {"parts": [{"text": t}]}} for t in "ab"]}


@pytest.mark.parametrize("given", [[1, 2], [[1], [2]], ["a"] * 101])
def test_gemini_takes_no_tokens_and_small_batches(given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        GEMINI.call(parse(input=given), "m", 0, {})
    assert caught.value.param == "input"


def openai_body(**more: Any) -> bytes:
    rows = [{"object": "embedding", "index": 1, "embedding": [3.0]}, {"index": 0, "embedding": [1.0, 2.0]}]
    usage = {"prompt_tokens": 150, "total_tokens": 150}
    return orjson.dumps({"object": "list", "data": rows, "model": "theirs", "usage": usage, **more})


def test_answers_are_in_the_order_of_the_inputs() -> None:
    answer = OPENAI.answer(openai_body(), ASKED)
    assert answer.body == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [1.0, 2.0]},
            {"object": "embedding", "index": 1, "embedding": [3.0]},
        ],
        "model": "ours",
        "usage": {"prompt_tokens": 150, "total_tokens": 150},
    }
    assert (answer.usage, answer.reported_model) == (Usage(input=150), "theirs")


def test_base64_is_made_where_it_was_asked_for() -> None:
    wanted = ASKED._replace(encoding="base64")
    answer = OPENAI.answer(openai_body(), wanted)
    raw = base64.b64decode(answer.body["data"][0]["embedding"])
    assert struct.unpack("<2f", raw) == (1.0, 2.0)
    given = openai_body(data=[{"index": 0, "embedding": "AACAPw=="}, {"index": 1, "embedding": "AACAPw=="}])
    assert OPENAI.answer(given, wanted).body["data"][1]["embedding"] == "AACAPw=="


def test_gemini_answers_with_and_without_counts() -> None:
    body: dict[str, Any] = {"embeddings": [{"values": [1.0]}, {"values": [2.0]}]}
    answer = GEMINI.answer(orjson.dumps(body), ASKED._replace(encoding="base64"))
    assert [row["embedding"] for row in answer.body["data"]] == ["AACAPw==", "AAAAQA=="]
    assert (answer.usage, "usage" in answer.body) == (None, False)
    body["usageMetadata"] = {"promptTokenCount": 3, "totalTokenCount": 3}
    answer = GEMINI.answer(orjson.dumps(body), ASKED)
    assert (answer.usage, answer.body["usage"]["total_tokens"]) == (Usage(input=3), 3)


@pytest.mark.parametrize(
    "rows",
    [
        None,
        7,
        [],
        [{"embedding": [1.0]}],
        [7, 8],
        [{"embedding": 7}, {"embedding": [1.0]}],
        [{"embedding": ["a"]}, {"embedding": [1.0]}],
        [{"embedding": [1e300]}, {"embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": "a", "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
    ],
)
def test_what_are_no_embeddings_is_malformed(rows: Any) -> None:
    with pytest.raises(MalformedAnswer):
        OPENAI.answer(openai_body(data=rows), ASKED._replace(encoding="base64"))


@pytest.mark.parametrize("dialect", [OPENAI, GEMINI])
def test_errors_and_other_bodies_are_told_apart(dialect: Any) -> None:
    for raw in (b"<html>", b"7", b"{}"):
        with pytest.raises(MalformedAnswer):
            dialect.answer(raw, ASKED)
    with pytest.raises(GatewayError):
        dialect.answer(b'{"error":{"message":"no"}}', ASKED)
    assert dialect.failure_message(b'{"error":{"message":"no"}}').message == "no"


# -- through the product


@pytest.mark.parametrize("dialect", ["sandbox", "gemini"])
@pytest.mark.parametrize("form", [None, "float", "base64"])
@pytest.mark.timeout(120)
def test_the_sdk_gets_the_same_numbers_in_each_form(gallery: Gallery, key: str, dialect: str, form: Any) -> None:
    texts = ["one two", "å 🎉"]
    asked: dict[str, Any] = {"model": f"embed/{dialect}", "input": texts, "dimensions": 64}
    with gallery.town.client(key) as client:
        given = client.embeddings.create(**asked, **({} if form is None else {"encoding_format": form}))
    assert given.model == f"embed/{dialect}"
    assert [row.index for row in given.data] == [0, 1]
    for text, row in zip(texts, given.data, strict=True):
        vector: Any = row.embedding
        if form == "base64":
            vector = list(struct.unpack("<64f", base64.b64decode(vector)))
        assert vector == vectors.vector(text, 64)


@pytest.mark.parametrize("dialect", ["sandbox", "gemini"])
@pytest.mark.timeout(120)
def test_only_the_input_is_billed(gallery: Gallery, key: str, dialect: str) -> None:
    answer = gallery.post("/embeddings", key, model=f"embed/{dialect}", input=["one two three", "four"])
    assert answer.status_code == 200, answer.text
    event = gallery.check(answer.headers["x-request-id"])
    assert (event["operation"], event["completion_tokens"]) == ("embeddings", 0)
    usage = answer.json()["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] == event["prompt_tokens"] > 0
    assert answer.json()["cost"]["amount"] == pytest.approx(event["cost"] / 10**12)


@pytest.mark.parametrize("dialect", ["sandbox", "gemini"])
@pytest.mark.timeout(120)
def test_missing_counts_are_estimated_without_any_output(gallery: Gallery, key: str, dialect: str) -> None:
    answer = gallery.post("/embeddings", key, model=f"embed/{dialect}/uncounted", input="one two three")
    event = gallery.town.event(answer.headers["x-request-id"])
    assert (event["basis"], event["completion_tokens"]) == ("estimated", 0)
    assert answer.json()["usage"]["prompt_tokens"] == event["prompt_tokens"] > 0


@pytest.mark.timeout(120)
def test_batches_may_be_larger_than_the_context_window(gallery: Gallery, key: str) -> None:
    texts = ["word " * 1000] * 150
    answer = gallery.post("/embeddings", key, model="embed/sandbox", input=texts, dimensions=1)
    event = gallery.check(answer.headers["x-request-id"])
    assert event["prompt_tokens"] > 128_000


@pytest.mark.timeout(120)
def test_models_do_what_they_are_for(gallery: Gallery, key: str) -> None:
    with gallery.town.client(key) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="gemini/echo", input="x")
        assert caught.value.param == "model"
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="embed/sandbox", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="embed/gemini", input=[1, 2])
        assert caught.value.param == "input"


@pytest.mark.timeout(120)
def test_other_ways_to_the_same_embeddings(gallery: Gallery, key: str) -> None:
    asked = {"model": "embed/sandbox", "input": "x", "dimensions": 2}
    plain = gallery.post("/embeddings", key, **asked).json()["data"]
    enveloped = gallery.http.post("/api/v1/embeddings", json=asked, headers={"authorization": f"Bearer {key}"}).json()
    assert (enveloped["success"], enveloped["data"]["data"]) == (True, plain)
    path = "/openai/deployments/embed%2Fsandbox/embeddings?api-version=2024-10-21"
    assert gallery.http.post(path, json=asked, headers={"api-key": key}).json()["data"] == plain
