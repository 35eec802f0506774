"""A chat request in Anthropic's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from proxy import parameters
from proxy.chat import ChatRequest
from proxy.dialects import anthropic_thinking
from proxy.dialects.anthropic_messages import conversation, tool_names, unsigned, without_thinking
from proxy.dialects.anthropic_thinking import Plan
from proxy.dialects.openai import bend
from proxy.parameters import bad, wrong_type

JSON_ONLY = "Answer with one JSON object and nothing else: no words around it and no code fence."
MOST_USER_ID = 256
LEAST_TOP_P = 0.95
"""The least top_p that Anthropic takes while a model thinks."""
BY_RULES = ("refuse", "most", "drop", "forced_tool_choice", "sampling")
"""The rules that speak of the client's parameters; the others are about the body that is sent."""

BOUNDS = (
    "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "maxItems",
    "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
NAMED = ("properties", "$defs", "definitions")
LISTED = ("anyOf", "allOf", "oneOf", "prefixItems")

_PERSONAL = re.compile(r"@|^\+?[\d\s().-]{7,}$")

Body = dict[str, Any]


def body_of(
    chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]
) -> tuple[Body, tuple[str, ...]]:
    """The upstream's body, and the client's parameters that are not in it; BadRequest for what cannot be done."""
    given = dict(chat.body)
    dropped = bend(given, {name: rules[name] for name in BY_RULES if name in rules})
    dropped += parameters.sift(given, "anthropic")
    if given.get("n", 1) != 1:
        raise bad("This model gives one answer at a time: 'n' must be 1.", "unsupported_value", "n")
    system, turns = conversation(chat)
    plan = anthropic_thinking.plan(given, anthropic_thinking.kind_of(upstream_model, rules), output_limit)
    body: Body = {"model": upstream_model, "max_tokens": output_limit}
    tools = _tools(given)
    choice, dropped = _settled_choice(given, tools, plan, dropped)
    if plan.on and plan.kind != "always" and choice.get("type") in ("any", "tool"):
        plan = plan.switched_off()
    if plan.on and anthropic_thinking.must_return(upstream_model, plan.kind) and unsigned(turns):
        plan = plan.switched_off()
    if not plan.on:
        turns = without_thinking(turns) or turns
    dropped += plan.dropped
    dropped += _put_sampling(body, given, plan, anthropic_thinking.takes_sampling(upstream_model, rules))
    if not tools:
        names = tool_names(turns)
        tools = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]
        choice = {"type": "none"} if tools else {}
    _put_format(body, given, system, plan)
    body |= {"system": system} if system else {}
    body["messages"] = turns
    body |= {"tools": tools} if tools else {}
    body |= {"tool_choice": choice} if choice else {}
    dropped += _put_rest(body, given, chat)
    for name, other in rules.get("rename", {}).items():
        if name in body:
            body[other] = body.pop(name)
    body.update(rules.get("set", {}))
    return body, tuple(dict.fromkeys(dropped))


def _tools(given: Body) -> list[Body]:
    """tools and the older functions, those that tool_choice allows."""
    tools = []
    for index, tool in enumerate(given.get("tools", ())):
        if tool["type"] != "function":
            raise bad("This model takes function tools only.", "unsupported_value", f"tools[{index}].type")
        tools.append(_tool(tool["function"], tool.get("cache_control")))
    for index, function in enumerate(given.get("functions", ())):
        if type(function) is not dict or type(function.get("name")) is not str:
            path = f"functions[{index}].name"
            raise bad(f"Missing required parameter: '{path}'.", "missing_required_parameter", path)
        tools.append(_tool(function, None))
    allowed = _allowed(given.get("tool_choice"))
    return tools if allowed is None else [tool for tool in tools if tool["name"] in allowed]


def _tool(function: Body, mark: object) -> Body:
    schema = function.get("parameters")
    tool: Body = {"name": function["name"]}
    if type(function.get("description")) is str and function["description"]:
        tool["description"] = function["description"]
    tool["input_schema"] = {"type": "object", **schema} if type(schema) is dict and schema else _EMPTY_SCHEMA
    mark = mark if mark is not None else function.get("cache_control")
    if type(mark) is dict:
        tool["cache_control"] = mark
    return tool


_EMPTY_SCHEMA = {"type": "object", "properties": {}}


def _allowed(choice: object) -> set[str] | None:
    """The names an allowed_tools choice lets through; None where it is none."""
    if type(choice) is not dict or choice.get("type") != "allowed_tools":
        return None
    listed = choice.get("allowed_tools")
    tools = listed.get("tools") if type(listed) is dict else None
    named = [tool.get("function") for tool in tools if type(tool) is dict] if type(tools) is list else []
    return {str(function.get("name")) for function in named if type(function) is dict}


