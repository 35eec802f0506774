"""The Gemini dialect: generateContent and streamGenerateContent of Google's Gemini API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson

from proxy import parameters
from proxy.chat import ChatRequest
from proxy.dialects import failures, gemini_answer, gemini_request
from proxy.dialects.gemini_stream import GeminiStream
from proxy.dialects.openai import bend
from proxy.dialects.shape import OPENAI, Answer, Asked, FailureMessage, UpstreamCall

PATH = "/v1beta/models/{model}"
BAD_CREDENTIAL = "invalid_api_key"
"""What a 400 says that is about the operator's credential, place or billing: no client can mend it."""

_SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")


class Gemini:
    """The dialect. A model's way of thinking is in its rules, or known by its name."""

    speaks = OPENAI

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The chat as generateContent; rules are of OpenAI's parameters, but for ``set``, which is of Gemini's body."""
        body = dict(chat.body)
        bent = bend(body, {name: rule for name, rule in rules.items() if name != "set"}) if rules else ()
        thinking = gemini_request.thinking_of(rules, upstream_model)
        whole, unthought = gemini_request.body_of(chat, body, output_limit, thinking)
        dropped = (*bent, *parameters.sift(body, "gemini"), *unthought)
        verb = "streamGenerateContent" if chat.stream else "generateContent"
        return UpstreamCall(path_of(rules, upstream_model, verb), orjson.dumps(with_set(whole, rules)), dropped=dropped)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """A whole answer in OpenAI's words."""
        return gemini_answer.read(raw, asked)

    def stream(self, asked: Asked) -> GeminiStream:
        """A translator for one stream."""
        return GeminiStream(asked)

    def failure_message(self, raw: bytes) -> FailureMessage:
        """``{"error": {code, message, status, details}}``, also as a list of one."""
        return failure_message(raw)


def path_of(rules: Mapping[str, Any], upstream_model: str, verb: str) -> str:
    """The path of a method of a model below the base URL; streams are asked for as server-sent events."""
    model = quote(upstream_model.removeprefix("models/"), safe="")
    path = f"{str(rules.get('path', PATH)).replace('{model}', model)}:{verb}"
    query = [str(rules["query"])] if rules.get("query") else []
    if verb == "streamGenerateContent":
        query.append("alt=sse")
    return f"{path}?{'&'.join(query)}" if query else path


def with_set(body: dict[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the members its rules add; what they say of an object adds to it."""
    for name, value in rules.get("set", {}).items():
        known = body.get(name)
        body[name] = {**known, **value} if type(known) is dict and type(value) is dict else value
    return body


def failure_message(raw: bytes) -> FailureMessage:
    """Google's errors. ``extra`` has ``retry_after_s`` where they say when to come back."""
    said = failures.message_of(raw)
    try:
        body = orjson.loads(raw)
    except ValueError:
        return said
    body = body[0] if type(body) is list and body else body
    error = body.get("error") if type(body) is dict else None
    if type(error) is not dict:
        return said
    details = error.get("details")
    rows = [row for row in details if type(row) is dict] if type(details) is list else []
    return replace(said, code=_code(error, said.message.lower(), rows) or said.code, extra=_patience(rows))


def _code(error: dict[str, Any], message: str, details: list[dict[str, Any]]) -> str:
    if (
        any(row.get("reason") in ("API_KEY_INVALID", "API_KEY_EXPIRED") for row in details)
        or "api key not valid" in message
    ):
        return BAD_CREDENTIAL
    if error.get("status") == "FAILED_PRECONDITION" and ("location" in message or "billing" in message):
        return BAD_CREDENTIAL
    return "context_length_exceeded" if "exceeds the maximum number of tokens" in message else ""


def _patience(details: list[dict[str, Any]]) -> dict[str, Any]:
    for row in details:
        found = _SECONDS.fullmatch(str(row.get("retryDelay", "")))
        if found:
            return {"retry_after_s": float(found[1])}
    return {}
