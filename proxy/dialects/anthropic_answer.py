"""Anthropic's answers and errors in OpenAI's words, and the parts they share with its streams. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.dialects import decoding, failures
from proxy.dialects.anthropic_messages import FORMAT
from proxy.dialects.shape import Answer, Asked, FailureMessage, MalformedAnswer
from proxy.errors import BadRequest, GatewayError, Unavailable

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
TOO_LONG = ("prompt is too long", "exceed context limit", "exceeds the context window")
NO_CREDIT = "credit balance is too low"


def read(raw: bytes, asked: Asked) -> Answer:
    """A whole message as a chat completion under our id and the model name that was asked for."""
    body = parsed(raw)
    message, thoughts = message_of(body["content"])
    finish = finish_reason(body.get("stop_reason"))
    usage, ignored = read_usage(body.get("usage"), asked.context_window)
    tier = service_tier(body.get("usage"))
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    answer: dict[str, Any] = {
        "id": asked.answer_id,
        "object": "chat.completion",
        "created": asked.created,
        "model": asked.model,
        "choices": [choice],
    }
    if usage is not None:
        answer["usage"] = meters.as_openai(usage)
    if tier:
        answer["service_tier"] = tier
    reported = body.get("model")
    return Answer(
        answer,
        usage,
        ignored,
        finish,
        size_of(body["content"]),
        reported_model=reported if type(reported) is str else "",
        service_tier=tier,
        thoughts=thoughts,
    )


def parsed(raw: bytes) -> dict[str, Any]:
    """A message with a list of blocks; raises MalformedAnswer, or the error that stands in its place."""
    body = decoding.answer(raw)
    if type(body) is not dict:
        raise MalformedAnswer("not an object")
    if body.get("type") == "error" or body.get("error"):
        raise error_of(body)
    content = body.get("content")
    if type(content) is not list or any(type(block) is not dict for block in content):
        raise MalformedAnswer("no content")
    return body


def message_of(content: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The assistant's message, and the signed thinking each of its tool calls came from, by the call's id."""
    texts: list[str] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    thoughts: dict[str, list[dict[str, Any]]] = {}
    since: list[dict[str, Any]] = []
    for block in content:
        match block.get("type"):
            case "text":
                texts.append(_text(block, "text"))
            case "thinking":
                reasoning.append(_text(block, "thinking"))
                since.append(signed(reasoning[-1], _text(block, "signature"), len(details) + len(since)))
            case "redacted_thinking":
                since.append(sealed(_text(block, "data"), len(details) + len(since)))
            case "tool_use":
                identifier = _text(block, "id")
                calls.append(tool_call(identifier, _text(block, "name"), arguments_of(block.get("input"))))
                if since:
                    thoughts[identifier] = since
                    details += since
                    since = []
    details += since
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    elif not texts:
        message["content"] = ""
    if any(reasoning):
        message["reasoning_content"] = "\n\n".join(text for text in reasoning if text)
    if details:
        message["reasoning_details"] = details
    return message, thoughts


def signed(text: str, signature: str, index: int) -> dict[str, Any]:
    """One element of reasoning_details for thinking in words."""
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": FORMAT, "index": index}


def sealed(data: str, index: int) -> dict[str, Any]:
    """One element of reasoning_details for thinking nobody may read."""
    return {"type": "reasoning.encrypted", "data": data, "format": FORMAT, "index": index}


def tool_call(identifier: str, name: str, arguments: str) -> dict[str, Any]:
    """One of a message's tool_calls."""
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def arguments_of(given: object) -> str:
    """A call's input as the JSON text OpenAI's clients read."""
    return orjson.dumps(given if type(given) is dict else {}).decode()


def finish_reason(reason: object) -> str:
    """OpenAI's word; what nobody knows yet means that it stopped."""
    return FINISH_REASONS.get(reason, "stop") if type(reason) is str else "stop"


def size_of(content: list[dict[str, Any]]) -> int:
    """UTF-8 bytes of what the model said, thinking and the arguments of its calls included."""
    texts = sum(len(_text(block, name).encode()) for block in content for name in ("text", "thinking"))
    return texts + sum(len(orjson.dumps(block.get("input"))) for block in content if block.get("type") == "tool_use")


def read_usage(usage: object, context_window: int) -> tuple[Usage | None, bool]:
    """The token classes, or None and whether counts were there that cannot be true."""
    if type(usage) is not dict:
        return None, False
    try:
        return meters.from_anthropic(usage, context_window=context_window), False
    except meters.UsageProblem:
        return None, any(usage.get(name) not in (None, 0) for name in ("input_tokens", "output_tokens"))


def service_tier(usage: object) -> str:
    """The tier that served it, in OpenAI's words; nothing where it is not said."""
    tier = usage.get("service_tier") if type(usage) is dict else None
    return ("default" if tier == "standard" else tier) if type(tier) is str else ""


def error_of(body: dict[str, Any]) -> GatewayError:
    """The error in place of an answer, or in the middle of a stream, where no status tells what it is."""
    error = body.get("error")
    error = error if type(error) is dict else {"message": error}
    kind, text = error.get("type"), error.get("message")
    said = failures.bounded(text) if type(text) is str else ""
    if kind in ("overloaded_error", "rate_limit_error"):
        return Unavailable(503, "The model is overloaded upstream. Try again.", "upstream_overloaded")
    if kind == "timeout_error":
        return Unavailable(504, "The upstream timed out.", "timeout")
    if kind in ("authentication_error", "permission_error", "billing_error", "not_found_error") or NO_CREDIT in said:
        return Unavailable(502, "The upstream refused our request; the operator must see to it.", "bad_gateway")
    if kind in ("invalid_request_error", "request_too_large"):
        return BadRequest(said or "The upstream refused the request.", code_of(said) or "invalid_value")
    return Unavailable(502, f"The upstream failed: {said}" if said else "The upstream failed.", "bad_gateway")


def failure_message(raw: bytes) -> FailureMessage:
    """``{"type": "error", "error": {"type", "message"}}``. ``code`` is OpenAI's for a prompt that is too long, and
    insufficient_quota where the operator's own credit has run out, which Anthropic says with 400."""
    said = failures.message_of(raw)
    return FailureMessage(said.message, code_of(said.message) or said.code, None)


def code_of(message: str) -> str:
    """OpenAI's code of an error whose words are all that tells it."""
    words = message.lower()
    if NO_CREDIT in words:
        return "insufficient_quota"
    return "context_length_exceeded" if any(text in words for text in TOO_LONG) else ""


def _text(block: dict[str, Any], name: str) -> str:
    value = block.get(name)
    return value if type(value) is str else ""
