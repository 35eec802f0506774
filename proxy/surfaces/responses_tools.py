"""Tools of the Responses API in the words of chat completions, where a namespace is part of a function's name. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from proxy.errors import excerpt
from proxy.parameter_table import UNPRICED
from proxy.parameters import bad, wrong_type

MOST_NAME = 64
"""The longest name of a function that every provider takes."""
OFFERED = ("web_search", "image_generation", "tool_search")
"""Kinds that agents offer beside their own whatever serves the model: left out, as nobody has asked for a call."""
OF_TOOL = {
    "function": ("name", "description", "parameters", "strict"),
    "custom": ("name", "description", "format"),
}

Body = dict[str, Any]
Spaces = dict[str, Body]


def taken(value: Any) -> tuple[list[Body], tuple[str, ...]]:
    """The tools, and the kinds that are left out; raises BadRequest naming the first that cannot be had."""
    if type(value) is not list:
        raise wrong_type("tools", "an array", value)
    tools: list[Body] = []
    left: dict[str, str] = {}
    for index, tool in enumerate(value):
        path = f"tools[{index}]"
        kind = _kind(tool, path)
        if kind.startswith(OFFERED):
            left.setdefault(kind, path)
        elif kind == "namespace":
            tools += _namespace(tool, path)
        else:
            tools.append(_tool(tool, kind, path))
    if left and not tools:
        kind, path = next(iter(left.items()))
        raise _unpriced(kind, path)
    return tools, tuple(left)


def choice(value: Any) -> Any:
    """Which tool is to be called, if any."""
    if type(value) is not dict:
        return value
    kind = value.get("type")
    if kind in OF_TOOL:
        name, space = value.get("name"), value.get("namespace")
        if type(space) is str and type(name) is str:
            name = flat(space, name)
        return {"type": kind, kind: {"name": name}}
    return value.get("mode", "auto") if kind == "allowed_tools" else value


def flat(space: str, name: str) -> str:
    """The name by which a provider knows a function of a namespace."""
    joined = f"{space}{name}" if space.endswith("__") else f"{space}__{name}"
    if len(joined) <= MOST_NAME:
        return joined
    digest = hashlib.sha256(joined.encode()).hexdigest()[:8]
    return f"{joined[: MOST_NAME - 9]}_{digest}"


def spaces(tools: Any) -> Spaces:
    """Name and namespace of each function by the name a provider knows it by; ``tools`` were taken before."""
    found: Spaces = {}
    for tool in tools if type(tools) is list else ():
        if tool["type"] == "namespace":
            space = tool["name"]
            found.update((flat(space, one["name"]), {"name": one["name"], "namespace": space}) for one in tool["tools"])
    return found


def _kind(tool: Any, path: str) -> str:
    if type(tool) is not dict:
        raise wrong_type(path, "an object", tool)
    kind = tool.get("type")
    if type(kind) is not str:
        raise wrong_type(f"{path}.type", "a string", kind)
    return kind


def _namespace(tool: Body, path: str) -> list[Body]:
    """The functions of a namespace."""
    space, inner = tool.get("name"), tool.get("tools")
    if type(space) is not str:
        raise wrong_type(f"{path}.name", "a string", space)
    if type(inner) is not list:
        raise wrong_type(f"{path}.tools", "an array", inner)
    found = []
    for index, one in enumerate(inner):
        place = f"{path}.tools[{index}]"
        kind = _kind(one, place)
        if type(one.get("name")) is not str:
            raise wrong_type(f"{place}.name", "a string", one.get("name"))
        found.append(_tool({**one, "name": flat(space, one["name"])}, kind, place))
    return found


def _tool(tool: Body, kind: str, path: str) -> Body:
    if kind not in OF_TOOL:
        raise _unpriced(kind, path)
    inner = {name: tool[name] for name in OF_TOOL[kind] if tool.get(name) is not None}
    if kind == "custom" and type(inner.get("format")) is dict and inner["format"].get("type") == "grammar":
        form = {name: value for name, value in inner["format"].items() if name != "type"}
        inner["format"] = {"type": "grammar", "grammar": form}
    return {"type": kind, kind: inner}


def _unpriced(kind: str, path: str) -> Exception:
    reason = UNPRICED.replace("costs", "cost")
    return bad(f"Tools of type '{excerpt(kind)}' {reason}.", "unsupported_value", f"{path}.type")
