"""What a request for Anthropic's Messages may hold: types, ranges, nothing unpriced. Errors in its words. Pure.

The server's own tools, files kept at the provider and summaries made there are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from proxy.errors import BadRequest, excerpt
from proxy.parameter_table import STEERING, UNPRICED

ROLES = ("user", "assistant", "system")
CLIENT_TOOLS = ("bash_", "text_editor_", "memory_", "computer_", "browser_")
"""Kinds of tool that Anthropic describes and the client runs; all others run at the provider."""
MOST_FIELDS = 200


class Field(NamedTuple):
    """One field: ``kind`` names its check, ``least`` and ``most`` bound a number or a length."""

    kind: str
    least: float | None = None
    most: float | None = None


FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "model": Field("string", 1, 200),
        "messages": Field("array", 1, 20_000),
        "max_tokens": Field("integer", 1, 10_000_000),
        "stream": Field("boolean"),
        "system": Field("text"),
        "temperature": Field("number", 0, 1),
        "top_p": Field("number", 0, 1),
        "top_k": Field("integer", 0, 1_000_000),
        "stop_sequences": Field("strings", 0, 8192),
        "metadata": Field("object"),
        "thinking": Field("object"),
        "output_config": Field("object"),
        "output_format": Field("object"),
        "tools": Field("array", 0, 1024),
        "tool_choice": Field("object"),
        "cache_control": Field("object"),
        "context_management": Field("object"),
        "service_tier": Field("string", 0, 64),
    }
)

FREE: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "mcp_servers": ([],),
        "container": (),
        "speed": ("standard",),
        "inference_geo": ("global",),
        "compaction": (),
        "thread": (),
        "user_profile_id": (),
        "fallback_credit_token": (),
        "billing_policy": (),
    }
)
"""Fields that cost extra, or reach what another tenant keeps at the provider, and the values of them that do not."""


def check(body: dict[str, Any], *, counting: bool = False) -> dict[str, Any]:
    """The body with nulls dropped; raises BadRequest naming the first field that is not as Anthropic takes it."""
    if len(body) > MOST_FIELDS:
        raise BadRequest(f"The body has more than {MOST_FIELDS} members.", "invalid_json")
    checked = {name: value for name, value in body.items() if value is not None}
    for name, value in checked.items():
        if name in FREE and value not in FREE[name]:
            raise wrong(name, f"this {UNPRICED}", "unsupported_parameter")
        if name in STEERING:
            raise wrong(name, "Extra inputs are not permitted", "unknown_parameter")
        field = FIELDS.get(name)
        if field is not None:
            _KINDS[field.kind](name, value, field)
    for name in ("model", "messages") if counting else ("model", "messages", "max_tokens"):
        if name not in checked:
            raise missing(name)
    _check_compaction(checked.get("context_management", {}))
    _check_tools(checked.get("tools", ()))
    for index, message in enumerate(checked["messages"]):
        _check_message(message, f"messages.{index}")
    return checked


def wrong(path: str, message: str, code: str = "invalid_value") -> BadRequest:
    """A 400 in Anthropic's way: the path, and what should be there."""
    return BadRequest(f"{path}: {message}", code, param=path)


def missing(path: str) -> BadRequest:
    """A 400 for a field that must be there."""
    return wrong(path, "Field required", "missing_required_parameter")


def text_at(block: Mapping[str, Any], name: str, path: str) -> str:
    """A text that must be there."""
    value = block.get(name)
    if value is None:
        raise missing(f"{path}.{name}")
    if type(value) is not str:
        raise wrong(f"{path}.{name}", "Input should be a valid string", "invalid_type")
    return value


def _integer(name: str, value: Any, field: Field) -> None:
    if type(value) is not int:
        raise wrong(name, "Input should be a valid integer", "invalid_type")
    _range(name, value, field)


def _number(name: str, value: Any, field: Field) -> None:
    if type(value) not in (int, float):
        raise wrong(name, "Input should be a valid number", "invalid_type")
    _range(name, value, field)


