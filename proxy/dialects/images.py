"""Images from upstreams: OpenAI's ``/images/generations``, and Gemini's image models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy import parameters
from proxy.chat import ChatRequest
from proxy.dialects import failures, gemini, gemini_answer, gemini_request, openai_answer
from proxy.dialects.embeddings import besides_chat, sibling_path
from proxy.dialects.gemini_answer import PICTURE_SIZE
from proxy.dialects.openai import bend
from proxy.dialects.shape import OPENAI, Answer, AnswerStream, Asked, FailureMessage, MalformedAnswer, UpstreamCall
from proxy.operation_parameters import IMAGES_CHECKS
from proxy.parameters import bad

SHAPES = {
    "256x256": "1:1",
    "512x512": "1:1",
    "1024x1024": "1:1",
    "1536x1024": "3:2",
    "1024x1536": "2:3",
    "1792x1024": "16:9",
    "1024x1792": "9:16",
}
"""OpenAI's sizes as the aspect ratios that Gemini takes."""


class OpenAIImages:
    """``/images/generations`` of OpenAI and everybody compatible with it."""

    speaks = OPENAI

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The client's parameters under the upstream's model name. Nothing limits the tokens of an image."""
        body = {**chat.body, "model": upstream_model}
        dropped = bend(body, besides_chat(rules))
        path = sibling_path(rules, upstream_model, "/images/generations")
        return UpstreamCall(path, orjson.dumps(body), dropped=dropped)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """The upstream's own; its images are counted, whatever it says of tokens."""
        body = openai_answer.decoded(raw)
        rows = body.get("data")
        if type(rows) is not list:
            raise MalformedAnswer("no data")
        if type(body.get("created")) is not int:
            body["created"] = asked.created
        usage, ignored = openai_answer.read_usage(body.get("usage"), asked.context_window * asked.choices)
        return _answer(body, (usage or Usage())._replace(images=len(rows)), ignored, "")

    def stream(self, asked: Asked) -> AnswerStream:
        """Never asked for."""
        raise NotImplementedError

    def failure_message(self, raw: bytes) -> FailureMessage:
        """See proxy/dialects/failures.py."""
        return failures.message_of(raw)


class GeminiImages:
    """generateContent, of nothing but images."""

    speaks = OPENAI

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """A prompt. Several images are several candidates, which Gemini refuses where a model makes one at a time."""
        body = dict(chat.body)
        bent = bend(body, {**besides_chat(rules), "set": {}})
        config = {
            "responseModalities": ["IMAGE"],
            **gemini_request.drawing({"aspect_ratio": shape_of(body), "image_size": body.get("image_size")}),
            "maxOutputTokens": output_limit,
        }
        if chat.choices > 1:
            config["candidateCount"] = chat.choices
        whole = {
            "contents": [{"role": "user", "parts": [{"text": body["prompt"]}]}],
            "generationConfig": config,
        }
        dropped = [*bent, *parameters.sift(body, "gemini", IMAGES_CHECKS)]
        if body.get("response_format") == "b64_json":
            dropped.remove("response_format")
        path = gemini.path_of(rules, upstream_model, "generateContent")
        return UpstreamCall(path, orjson.dumps(gemini.with_set(whole, rules)), dropped=tuple(dropped))

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """``{"created", "data": [{"b64_json"}], "usage"}``; what was refused or only talked about is no data."""
        body = gemini_answer.decoded(raw)
        candidates = gemini_answer.candidates_of(body)
        if not candidates and not gemini_answer.blocked(body):
            raise MalformedAnswer("no candidates")
        reading = gemini_answer.Reading(asked.answer_id)
        rows = []
        for place, candidate in enumerate(candidates):
            delta, _ = reading.delta(gemini_answer.parts_of(candidate), place)
            rows += [{"b64_json": image["image_url"]["url"].partition(",")[2]} for image in delta.get("images", ())]
        window = asked.context_window * asked.choices
        usage, ignored = gemini_answer.read_usage(body.get("usageMetadata"), window, len(rows))
        made: dict[str, Any] = {"created": asked.created, "data": rows}
        if usage is not None:
            made["usage"] = as_openai_images(usage)
        reported = gemini_answer.reported_model(body)
        return _answer(made, usage or Usage(images=len(rows)), ignored, reported)

    def stream(self, asked: Asked) -> AnswerStream:
        """Never asked for."""
        raise NotImplementedError

    def failure_message(self, raw: bytes) -> FailureMessage:
        """See proxy/dialects/gemini.py."""
        return gemini.failure_message(raw)


def shape_of(body: dict[str, Any]) -> str | None:
    """The aspect ratio that was asked for, or that of a size; raises BadRequest for a size that Gemini has not."""
    size = body.get("size", "auto")
    if "aspect_ratio" in body or size == "auto":
        return body.get("aspect_ratio")
    if size not in SHAPES:
        message = f"This model takes these sizes: {', '.join(SHAPES)}; or 'aspect_ratio' and 'image_size'."
        raise bad(message, "unsupported_value", "size")
    return SHAPES[size]


def as_openai_images(usage: Usage) -> dict[str, Any]:
    """The counts in the words of OpenAI's images."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    details = {"text_tokens": prompt - usage.input_image, "image_tokens": usage.input_image}
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
        "input_tokens_details": details,
        "output_tokens_details": {
            "text_tokens": completion - usage.output_image,
            "image_tokens": usage.output_image,
        },
    }


def _answer(body: dict[str, Any], usage: Usage, ignored: bool, reported: str) -> Answer:
    """Images count as text of a usual one's tokens, where no price is by the image and no tokens were counted."""
    nothing = usage == meters.NOTHING
    size = usage.images * PICTURE_SIZE
    return Answer(body, None if nothing else usage, ignored, "stop", size, reported_model=reported)
