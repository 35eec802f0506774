"""When reasoning must be looked up, because the client did not send it back with its tool calls. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.admission import Quote
from proxy.chat import ChatRequest
from proxy.rules import THINKING

SIGNING = frozenset({"anthropic", "gemini"})
WANTING = SIGNING | {THINKING}


def missing(chat: ChatRequest, quote: Quote) -> list[str]:
    """The ids of tool calls that came without their reasoning, where an upstream may want it back."""
    if "tools" not in chat.body:
        return []
    routes = (route.dialect for one in quote.candidates for route in one.entry.routes)
    wanting = {
        dialect for dialect in routes if dialect in WANTING and (chat.operation, dialect) != ("messages", "anthropic")
    }
    if not wanting:
        return []
    return call_ids(chat, "reasoning_details" if wanting & SIGNING else "reasoning_content")


def call_ids(chat: ChatRequest, name: str) -> list[str]:
    """The ids of tool calls that come without their reasoning, in a member of their message or beside it."""
    found: list[str] = []
    for message in chat.body["messages"]:
        calls: Any = message.get("tool_calls")
        if calls and not message.get(name):
            ids = [call["id"] for call in calls if type(call.get("id")) is str]
            found += [identifier for identifier in ids if identifier not in chat.thoughts]
    return found


def added(chat: ChatRequest, found: Mapping[str, Any]) -> int:
    """Bytes that remembered reasoning can add to the messages; calls of one message may share theirs."""
    size = 0
    for message in chat.body["messages"]:
        ids = [call["id"] for call in message.get("tool_calls") or () if call["id"] in found]
        size += sum(map(len, {orjson.dumps(found[identifier]) for identifier in ids}))
    return size
