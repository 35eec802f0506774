"""A whole answer of an OpenAI-compatible upstream, and the parts it shares with its streams."""

from __future__ import annotations

from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.dialects import decoding, failures
from proxy.dialects.shape import Answer, Asked, MalformedAnswer

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
SAID = ("content", "refusal", "reasoning_content")
THEIR_OWN = {"cost", "cost_details", "citations_cost"}
"""Members that tell what the operator pays."""
ODD_REASONS = {
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "safety": "content_filter",
    "content-filter": "content_filter",
    "sensitive": "content_filter",
}


def read(raw: bytes, asked: Asked) -> Answer:
    """The upstream's answer under our id and the model name that was asked for."""
    body = decoded(raw)
    choices = body.get("choices")
    if type(choices) is not list or not choices:
        raise MalformedAnswer("no choices")
    finish, size = "", 0
    for index, choice in enumerate(choices):
        if type(choice) is not dict or type(choice.get("message")) is not dict:
            raise MalformedAnswer("a choice without a message")
        choice.setdefault("index", index)
        message = repaired_message(choice["message"])
        if choice.get("finish_reason") == "error":
            raise failures.embedded({"error": choice.get("error") or "the answer broke off"})
        choice["finish_reason"] = finish = finish_reason(choice.get("finish_reason"))
        size += message_size(message)
    usage, ignored, shown = counted(body.get("usage"), asked.context_window)
    if shown is not None:
        body["usage"] = shown
    reported, tier = body.get("model"), body.get("service_tier")
    if not body.keys().isdisjoint(THEIR_OWN):
        body = {name: value for name, value in body.items() if name not in THEIR_OWN}
    body["id"] = asked.answer_id
    body["object"] = "chat.completion"
    body["model"] = asked.model
    if type(body.get("created")) is not int:
        body["created"] = asked.created
    reported = reported if type(reported) is str else ""
    return Answer(body, usage, ignored, finish, size, reported, tier if type(tier) is str else "")


def decoded(raw: bytes) -> dict[str, Any]:
    """A JSON object; raises MalformedAnswer, or the error that it holds."""
    body = decoding.answer(raw.removeprefix(BYTE_ORDER_MARK))
    if type(body) is not dict:
        raise MalformedAnswer("not an object")
    if body.get("error"):
        raise failures.embedded(body)
    return body


def repaired_message(message: dict[str, Any]) -> dict[str, Any]:
    """A message or delta whose reasoning has the name that most clients read, its content and arguments texts."""
    if type(message.get("content")) is list:
        _join_parts(message)
    reasoning = message.get("reasoning")
    if type(reasoning) is str and message.get("reasoning_content") is None:
        message["reasoning_content"] = reasoning
    for call in message.get("tool_calls") or ():
        function = call.get("function") if type(call) is dict else None
        if type(function) is dict and type(function.get("arguments")) is dict:
            function["arguments"] = orjson.dumps(function["arguments"]).decode()
    return message


def _join_parts(message: dict[str, Any]) -> None:
    """A content of parts, as Mistral sends it: its texts, and beside them what it thought."""
    texts, thoughts = [], []
    for part in message["content"]:
        if type(part) is dict and type(part.get("text")) is str:
            texts.append(part["text"])
        elif type(part) is dict and type(part.get("thinking")) is list:
            thoughts += [thought.get("text") for thought in part["thinking"] if type(thought) is dict]
    message["content"] = "".join(texts)
    if thoughts:
        message["reasoning_content"] = "".join(thought for thought in thoughts if type(thought) is str)


def counted(usage: object, context_window: int) -> tuple[Usage | None, bool, dict[str, Any] | None]:
    """As ``read_usage``, and what of it the client is shown: OpenAI's own words as they are, others in ours.

    Some upstreams tell what the operator pays, or leave reasoning out of the completion.
    """
    if type(usage) is dict and (found := meters.usual(usage, context_window)) is not None:
        return found, False, usage
    read, ignored = read_usage(usage, context_window)
    return read, ignored, None if read is None else meters.as_openai(read)


def read_usage(usage: object, context_window: int) -> tuple[Usage | None, bool]:
    """The token classes, or None and whether counts were there that cannot be true."""
    if type(usage) is not dict:
        return None, False
    try:
        return meters.from_openai(usage, context_window=context_window), False
    except meters.UsageProblem:
        given = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        return None, any(value not in (None, 0) for value in given)


def finish_reason(reason: object) -> str:
    """A reason OpenAI's clients know; others mean that it stopped."""
    if type(reason) is not str:
        return "stop"
    return reason if reason in FINISH_REASONS else ODD_REASONS.get(reason.lower(), "stop")


def message_size(message: dict[str, Any]) -> int:
    """UTF-8 bytes of what a repaired message or delta says, with its reasoning and the arguments of its calls."""
    size = 0
    for name in SAID:
        text = message.get(name)
        if type(text) is str:
            size += len(text) if text.isascii() else len(text.encode())
    calls = message.get("tool_calls")
    return size + len(orjson.dumps(calls)) if calls else size
