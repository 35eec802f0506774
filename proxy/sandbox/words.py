"""What the sandbox counts as a token, and the texts it answers with. Pure.

A token is up to eight characters without whitespace together with the whitespace before them. A prompt costs the
tokens of its texts and of the reasoning that came back, three more per message, eight per part that is not text, and
the tokens of the tool definitions as compact JSON: never more than the body has bytes, so the byte count of a body is
a safe ceiling.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

PIECE = re.compile(r"\s*\S{1,8}|\s+")
PER_MESSAGE = 3
PER_PART = 8


def pieces(text: str) -> list[str]:
    """The tokens of a text; joined they are the text."""
    return PIECE.findall(text)


def text_of(content: Any) -> str:
    """The text of a message's content: the string itself, or its text parts joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return ""


def prompt_tokens(messages: list[dict[str, Any]], tools: list[Any] | None) -> int:
    """Tokens of the messages and the tool definitions."""
    total = 0
    for message in messages:
        total += PER_MESSAGE + len(pieces(text_of(message.get("content"))))
        total += len(pieces(text_of(message.get("reasoning_content"))))
        if isinstance(message.get("content"), list):
            total += sum(PER_PART for part in message["content"] if isinstance(part, dict) and "text" not in part)
        for call in message.get("tool_calls") or []:
            total += len(pieces(str(call.get("function", {}).get("arguments", ""))))
    if tools:
        total += len(pieces(msgspec.json.encode(tools).decode()))
    return total


def last_user_text(messages: list[dict[str, Any]]) -> str:
    """The text of the newest user message, or nothing."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""
