"""OpenAI's ``/v1/images/generations``, as its image models answer it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.sandbox import failures, pictures, words
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.plans import Event, Plan
from proxy.sandbox.voices import Job, Refusal

FIELDS = frozenset(
    (
        *("model", "prompt", "n", "size", "quality", "background", "moderation", "output_format", "user"),
        *("output_compression", "partial_images", "stream", "safety_identifier"),
    )
)
SIZES = ("auto", "1024x1024", "1536x1024", "1024x1536")
#: quality → tokens of one square picture
TOKENS = {"low": 272, "medium": 1056, "high": 4160, "auto": 1056}
MOST = 10


@dataclass(frozen=True, slots=True)
class ImagesVoice:
    """See Voice; whole answers only."""

    size: str
    quality: str
    created: int
    kind: str
    newline: bytes = b"\n"
    head: bytes = b""

    def whole(self, plan: Plan) -> bytes:
        """The pictures, and tokens in and out by what they are."""
        body: dict[str, Any] = {
            "created": self.created,
            "background": "opaque",
            "data": [{"b64_json": pictures.PNG_BASE64}] * plan.images,
            "output_format": "png",
            "quality": "medium" if self.quality == "auto" else self.quality,
            "size": "1024x1024" if self.size == "auto" else self.size,
            "usage": {
                "input_tokens": plan.prompt,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": plan.prompt},
                "output_tokens": plan.completion,
                "output_tokens_details": {"image_tokens": plan.drawn, "text_tokens": 0},
                "total_tokens": plan.prompt + plan.completion,
            },
        }
        if self.kind == "no-usage":
            del body["usage"]
        return msgspec.json.encode(body)

    def events(self, plan: Plan) -> Iterator[Event]:
        """See Voice."""
        yield Event(b"data: " + self.whole(plan))

    def ending(self) -> bytes:
        """See Voice."""
        return b""

    failing = garbage = ending


def job(body: dict[str, Any], model: str, asked: Behaviour, created: int) -> Job:
    """What to draw; the tokens of a picture are the model's first number, or what its quality costs."""
    for name in body.keys() - FIELDS:
        raise _refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    prompt, count = body.get("prompt"), body.get("n") or 1
    size, quality = body.get("size") or "auto", body.get("quality") or "auto"
    if type(prompt) is not str or not prompt:
        raise _refused("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    if type(count) is not int or not 1 <= count <= MOST:
        raise _refused(f"Invalid 'n': integer must be between 1 and {MOST}.", "n", "integer_above_max_value")
    if size not in SIZES:
        raise _refused(f"Invalid value: '{size}'. Supported values are: {', '.join(SIZES)}.", "size", "invalid_value")
    if quality not in TOKENS:
        raise _refused(f"Invalid value: '{quality}'.", "quality", "invalid_value")
    tokens = asked.first if asked.kind == "image" else TOKENS[quality]
    plan = Plan((), "stop", len(words.pieces(prompt)), images=count, image_tokens=tokens)
    voice = ImagesVoice(size, quality, created, asked.kind)
    return Job(model, asked, plan, False, lambda request_id: voice, str(body.get("user") or ""))


def _refused(message: str, param: str, code: str) -> Refusal:
    return Refusal(failures.refused(400, message, code, param))
