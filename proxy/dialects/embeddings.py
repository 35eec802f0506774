"""Embeddings of upstreams: OpenAI's, and Gemini's batchEmbedContents."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from proxy import parameters
from proxy.chat import ChatRequest
from proxy.dialects import failures, gemini, gemini_answer, openai_answer
from proxy.dialects.openai import bend, path_of
from proxy.dialects.shape import OPENAI, Answer, AnswerStream, Asked, FailureMessage, MalformedAnswer, UpstreamCall
from proxy.operation_parameters import EMBEDDINGS_CHECKS
from proxy.parameters import bad

CHAT_PATH = "/chat/completions"
MOST_IN_BATCH = 100
OF_CHAT = frozenset({"path", "stream_usage", "developer_role", "forced_tool_choice", "max_tokens_param"})
"""Rules that are about chat completions alone."""


class OpenAIEmbeddings:
    """``/embeddings`` of OpenAI and everybody compatible with it."""

    speaks = OPENAI

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The client's parameters under the upstream's model name."""
        body = {**chat.body, "model": upstream_model}
        dropped = bend(body, besides_chat(rules))
        return UpstreamCall(sibling_path(rules, upstream_model, "/embeddings"), orjson.dumps(body), dropped=dropped)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """The vectors in the order of the inputs; base64 is made here where it was asked for and not given."""
        body = openai_answer.decoded(raw)
        rows = body.get("data")
        if type(rows) is not list or any(type(row) is not dict for row in rows):
            raise MalformedAnswer("no data")
        places = [row.get("index", place) for place, row in enumerate(rows)]
        if sorted(place for place in places if type(place) is int) != list(range(asked.choices)):
            raise MalformedAnswer("not as many embeddings as inputs")
        vectors = [row.get("embedding") for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0])]
        usage, ignored = openai_answer.read_usage(body.get("usage"), asked.context_window * asked.choices)
        reported = body.get("model")
        return _answer(vectors, asked, usage, ignored, reported if type(reported) is str else "")

    def stream(self, asked: Asked) -> AnswerStream:
        """Never asked for."""
        raise NotImplementedError

    def failure_message(self, raw: bytes) -> FailureMessage:
        """See proxy/dialects/failures.py."""
        return failures.message_of(raw)


class GeminiEmbeddings:
    """``:batchEmbedContents``, of texts only."""

    speaks = OPENAI

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """One request for each text; raises BadRequest for tokens, and for more texts than go into a batch."""
        body = dict(chat.body)
        bent = bend(body, {**besides_chat(rules), "set": {}})
        given = body["input"]
        texts = [given] if type(given) is str else given
        if type(texts[0]) is not str:
            raise bad("This model takes texts, not tokens.", "unsupported_value", "input")
        if len(texts) > MOST_IN_BATCH:
            raise bad(f"This model takes up to {MOST_IN_BATCH} inputs at once.", "unsupported_value", "input")
        shared: dict[str, Any] = {"model": "models/" + upstream_model.removeprefix("models/")}
        if "dimensions" in body:
            shared["outputDimensionality"] = body["dimensions"]
        asked = {"requests": [{**shared, "content": {"parts": [{"text": text}]}} for text in texts]}
        dropped = (*bent, *parameters.sift(body, "gemini", EMBEDDINGS_CHECKS))
        path = gemini.path_of(rules, upstream_model, "batchEmbedContents")
        return UpstreamCall(path, orjson.dumps(asked), dropped=dropped)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """The vectors in the order of the inputs; older models count no tokens."""
        body = gemini_answer.decoded(raw)
        rows = body.get("embeddings")
        if type(rows) is not list or len(rows) != asked.choices or any(type(row) is not dict for row in rows):
            raise MalformedAnswer("not as many embeddings as inputs")
        usage, ignored = gemini_answer.read_usage(body.get("usageMetadata"), asked.context_window * asked.choices, 0)
        return _answer([row.get("values") for row in rows], asked, usage, ignored, gemini_answer.reported_model(body))

    def stream(self, asked: Asked) -> AnswerStream:
        """Never asked for."""
        raise NotImplementedError

    def failure_message(self, raw: bytes) -> FailureMessage:
        """See proxy/dialects/gemini.py."""
        return gemini.failure_message(raw)


def besides_chat(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The rules that other operations than chat heed: what is dropped, refused, capped, renamed and set."""
    return {name: rule for name, rule in rules.items() if name not in OF_CHAT}


def sibling_path(rules: Mapping[str, Any], upstream_model: str, usual: str) -> str:
    """The path beside that of chat completions, where a rule says that this is an unusual one."""
    path = str(rules.get("path", ""))
    beside = {"path": path.removesuffix(CHAT_PATH) + usual} if path.endswith(CHAT_PATH) else {}
    return path_of({**{name: rule for name, rule in rules.items() if name != "path"}, **beside}, upstream_model, usual)


def base64_of(vector: list[Any]) -> str:
    """A vector as base64 of little-endian single precision; raises MalformedAnswer for what is none."""
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError):
        raise MalformedAnswer("an embedding that is no vector") from None


def _answer(vectors: list[Any], asked: Asked, usage: Any, ignored: bool, reported: str) -> Answer:
    if any(type(vector) not in (list, str) for vector in vectors):
        raise MalformedAnswer("an embedding that is no vector")
    if asked.encoding == "base64":
        vectors = [base64_of(vector) if type(vector) is list else vector for vector in vectors]
    body: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
        "model": asked.model,
    }
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
    return Answer(body, usage, ignored, "stop", reported_model=reported)
