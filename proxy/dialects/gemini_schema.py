"""Which JSON schemas Gemini's ``parameters`` takes, and functions declared in the form that does. Pure."""

from __future__ import annotations

from typing import Any

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object"})
PLAIN = frozenset({"type", "description", "title", "enum", "items", "properties", "required", "nullable", "anyOf"})
"""What ``parameters`` takes in every model. It refuses $schema, $ref, const, additionalProperties, unions of types and
most formats; bounds it takes or refuses by model. All of them go as ``parametersJsonSchema``."""


def declaration(function: dict[str, Any]) -> dict[str, Any]:
    """A function tool of OpenAI's as a function declaration. A function without parameters has an empty object."""
    declared = {"name": function["name"]}
    if type(function.get("description")) is str and function["description"]:
        declared["description"] = function["description"]
    schema = function.get("parameters")
    if type(schema) is not dict:
        schema = {}
    if not {"type", "$ref", "anyOf", "oneOf", "allOf"} & schema.keys():
        schema = {"type": "object", **schema}
    if schema.get("properties") and plain(schema):
        return {**declared, "parameters": schema}
    if schema.get("type") == "object":
        schema = {"properties": {}, **schema}
    return {**declared, "parametersJsonSchema": schema}


def plain(schema: object) -> bool:
    """Whether a schema, and all in it, is one that ``parameters`` takes."""
    if type(schema) is not dict or not schema.keys() <= PLAIN:
        return False
    kind, choices = schema.get("type"), schema.get("enum")
    if type(kind) is not str or kind.lower() not in TYPES:
        return False
    if choices is not None and not (kind.lower() == "string" and _texts(choices)):
        return False
    if kind.lower() == "array" and "items" not in schema:
        return False
    return _plain_inside(schema)


def _plain_inside(schema: dict[str, Any]) -> bool:
    properties, options = schema.get("properties", {}), schema.get("anyOf", [])
    if type(properties) is not dict or type(options) is not list:
        return False
    inner = [*properties.values(), *options, *([schema["items"]] if "items" in schema else [])]
    return all(plain(one) for one in inner)


def _texts(choices: object) -> bool:
    """Texts, none of them empty, which ``parameters`` refuses."""
    return type(choices) is list and bool(choices) and all(type(choice) is str and choice for choice in choices)
