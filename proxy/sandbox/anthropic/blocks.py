"""What Anthropic refuses of one content block: its fields, its text, its picture. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from proxy.sandbox.anthropic.refusal import invalid

Block = dict[str, Any]

#: type → fields that must be there, fields that may be there
FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "text": (frozenset({"text"}), frozenset({"cache_control", "citations"})),
    "image": (frozenset({"source"}), frozenset({"cache_control", "transformations"})),
    "document": (frozenset({"source"}), frozenset({"cache_control", "citations", "context", "title"})),
    "thinking": (frozenset({"thinking", "signature"}), frozenset()),
    "redacted_thinking": (frozenset({"data"}), frozenset()),
    "tool_use": (frozenset({"id", "name", "input"}), frozenset({"cache_control", "caller", "toolset_name"})),
    "tool_result": (
        frozenset({"tool_use_id"}),
        frozenset({"cache_control", "content", "is_error", "toolset_name"}),
    ),
    "server_tool_use": (frozenset({"id", "name", "input"}), frozenset({"cache_control", "caller"})),
    "web_search_tool_result": (frozenset({"tool_use_id", "content"}), frozenset({"cache_control", "caller"})),
}
OF_USER = ("text", "image", "document", "tool_result")
OF_ASSISTANT = (
    "text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result",
)  # fmt: skip
IN_RESULTS = ("text", "image", "document")
PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
IDENT = re.compile(r"[a-zA-Z0-9_-]+")


def check(block: Any, path: str, allowed: tuple[str, ...]) -> None:
    """Raise the Refusal that the real API would answer to this block at this path."""
    kind = block.get("type") if type(block) is dict else None
    if kind is None:
        raise invalid(f"{path}.type: Field required")
    if kind not in allowed:
        tags = ", ".join(f"'{name}'" for name in allowed)
        raise invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    must, may = FIELDS[kind]
    for name in must - block.keys():
        raise invalid(f"{path}.{kind}.{name}: Field required")
    for name in block.keys() - must - may - {"type"}:
        raise invalid(f"{path}.{kind}.{name}: Extra inputs are not permitted")
    match kind:
        case "text":
            check_text(block, path, "messages")
        case "image":
            _image(block["source"], f"{path}.image.source")
        case "document":
            _document(block["source"], f"{path}.document.source")
        case "tool_use":
            _tool_use(block, f"{path}.tool_use")
        case "tool_result":
            _tool_result(block, f"{path}.tool_result")


def check_text(block: Block, path: str, where: str) -> None:
    """A text is a string, and there is something in it."""
    if type(block.get("text")) is not str:
        raise invalid(f"{path}.text.text: Input should be a valid string")
    if not block["text"]:
        marked = block.get("cache_control") is not None
        said = (
            "cache_control cannot be set for empty text blocks" if marked else "text content blocks must be non-empty"
        )
        raise invalid(f"{path if marked else where}: {said}")
    if not block["text"].strip():
        raise invalid(f"{where}: text content blocks must contain non-whitespace text")


def _image(source: Any, path: str) -> None:
    kind = _source_kind(source, path, ("base64", "url", "file"))
    if kind == "base64":
        _base64(source, path + ".base64", PICTURES)
    if kind == "url":
        _url(source, path + ".url")


def _document(source: Any, path: str) -> None:
    kind = _source_kind(source, path, ("base64", "text", "content", "url", "file"))
    if kind == "base64":
        _base64(source, path + ".base64", ("application/pdf",))
    if kind == "url":
        _url(source, path + ".url")
    if kind == "text" and (source.get("media_type") != "text/plain" or type(source.get("data")) is not str):
        raise invalid(f"{path}.text.media_type: Input should be 'text/plain'")


def _source_kind(source: Any, path: str, kinds: tuple[str, ...]) -> str:
    kind = source.get("type") if type(source) is dict else None
    if kind not in kinds:
        tags = ", ".join(f"'{name}'" for name in kinds)
        raise invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    allowed = {"base64": {"data", "media_type"}, "text": {"data", "media_type"}, "url": {"url"}}.get(
        kind, source.keys()
    )
    for name in source.keys() - allowed - {"type"}:
        raise invalid(f"{path}.{kind}.{name}: Extra inputs are not permitted")
    return str(kind)


def _base64(source: Block, path: str, types: tuple[str, ...]) -> None:
    if source.get("media_type") not in types:
        wanted = ", ".join(f"'{name}'" for name in types[:-1]) + (" or " if types[:-1] else "") + f"'{types[-1]}'"
        raise invalid(f"{path}.media_type: Input should be {wanted}")
    data = source.get("data")
    if type(data) is not str or not data:
        raise invalid(f"{path}.data: Field required")
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"{path}: invalid base64 data") from None


def _url(source: Block, path: str) -> None:
    if not str(source.get("url", "")).startswith("https://"):
        raise invalid(f"{path}.url: Only HTTPS URLs are supported.")


def _tool_use(block: Block, path: str) -> None:
    if type(block["id"]) is not str or not IDENT.fullmatch(block["id"]):
        raise invalid(f"{path}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if type(block["name"]) is not str or not 1 <= len(block["name"]) <= 200:
        raise invalid(f"{path}.name: String should have at least 1 character")
    if type(block["input"]) is not dict:
        raise invalid(f"{path}.input: Input should be an object")


def _tool_result(block: Block, path: str) -> None:
    content = block.get("content", "")
    if type(content) is str:
        return
    if type(content) is not list:
        raise invalid(f"{path}.content: Input should be a valid list")
    for index, part in enumerate(content):
        check(part, f"{path}.content.{index}", IN_RESULTS)
