"""Reasoning in thinking blocks: Anthropic's own as it is, that of others sealed so that it finds its way back. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from proxy.dialects.anthropic_answer import sealed, signed
from proxy.dialects.anthropic_messages import FORMAT

SEAL = "tollgate."
"""Begins the data of a redacted_thinking block that holds another provider's reasoning."""


def seal(detail: dict[str, Any]) -> dict[str, Any]:
    """An element of reasoning_details as a block that clients carry and nobody reads."""
    return {
        "type": "redacted_thinking",
        "data": SEAL + base64.urlsafe_b64encode(orjson.dumps(detail)).decode(),
    }


def opened(block: dict[str, Any], index: int) -> dict[str, Any] | None:
    """The element of reasoning_details that a block holds; None where it holds none that a provider would take."""
    if block["type"] == "thinking":
        signature, text = block.get("signature"), block.get("thinking")
        if type(signature) is str and signature and type(text) is str:
            return signed(text, signature, index)
        return None
    data = block.get("data")
    if type(data) is not str or not data:
        return None
    if not data.startswith(SEAL):
        return sealed(data, index)
    try:
        detail = orjson.loads(base64.urlsafe_b64decode(data[len(SEAL) :]))
    except (ValueError, binascii.Error):
        return None
    return detail if type(detail) is dict else None


def is_native(block: dict[str, Any]) -> bool:
    """Whether a thinking block is Anthropic's own, as far as it shows."""
    if block["type"] == "thinking":
        return bool(block.get("signature"))
    return not str(block.get("data")).startswith(SEAL)


def block_of(detail: dict[str, Any]) -> dict[str, Any] | None:
    """The block that shows or carries an element of reasoning_details; None for one without anything to keep."""
    text, signature, data = detail.get("text"), detail.get("signature"), detail.get("data")
    if detail.get("format") in (None, FORMAT):
        if type(signature) is str and signature:
            return {"type": "thinking", "thinking": text if type(text) is str else "", "signature": signature}
        if type(data) is str and data:
            return {"type": "redacted_thinking", "data": data}
        return None
    return seal(detail) if data or signature else None
