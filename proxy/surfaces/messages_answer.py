"""A chat completion as Anthropic's message. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.surfaces import messages_thoughts

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def message_of(body: dict[str, Any], usage: Usage) -> dict[str, Any]:
    """The first choice of a chat completion, with what was booked as its usage."""
    choice = body["choices"][0]
    content = content_of(choice["message"])
    called = any(block["type"] == "tool_use" for block in content)
    said = usage_of(usage)
    tier = body.get("service_tier")
    if type(tier) is str:
        said["service_tier"] = "standard" if tier == "default" else tier
    return {
        "id": body["id"],
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop_reason(choice["finish_reason"], called=called),
        "stop_sequence": None,
        "usage": said,
    }


def stop_reason(finish_reason: str, *, called: bool) -> str:
    """Anthropic's word; an answer with calls in it wants them answered, whatever the upstream says."""
    reason = STOP_REASONS.get(finish_reason, "end_turn")
    return "tool_use" if called and reason == "end_turn" else reason


def usage_of(usage: Usage) -> dict[str, Any]:
    """What was booked, in Anthropic's classes."""
    said = meters.as_anthropic(usage)
    if usage.reasoning:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said


def content_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Thinking, text and tool calls as blocks."""
    blocks = _thinking(message)
    for name in ("content", "refusal"):
        text = message.get(name)
        if type(text) is str and text:
            blocks.append({"type": "text", "text": text})
    calls = message.get("tool_calls")
    for place, call in enumerate(calls if type(calls) is list else ()):
        identifier, name, arguments = parts_of(call)
        blocks.append(
            {"type": "tool_use", "id": identifier or f"toolu_{place}", "name": name, "input": _parsed(arguments)}
        )
    return blocks


def parts_of(call: Any) -> tuple[str, str, str]:
    """Id, name and arguments of a tool call or of a part of one; empty where they are missing or no texts."""
    call = call if type(call) is dict else {}
    function = call.get("function")
    function = function if type(function) is dict else {}
    found = (call.get("id"), function.get("name"), function.get("arguments"))
    identifier, name, arguments = (text if type(text) is str else "" for text in found)
    return identifier, name, arguments


def _thinking(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Signed thinking block by block; else what was thought in one, and what others sealed behind it."""
    details = message.get("reasoning_details")
    given = [detail for detail in details if type(detail) is dict] if type(details) is list else []
    blocks = [block for detail in given if (block := messages_thoughts.block_of(detail)) is not None]
    text = message.get("reasoning_content")
    if type(text) is str and text and not any(block["type"] == "thinking" for block in blocks):
        blocks.insert(0, {"type": "thinking", "thinking": text, "signature": ""})
    return blocks


def _parsed(arguments: str) -> dict[str, Any]:
    try:
        given = orjson.loads(arguments)
    except ValueError:
        return {}
    return given if type(given) is dict else {}
