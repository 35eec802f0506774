"""A chat completion as a response: what was asked for, why it ended, its output items, what it used. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.surfaces.responses_items import call_item, message_item, reasoning_item, to_seal
from proxy.surfaces.responses_tools import Spaces

ENDED = {"length": "max_output_tokens", "content_filter": "content_filter"}
ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "auto",
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what it says where that said nothing."""


def response_of(chat: ChatRequest, answer_id: str, created: int, finish_reason: str) -> dict[str, Any]:
    """A response without its output; under way where ``finish_reason`` is empty."""
    asked = chat.native or {}
    reason = ENDED.get(finish_reason)
    return {
        "id": answer_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress" if not finish_reason else "incomplete" if reason else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": chat.model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **{name: asked.get(name, usual) for name, usual in ECHOED.items()},
    }


def finished(response: dict[str, Any], usage: Usage, tier: object, extras: Mapping[str, Any]) -> dict[str, Any]:
    """A response with what it used and cost."""
    response["usage"] = usage_of(usage)
    if type(tier) is str and tier:
        response["service_tier"] = tier
    response.update(extras)
    return response


def usage_of(usage: Usage) -> dict[str, Any]:
    """What was booked, in the API's words: input includes what was cached, output includes reasoning."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": prompt + completion,
    }


def output_of(choice: dict[str, Any], answer_id: str, spaces: Spaces) -> list[dict[str, Any]]:
    """Output items of a choice: what was thought, what was said, what is called, of which namespace."""
    message = choice["message"]
    items: list[dict[str, Any]] = []
    thought, details = message.get("reasoning_content") or "", to_seal(message.get("reasoning_details") or ())
    if thought or details:
        items.append(reasoning_item(item_id(answer_id, "rs", len(items)), thought, details))
    text, refusal = message.get("content") or "", message.get("refusal") or ""
    calls, likely = message.get("tool_calls") or [], logprobs_of(choice)
    if text or refusal or not calls:
        items.append(message_item(item_id(answer_id, "msg", len(items)), text, refusal=refusal, logprobs=likely))
    for call in calls:
        items.append(call_item(item_id(answer_id, "fc", len(items)), _placed(call, spaces)))
    return items


def logprobs_of(choice: dict[str, Any]) -> list[Any]:
    """The probabilities of a choice's tokens, which both APIs write alike."""
    found = choice.get("logprobs")
    content = found.get("content") if type(found) is dict else None
    return content if type(content) is list else []


def _placed(call: dict[str, Any], spaces: Spaces) -> dict[str, Any]:
    kind = "custom" if call.get("type") == "custom" else "function"
    made = call.get(kind) or {}
    return {**call, kind: {**made, **spaces.get(made.get("name", ""), {})}}


def item_id(answer_id: str, kind: str, place: int) -> str:
    """The id of a response's item: the response's own digits and the item's place."""
    return f"{kind}_{answer_id.rpartition('_')[2]}{place:04x}"
