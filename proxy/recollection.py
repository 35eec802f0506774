"""When signed reasoning must be looked up, because the client did not send it back with its tool calls. Pure."""

from __future__ import annotations

from typing import Any

from proxy.admission import Quote
from proxy.chat import ChatRequest

SIGNING = frozenset({"anthropic", "gemini"})


def needed(chat: ChatRequest, quote: Quote) -> bool:
    """Whether the last turns hold tool calls without their reasoning, for an upstream that may want it back."""
    if "tools" not in chat.body:
        return False
    routes = (route.target.dialect for one in quote.candidates for route in one.entry.routes)
    signs = any(
        dialect in SIGNING and not (chat.operation == "messages" and dialect == "anthropic") for dialect in routes
    )
    return signs and bool(call_ids(chat))


def call_ids(chat: ChatRequest) -> list[str]:
    """The ids of tool calls that come without their reasoning, in their message or beside it."""
    found: list[str] = []
    for message in chat.body["messages"]:
        calls: Any = message.get("tool_calls")
        if calls and not message.get("reasoning_details"):
            ids = [call["id"] for call in calls if type(call.get("id")) is str]
            found += [identifier for identifier in ids if identifier not in chat.thoughts]
    return found