def _range(name: str, value: float, field: Field) -> None:
    kind = FIELDS[name].kind if name in FIELDS else "number"
    words = "integer" if kind == "integer" else "decimal"
    if field.least is not None and value < field.least:
        raise wrong(name, f"Input should be greater than or equal to {field.least:g}", f"{words}_below_min_value")
    if field.most is not None and value > field.most:
        raise wrong(name, f"Input should be less than or equal to {field.most:g}", f"{words}_above_max_value")


def _length(name: str, value: Any, field: Field, what: str) -> None:
    if field.least is not None and len(value) < field.least:
        raise wrong(name, f"{what} should have at least {field.least:g} item", "array_below_min_length")
    if field.most is not None and len(value) > field.most:
        raise wrong(name, f"{what} should have at most {field.most:g} items", "array_above_max_length")


def _string(name: str, value: Any, field: Field) -> None:
    if type(value) is not str:
        raise wrong(name, "Input should be a valid string", "invalid_type")
    _length(name, value, field, "String")


def _array(name: str, value: Any, field: Field) -> None:
    if type(value) is not list:
        raise wrong(name, "Input should be a valid array", "invalid_type")
    _length(name, value, field, "List")


def _strings(name: str, value: Any, field: Field) -> None:
    _array(name, value, field)
    for index, text in enumerate(value):
        _string(f"{name}.{index}", text, Field("string"))


def _boolean(name: str, value: Any, field: Field) -> None:
    if type(value) is not bool:
        raise wrong(name, "Input should be a valid boolean", "invalid_type")


def _object(name: str, value: Any, field: Field) -> None:
    if type(value) is not dict:
        raise wrong(name, "Input should be an object", "invalid_type")


def _text(name: str, value: Any, field: Field) -> None:
    """A text, or a list of text blocks."""
    if type(value) is str:
        return
    _array(name, value, field)
    for index, block in enumerate(value):
        path = f"{name}.{index}"
        _object(path, block, field)
        if block.get("type") != "text":
            raise wrong(f"{path}.type", "Input should be 'text'")
        text_at(block, "text", path)


_KINDS: dict[str, Callable[[str, Any, Field], None]] = {
    "integer": _integer,
    "number": _number,
    "string": _string,
    "array": _array,
    "strings": _strings,
    "boolean": _boolean,
    "object": _object,
    "text": _text,
}


def _check_compaction(management: dict[str, Any]) -> None:
    """A summary made at the provider is not in the counts that we are told."""
    edits = management.get("edits")
    for index, edit in enumerate(edits if type(edits) is list else ()):
        if type(edit) is dict and str(edit.get("type")).startswith("compact"):
            raise wrong(f"context_management.edits.{index}", f"this {UNPRICED}", "unsupported_parameter")


def _check_tools(tools: Any) -> None:
    for index, tool in enumerate(tools):
        path = f"tools.{index}"
        _object(path, tool, Field("object"))
        kind = tool.get("type") or "custom"
        if type(kind) is not str or (kind != "custom" and not kind.startswith(CLIENT_TOOLS)):
            raise wrong(path, f"a tool of type '{excerpt(kind)}' {UNPRICED}", "unsupported_parameter")
        if kind == "custom":
            text_at(tool, "name", path)
            if type(tool.get("input_schema")) is not dict:
                raise missing(f"{path}.input_schema")


def _check_message(message: Any, path: str) -> None:
    _object(path, message, Field("object"))
    role, content = message.get("role"), message.get("content")
    if role is None:
        raise missing(f"{path}.role")
    if role not in ROLES:
        raise wrong(f"{path}.role", "Input should be 'user' or 'assistant'")
    if content is None:
        raise missing(f"{path}.content")
    if type(content) is str:
        return
    if type(content) is not list:
        raise wrong(f"{path}.content", "Input should be a valid string or array", "invalid_type")
    for index, block in enumerate(content):
        _object(f"{path}.content.{index}", block, Field("object"))
        text_at(block, "type", f"{path}.content.{index}")
