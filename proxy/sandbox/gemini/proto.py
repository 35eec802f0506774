"""Reading JSON as Google's servers do: every field is known and has its type, or the request is refused. Pure.

A message is described by its fields, each by what its value is: a ``Kind``, an ``Enum``, another message, or a list
(``Many``) or a map (``Mapping``) of one of them. Names may be written in camelCase or in snake_case; paths in refusals
are in snake_case, as in the real ones. What is read comes back in camelCase, nulls left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.sandbox.gemini.refusal import invalid

INT32 = 2**31


@dataclass(frozen=True, slots=True)
class Kind:
    """A scalar type, and how its values are told from others."""

    name: str
    reads: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Enum:
    """One of some names, in any case."""

    name: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    item: Any


@dataclass(frozen=True, slots=True)
class Mapping:
    """A map from any name."""

    item: Any


@dataclass(frozen=True, slots=True)
class Message:
    """A message; ``fields`` is called, for messages that contain themselves."""

    fields: Callable[[], dict[str, Any]]


def _is_int32(value: Any) -> bool:
    if type(value) is str and re.fullmatch(r"-?\d+", value):
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    return type(value) is int and -INT32 <= value < INT32


def _is_bytes(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


STRING = Kind("TYPE_STRING", lambda value: type(value) is str)
BOOL = Kind("TYPE_BOOL", lambda value: type(value) is bool)
INT = Kind("TYPE_INT32", _is_int32)
INT64 = Kind("TYPE_INT64", lambda value: type(value) is int or (type(value) is str and value.isdigit()))
FLOAT = Kind("TYPE_FLOAT", lambda value: type(value) in (int, float))
BYTES = Kind("TYPE_BYTES", _is_bytes)
STRUCT = Kind("type.googleapis.com/google.protobuf.Struct", lambda value: type(value) is dict)
ANY = Kind("type.googleapis.com/google.protobuf.Value", lambda value: True)


def read(value: Any, shape: Any, path: str = "") -> Any:
    """The value in camelCase; raises the Refusal of the first thing that has no place in it."""
    if type(value) is list and shape is not ANY and not isinstance(shape, Many):
        raise invalid(
            f'Invalid JSON payload received. Unknown name "{path.rpartition(".")[2]}" at '
            f"'{path.rpartition('.')[0]}': Proto field is not repeating, cannot start list."
        )
    match shape:
        case Message():
            return _message(value, shape.fields(), path)
        case Many():
            if type(value) is not list:
                return [read(value, shape.item, path)]
            return [read(item, shape.item, f"{path}[{index}]") for index, item in enumerate(value)]
        case Mapping():
            if type(value) is not dict:
                raise _misfit(value, path, "Map")
            return {name: read(item, shape.item, f"{path}.{name}") for name, item in value.items()}
        case Enum():
            if type(value) is not str or value.upper() not in shape.values:
                raise _misfit(value, path, f"type.googleapis.com/google.ai.generativelanguage.v1beta.{shape.name}")
            return value.upper()
    if not shape.reads(value):
        raise _misfit(value, path, shape.name)
    return value


def snake(name: str) -> str:
    """A field's name as it is in paths."""
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)


def _message(value: Any, fields: dict[str, Any], path: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise _misfit(value, path, "Message")
    names = {snake(name): name for name in fields}
    found: dict[str, Any] = {}
    for given, item in value.items():
        name = given if given in fields else names.get(given)
        if name is None:
            where = f" at '{path}'" if path else ""
            raise invalid(f'Invalid JSON payload received. Unknown name "{given}"{where}: Cannot find field.')
        if item is not None:
            found[name] = read(item, fields[name], f"{path}.{snake(name)}" if path else snake(name))
    return found


def _misfit(value: Any, path: str, kind: str) -> Exception:
    shown = f'"{value}"' if type(value) is str else str(value)
    return invalid(f"Invalid value at '{path}' ({kind}), {shown[:100]}")
