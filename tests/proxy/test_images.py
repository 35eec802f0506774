"""Images: what is asked and answered in each dialect, and through the product, billed as the sandbox counts."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai
import orjson
import pytest

from billing import pricing
from billing.meters import Usage
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Asked, MalformedAnswer
from proxy.errors import BadRequest
from proxy.surfaces import images
from tests.proxy.gallery import PICO_PER_IMAGE, Gallery
from tests.proxy.town import bearer

OPENAI, GEMINI = DIALECTS["images", "openai"], DIALECTS["images", "gemini"]
ASKED = Asked("id", "ours", include_usage=False, context_window=10_000, choices=2, created=7)
PNG = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}


def parse(**body: Any) -> Any:
    return images.parse(orjson.dumps({"model": "ours", "prompt": "A cat", **body}))


def test_it_counts_the_images() -> None:
    parsed = parse(n=3, stream=False)
    assert (parsed.choices, parsed.images, parsed.operation, parsed.stream) == (3, 3, "images", False)
    assert "stream" not in parsed.body
    assert parse().images == 1


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": ""}, "prompt", "string_below_min_length"),
        ({"prompt": ["a"]}, "prompt", "invalid_type"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 11}, "n", "integer_above_max_value"),
        ({"stream": True}, "stream", "unsupported_value"),
        ({"partial_images": 1}, "partial_images", "unsupported_parameter"),
        ({"response_format": "png"}, "response_format", "invalid_value"),
        ({"output_compression": 101}, "output_compression", "integer_above_max_value"),
        ({"base_url": "x"}, "base_url", "unknown_parameter"),
    ],
)
def test_it_refuses_bad_bodies(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**body)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_openai_is_asked_under_its_own_name() -> None:
    call = OPENAI.call(parse(n=2, quality="low"), "theirs", 9, {"drop": ["quality"]})
    assert (call.path, call.dropped) == ("/images/generations", ("quality",))
    assert json.loads(call.body) == {"model": "theirs", "prompt": "A cat", "n": 2}


@pytest.mark.parametrize(
    ("body", "config"),
    [
        ({}, {}),
        ({"size": "auto"}, {}),
        ({"size": "1536x1024"}, {"imageConfig": {"aspectRatio": "3:2"}}),
        (
            {"size": "1x1", "aspect_ratio": "21:9", "image_size": "4K"},
            {"imageConfig": {"aspectRatio": "21:9", "imageSize": "4K"}},
        ),
        ({"n": 2}, {"candidateCount": 2}),
    ],
)
def test_gemini_is_asked_for_nothing_but_images(body: dict[str, Any], config: dict[str, Any]) -> None:
    call = GEMINI.call(parse(**body), "m", 9, {})
    assert call.path == "/v1beta/models/m:generateContent"
    assert json.loads(call.body) == {
        "contents": [{"role": "user", "parts": [{"text": "A cat"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"], "maxOutputTokens": 9, **config},
    }


def test_gemini_names_what_it_drops_and_refuses_other_sizes() -> None:
    call = GEMINI.call(parse(quality="hd", user="u", response_format="b64_json"), "m", 9, {})
    assert call.dropped == ("quality", "user")
    assert GEMINI.call(parse(response_format="url"), "m", 9, {}).dropped == ("response_format",)
    with pytest.raises(BadRequest) as caught:
        GEMINI.call(parse(size="7x7"), "m", 9, {})
    assert caught.value.param == "size"
    with pytest.raises(BadRequest) as caught:
        GEMINI.call(parse(n=2), "m", 9, {"most": {"n": 1}})
    assert caught.value.param == "n"


def test_images_of_openai_are_counted_with_and_without_tokens() -> None:
    body: dict[str, Any] = {"data": [{"url": "https://x.test/1"}, {"url": "https://x.test/2"}]}
    answer = OPENAI.answer(orjson.dumps(body), ASKED)
    assert answer.body == {**body, "created": 7}
    assert answer.usage == Usage(images=2)
    usage = {"input_tokens": 5, "output_tokens": 90, "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}
    answer = OPENAI.answer(orjson.dumps({**body, "created": 1, "usage": usage}), ASKED)
    assert answer.usage == Usage(input=5, output_image=90, images=2)
    assert answer.body["created"] == 1


def gemini_body(*parts: dict[str, Any], **more: Any) -> bytes:
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 90, "totalTokenCount": 95}
    details = [{"modality": "IMAGE", "tokenCount": 88}]
    candidates = [{"content": {"parts": list(parts)}, "finishReason": "STOP"}]
    return orjson.dumps(
        {"candidates": candidates, "usageMetadata": {**counts, "candidatesTokensDetails": details}, **more}
    )


def test_images_of_gemini_are_data_and_counted() -> None:
    answer = GEMINI.answer(gemini_body({"text": "Here"}, PNG, PNG), ASKED)
    assert answer.usage == Usage(input=5, output=2, output_image=88, images=2)
    assert answer.body == {
        "created": 7,
        "data": [{"b64_json": "AAAA"}, {"b64_json": "AAAA"}],
        "usage": {
            "input_tokens": 5,
            "output_tokens": 90,
            "total_tokens": 95,
            "input_tokens_details": {"text_tokens": 5, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 2, "image_tokens": 88},
        },
    }


def test_what_gemini_refused_to_draw_is_billed_and_empty() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}
    answer = GEMINI.answer(orjson.dumps(blocked), ASKED)
    assert (answer.body["data"], answer.usage) == ([], Usage(input=5))


@pytest.mark.parametrize("dialect", [OPENAI, GEMINI])
@pytest.mark.parametrize("raw", [b"<html>", b"7", b"{}", b'{"data":7}'])
def test_what_are_no_images_is_malformed(dialect: Any, raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        dialect.answer(raw, ASKED)


def test_images_are_sold_by_the_piece_or_by_their_tokens() -> None:
    classes = dict.fromkeys(("cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "input_image"), 0)
    outs = dict.fromkeys(("reasoning", "output_audio"), 0)
    base: dict[str, Any] = {**classes, **outs, "input": 1, "output": 10, "output_image": 30}
    moment: Any = None
    by_token = pricing.PriceVersion(1, moment, None, **base)
    by_piece = pricing.PriceVersion(1, moment, None, **base, per_image=1000)
    used = Usage(input=5, output_image=88, images=2)
    assert pricing.rate(used, by_token) == 5 + 88 * 30
    assert pricing.rate(used, by_piece) == 5 + 88 * 30 + 2000
    assert pricing.rate(Usage(images=2), by_piece) == 2000
    with pytest.raises(pricing.PricingProblem):
        pricing.rate(Usage(images=2), by_token)


# -- through the product


@pytest.mark.parametrize("dialect", ["sandbox", "gemini"])
@pytest.mark.timeout(120)
def test_the_sdk_gets_pictures_billed_by_their_tokens(gallery: Gallery, key: str, dialect: str) -> None:
    with gallery.town.client(key) as client:
        raw = client.images.with_raw_response.generate(model=f"draw/{dialect}", prompt="A cat", size="1536x1024")
        drawn = raw.parse()
    [picture] = drawn.data or []
    assert base64.b64decode(picture.b64_json or "").startswith(b"\x89PNG")
    event = gallery.check(raw.headers["x-request-id"])
    assert (event["operation"], event["output_image"], event["images"]) == ("images", 700, 1)
    assert drawn.usage is not None
    assert (drawn.usage.input_tokens, drawn.usage.output_tokens) == (event["prompt_tokens"], 700)


@pytest.mark.timeout(120)
def test_several_pictures_without_counts_are_sold_by_the_piece(gallery: Gallery, key: str) -> None:
    answer = gallery.post("/images/generations", key, model="draw/piece", prompt="A cat", n=3)
    assert len(answer.json()["data"]) == 3
    event = gallery.town.event(answer.headers["x-request-id"])
    assert (event["basis"], event["images"], event["cost"]) == ("exact", 3, 3 * PICO_PER_IMAGE)


@pytest.mark.timeout(120)
def test_a_budget_that_the_pictures_could_exceed_refuses_them(gallery: Gallery) -> None:
    key = gallery.town.key("--budget", "0.20")
    assert gallery.post("/images/generations", key, model="draw/piece", prompt="A cat", n=1).status_code == 200
    refused = gallery.post("/images/generations", key, model="draw/piece", prompt="A cat", n=10)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")


@pytest.mark.timeout(120)
def test_a_cap_that_the_pictures_could_exceed_refuses_them(gallery: Gallery, key: str) -> None:
    asked = {"model": "draw/sandbox", "prompt": "A cat"}
    for cap, status in (("0.01", 400), ("10", 200)):
        headers = {**bearer(key), "x-max-cost": cap}
        answer = gallery.http.post("/v1/images/generations", json=asked, headers=headers)
        assert answer.status_code == status, answer.text


@pytest.mark.timeout(120)
def test_chat_models_draw_only_in_chat(gallery: Gallery, key: str) -> None:
    with gallery.town.client(key) as client, pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="draw/both", prompt="A cat")
    assert caught.value.param == "model"
