"""Gemini's embedContent and batchEmbedContents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.sandbox import vectors, words
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.gemini import fields, proto, rules
from proxy.sandbox.gemini.refusal import invalid
from proxy.sandbox.plans import Event, Plan
from proxy.sandbox.voices import Job

VERBS = ("embedContent", "batchEmbedContents")
DIMENSIONS, MOST_DIMENSIONS, MOST_REQUESTS = 768, 3072, 100


@dataclass(frozen=True, slots=True)
class EmbeddingVoice:
    """See Voice; embeddings are never streamed."""

    texts: tuple[str, ...]
    dimensions: tuple[int, ...]
    kind: str
    single: bool
    newline: bytes = b"\r\n"
    head: bytes = b"vary: X-Origin\r\n"

    def whole(self, plan: Plan) -> bytes:
        """The vectors and the tokens of all texts."""
        pairs = zip(self.texts, self.dimensions, strict=True)
        found = [{"values": vectors.vector(text, dimensions)} for text, dimensions in pairs]
        body: dict[str, Any] = {"embedding": found[0]} if self.single else {"embeddings": found}
        if self.kind != "no-usage":
            body["usageMetadata"] = {"promptTokenCount": plan.prompt, "totalTokenCount": plan.prompt}
        return msgspec.json.encode(body)

    def events(self, plan: Plan) -> Iterator[Event]:
        """See Voice."""
        yield Event(b"data: " + self.whole(plan))

    def ending(self) -> bytes:
        """See Voice."""
        return b""

    failing = garbage = ending


def job(body: Any, model: str, verb: str, asked: Behaviour) -> Job:
    """What to embed; raises the Refusal of a request that the real API would not take."""
    single = verb == "embedContent"
    requests = [proto.read(body, fields.EMBED)] if single else proto.read(body, fields.BATCH_EMBED).get("requests", [])
    if not requests:
        raise invalid("* BatchEmbedContentsRequest.requests: requests must not be empty\n")
    if len(requests) > MOST_REQUESTS:
        raise invalid(f"* BatchEmbedContentsRequest.requests: at most {MOST_REQUESTS} requests can be in one batch\n")
    texts, dimensions = [], []
    for index, request in enumerate(requests):
        path = "EmbedContentRequest" if single else f"BatchEmbedContentsRequest.requests[{index}]"
        named = request.get("model", "").removeprefix("models/")
        if named != model and not (single and not named):
            raise invalid(f"* {path}.model: the model must be that of the URL\n")
        if "content" not in request:
            raise invalid(f"* {path}.content: content is not specified\n")
        rules.check_content(request["content"], f"{path}.content")
        texts.append("".join(part.get("text", "") for part in request["content"]["parts"]))
        dimensions.append(int(request.get("outputDimensionality", DIMENSIONS)))
        if not 1 <= dimensions[-1] <= MOST_DIMENSIONS:
            raise invalid(f"* {path}.output_dimensionality: must be in the range [1, {MOST_DIMENSIONS}]\n")
    plan = Plan((), "stop", sum(len(words.pieces(text)) for text in texts))
    voice = EmbeddingVoice(tuple(texts), tuple(dimensions), asked.kind, single)
    return Job(model, asked, plan, False, lambda request_id: voice)
