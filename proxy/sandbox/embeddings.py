"""OpenAI's ``/v1/embeddings``: texts and token arrays, as floats or in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.sandbox import failures, vectors, words
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.plans import Event, Plan
from proxy.sandbox.voices import Job, Refusal

DIMENSIONS, MOST_DIMENSIONS, MOST_INPUTS = 1536, 3072, 2048


@dataclass(frozen=True, slots=True)
class EmbeddingVoice:
    """See Voice; embeddings are never streamed."""

    model: str
    texts: tuple[str, ...]
    dimensions: int
    packed: bool
    kind: str
    newline: bytes = b"\n"
    head: bytes = b""

    def whole(self, plan: Plan) -> bytes:
        """The list of vectors and the usage."""
        data = [
            {"object": "embedding", "index": index, "embedding": self._vector(text)}
            for index, text in enumerate(self.texts)
        ]
        body: dict[str, Any] = {"object": "list", "data": data, "model": self.model}
        if self.kind != "no-usage":
            body["usage"] = {"prompt_tokens": plan.prompt, "total_tokens": plan.prompt}
        return msgspec.json.encode(body)

    def events(self, plan: Plan) -> Iterator[Event]:
        """See Voice."""
        yield Event(b"data: " + self.whole(plan))

    def ending(self) -> bytes:
        """See Voice."""
        return b""

    failing = garbage = ending

    def _vector(self, text: str) -> list[float] | str:
        numbers = vectors.vector(text, self.dimensions)
        return base64.b64encode(vectors.packed(numbers)).decode() if self.packed else numbers


def job(body: dict[str, Any], model: str, asked: Behaviour) -> Job:
    """What to embed; a token array is a text of its numbers, and costs as many tokens as it has."""
    texts, tokens = _inputs(body.get("input"))
    dimensions, form = body.get("dimensions", DIMENSIONS), body.get("encoding_format", "float")
    if type(dimensions) is not int or not 1 <= dimensions <= MOST_DIMENSIONS:
        raise _refused(f"Invalid value for 'dimensions': must be between 1 and {MOST_DIMENSIONS}.", "dimensions")
    if form not in ("float", "base64"):
        raise _refused(f"Invalid value: '{form}'. Supported values are: 'float' and 'base64'.", "encoding_format")
    voice = EmbeddingVoice(model, texts, dimensions, form == "base64", asked.kind)
    return Job(model, asked, Plan((), "stop", tokens), False, lambda request_id: voice, str(body.get("user") or ""))


def _inputs(given: Any) -> tuple[tuple[str, ...], int]:
    """The texts and the tokens of all of them."""
    items = given if type(given) is list and not _is_tokens(given) else [given]
    if not 1 <= len(items) <= MOST_INPUTS:
        raise _refused("'$.input' is invalid.", "input")
    total = 0
    texts = []
    for item in items:
        if type(item) is str and item:
            total += len(words.pieces(item))
            texts.append(item)
        elif _is_tokens(item):
            total += len(item)
            texts.append(" ".join(map(str, item)))
        else:
            raise _refused("'$.input' is invalid. Please check the API reference.", "input")
    return tuple(texts), total


def _is_tokens(value: Any) -> bool:
    return type(value) is list and bool(value) and all(type(token) is int and token >= 0 for token in value)


def _refused(message: str, param: str) -> Refusal:
    return Refusal(failures.refused(400, message, "invalid_value", param))
