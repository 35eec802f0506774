"""The subset of JSON Schema that Anthropic's structured outputs take. Pure."""

from __future__ import annotations

from typing import Any

from proxy.sandbox.anthropic.refusal import invalid

UNSUPPORTED = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("maxItems", "uniqueItems"),
}


def check(schema: Any, path: str) -> None:
    """Raise the Refusal of what is no schema here: objects must be closed, bounds are not known."""
    if type(schema) is not dict:
        return
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        raise invalid(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    used = [name for name in UNSUPPORTED.get(kind, ()) if name in schema] if type(kind) is str else []
    if used:
        raise invalid(f"{path}: For '{kind}' type, properties {', '.join(used)} are not supported")
    for inner in (schema.get("properties"), schema.get("$defs"), schema.get("definitions")):
        for part in inner.values() if type(inner) is dict else ():
            check(part, path)
    check(schema.get("items"), path)
    for name in ("anyOf", "allOf"):
        for part in schema.get(name) or ():
            check(part, path)