def _settled_choice(
    given: Body, tools: list[Body], plan: Plan, dropped: tuple[str, ...]
) -> tuple[Body, tuple[str, ...]]:
    """tool_choice, with parallel_tool_calls in it; a model that always thinks cannot be forced to call."""
    if not tools:
        return {}, dropped
    choice = _choice(given.get("tool_choice", given.get("function_call")))
    if plan.kind == "always" and choice.get("type") in ("any", "tool"):
        choice, dropped = {"type": "auto"}, (*dropped, "tool_choice")
    if given.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice, dropped


def _choice(choice: Any) -> Body:
    if choice is None:
        return {}
    if type(choice) is str:
        words = {"auto": "auto", "required": "any", "none": "none"}
        if choice not in words:
            raise bad("Supported values are: 'none', 'auto', 'required'.", "invalid_value", "tool_choice")
        return {"type": words[choice]}
    if choice.get("type") == "allowed_tools":
        listed = choice.get("allowed_tools")
        return {"type": "any" if type(listed) is dict and listed.get("mode") == "required" else "auto"}
    function = choice.get("function") if choice.get("type") == "function" else choice
    name = function.get("name") if type(function) is dict else None
    if type(name) is not str:
        raise wrong_type("tool_choice.function.name", "a string", name)
    return {"type": "tool", "name": name}


def _put_sampling(body: Body, given: Body, plan: Plan, taken: bool) -> tuple[str, ...]:
    """temperature up to 1, top_p and top_k, as far as the model takes them; returns what was dropped."""
    names = [name for name in ("temperature", "top_p", "top_k") if name in given]
    dropped = []
    for name in names:
        value = given[name]
        fits = taken and not (name == "top_p" and "temperature" in given)
        if plan.on:
            fits = fits and (value >= LEAST_TOP_P if name == "top_p" else name == "temperature" and value == 1)
        if fits:
            body[name] = min(value, 1) if name == "temperature" else value
        elif value != 1:  # one is what is done anyway
            dropped.append(name)
    return tuple(dropped)


def _put_format(body: Body, given: Body, system: list[Body], plan: Plan) -> None:
    """Thinking and the answer's form. json_object is asked for in words: Anthropic has no switch for it."""
    if plan.thinking is not None:
        body["thinking"] = plan.thinking
    output: Body = {} if plan.effort is None else {"effort": plan.effort}
    wanted = given.get("response_format") or {}
    if wanted.get("type") == "json_object":
        system.append({"type": "text", "text": JSON_ONLY})
    elif wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema")
        output["format"] = {"type": "json_schema", "schema": closed(schema if type(schema) is dict else _EMPTY_SCHEMA)}
    if output:
        body["output_config"] = output


def closed(schema: Any) -> Any:
    """A JSON schema as Anthropic takes it: its objects have no other members, and bounds are said in words."""
    if type(schema) is not dict:
        return schema
    whole = {name: _closed_inner(name, inner) for name, inner in schema.items() if name not in BOUNDS}
    kind = schema.get("type")
    if kind == "object" or (type(kind) is list and "object" in kind):
        whole["additionalProperties"] = False
    said = ", ".join(f"{name}: {schema[name]}" for name in BOUNDS if type(schema.get(name)) in (int, float, bool))
    if said:
        whole["description"] = f"{schema.get('description', '')} ({said})".strip()
    return whole


def _closed_inner(name: str, inner: Any) -> Any:
    if name in NAMED and type(inner) is dict:
        return {key: closed(part) for key, part in inner.items()}
    if name in LISTED and type(inner) is list:
        return [closed(part) for part in inner]
    return closed(inner) if name == "items" else inner


def _put_rest(body: Body, given: Body, chat: ChatRequest) -> tuple[str, ...]:
    """What goes under another name or as it is; returns what was dropped."""
    if chat.stream:
        body["stream"] = True
    stop = given.get("stop")
    stops = [text for text in ([stop] if type(stop) is str else stop or ()) if text.strip()]
    if stops:
        body["stop_sequences"] = stops
    if type(given.get("cache_control")) is dict:
        body["cache_control"] = given["cache_control"]
    user = given.get("user")
    if not user:
        return ()
    if len(user) > MOST_USER_ID or _PERSONAL.search(user):  # refused there: it must not tell who somebody is
        return ("user",)
    body["metadata"] = {"user_id": user}
    return ()
