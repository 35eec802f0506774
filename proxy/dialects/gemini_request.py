"""An OpenAI chat completion as the body of Gemini's generateContent. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.chat import ChatRequest
from proxy.dialects import gemini_schema
from proxy.dialects.gemini_contents import Contents
from proxy.parameters import bad

MOST_STOPS = 5
MOST_CANDIDATES = 8
PLAIN = {
    "temperature": "temperature",
    "top_p": "topP",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
OFF = frozenset({"frequency_penalty", "presence_penalty", "logprobs"})
"""What is off when it is zero, and is then not sent: some models refuse it at all, and some clients always say it."""
BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
LEAST_BUDGET = 128
"""Of models that cannot do without thinking."""
LEVELS = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "high",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""What every model with levels takes."""
TIERS = ("flex", "priority")
CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")


class Thinking(NamedTuple):
    """How a model is told to think: ``way`` is budget, level, always or none; see ``thinking_of``."""

    way: str
    least_budget: int = 0
    levels: Mapping[str, str] = LEVELS


def thinking_of(rules: Mapping[str, Any], model: str) -> Thinking:
    """By the rule ``thinking``, else by the model's name: Gemini 2.5 takes a budget, 3 and later a level."""
    version = _VERSION.search(model)
    numbers = (int(version[1]), int(version[2] or 0)) if version else (0, 0)
    way = rules.get("thinking")
    if way is None:
        way = "level" if numbers >= (3, 0) else "budget" if numbers >= (2, 5) and "image" not in model else "none"
    return Thinking(way, LEAST_BUDGET if "-pro" in model else 0, levels_of(numbers, flash="flash" in model))


def levels_of(version: tuple[int, int], *, flash: bool) -> Mapping[str, str]:
    """A level for each effort: flash models and those since 3.1 know a medium one, early flash models a minimal one."""
    levels = dict(LEVELS)
    if flash or version >= (3, 1):
        levels["medium"] = "medium"
    if flash and version <= (3, 1):
        levels["none"] = levels["minimal"] = "minimal"
    return levels


def body_of(
    chat: ChatRequest, body: dict[str, Any], output_limit: int, thinking: Thinking
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body, and the names of parameters that this model cannot be told. ``body`` is the chat's, bent by rules."""
    contents = Contents(chat.thoughts, signed=thinking.way == "level")
    contents.read(body["messages"])
    config = {**generation(body, chat.choices), "maxOutputTokens": output_limit}
    thought, dropped = thinking_config(body, thinking)
    if thought:
        config["thinkingConfig"] = thought
    whole: dict[str, Any] = {"contents": contents.contents, "generationConfig": config}
    if contents.system:
        whole["systemInstruction"] = {"parts": contents.system}
    if body.get("service_tier") in TIERS:
        whole["serviceTier"] = body["service_tier"]
    if "safety_settings" in body:
        whole["safetySettings"] = body["safety_settings"]
    functions = declared(body)
    if functions:
        whole["tools"] = [{"functionDeclarations": functions}]
        calling = calling_config(body)
        if calling:
            whole["toolConfig"] = {"functionCallingConfig": calling}
    return whole, dropped


def generation(body: dict[str, Any], choices: int) -> dict[str, Any]:
    """``generationConfig`` but for the output limit and the thinking. Raises BadRequest for too much of a thing."""
    config = {
        theirs: body[ours] for ours, theirs in PLAIN.items() if body.get(ours) or (ours in body and ours not in OFF)
    }
    if body.get("top_k"):
        config["topK"] = body["top_k"]
    if "seed" in body:
        config["seed"] = int32(body["seed"])
    if choices > 1:
        if choices > MOST_CANDIDATES:
            raise bad(f"This model takes 'n' up to {MOST_CANDIDATES}.", "unsupported_value", "n")
        config["candidateCount"] = choices
    stops = body.get("stop", [])
    stops = [stop for stop in ([stops] if type(stops) is str else stops) if stop]
    if len(stops) > MOST_STOPS:
        raise bad(f"This model takes up to {MOST_STOPS} stop sequences.", "unsupported_value", "stop")
    if stops:
        config["stopSequences"] = stops
    return {**config, **_format(body.get("response_format")), **drawing(body)}


def drawing(body: dict[str, Any]) -> dict[str, Any]:
    """What an image model is told: whether to draw, in which shape and size."""
    config: dict[str, Any] = {}
    if body.get("modalities"):
        config["responseModalities"] = [kind.upper() for kind in body["modalities"]]
    shape = {"aspectRatio": body.get("aspect_ratio"), "imageSize": body.get("image_size")}
    shape = {name: value for name, value in shape.items() if value is not None}
    if shape:
        config["imageConfig"] = shape
    return config


def thinking_config(body: dict[str, Any], thinking: Thinking) -> tuple[dict[str, Any], tuple[str, ...]]:
    """``thinkingConfig`` for ``reasoning_effort`` or ``reasoning``, empty where nothing was asked; and what is dropped.

    What is thought is shown unless none was wanted or ``reasoning.exclude`` says so.
    """
    asked = body.get("reasoning", {})
    effort = body.get("reasoning_effort", asked.get("effort"))
    effort = effort if type(effort) is str else None
    budget, shown = asked.get("max_tokens"), asked.get("exclude") is not True
    if effort is None and asked.get("enabled") is False:
        effort = "none"
    if effort not in BUDGETS and type(budget) is not int:
        return ({"includeThoughts": shown} if asked and thinking.way != "none" else {}), ()
    if thinking.way == "none":
        return {}, tuple(name for name in ("reasoning_effort", "reasoning") if name in body)
    config: dict[str, Any] = {"includeThoughts": shown and effort != "none"}
    if type(budget) is int and thinking.way in ("budget", "level"):
        config["thinkingBudget"] = max(budget, thinking.least_budget)
    elif thinking.way == "budget":
        config["thinkingBudget"] = max(BUDGETS[effort], thinking.least_budget)
    elif thinking.way == "level":
        config["thinkingLevel"] = thinking.levels[effort]
    return config, ()


def declared(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions of ``tools``, or of ``functions``, its older form. Raises BadRequest for tools of other kinds."""
    for index, tool in enumerate(body.get("tools", ())):
        if tool.get("type") != "function":
            raise bad("This model takes tools of type 'function' only.", "unsupported_value", f"tools[{index}].type")
    functions = [tool["function"] for tool in body.get("tools", ())]
    for index, function in enumerate(body.get("functions", ())):
        if type(function) is not dict or type(function.get("name")) is not str:
            name = f"functions[{index}].name"
            raise bad(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
        functions.append(function)
    return [gemini_schema.declaration(function) for function in functions]


def calling_config(body: dict[str, Any]) -> dict[str, Any]:
    """``tool_choice``, or ``function_call``, its older form; a choice nobody knows is left to Gemini's default."""
    name = "tool_choice" if "tool_choice" in body else "function_call"
    choice = body.get(name)
    if choice is None:
        return {}
    if type(choice) is str:
        if choice not in CHOICES:
            raise bad("Supported values are: 'none', 'auto', 'required'.", "invalid_value", name)
        return {"mode": CHOICES[choice]}
    if choice.get("type") == "allowed_tools":
        return _allowed(choice.get("allowed_tools"))
    function = choice if name == "function_call" else choice.get("function")
    wanted = function.get("name") if type(function) is dict else None
    if type(wanted) is not str:
        path = f"{name}.name" if name == "function_call" else f"{name}.function.name"
        raise bad(f"Missing required parameter: '{path}'.", "missing_required_parameter", path)
    return {"mode": "ANY", "allowedFunctionNames": [wanted]}


def int32(seed: int) -> int:
    """A seed of 64 bits as one that Gemini takes; the same again for the same."""
    return seed if -(2**31) <= seed < 2**31 else seed % 2**31


def _allowed(allowed: object) -> dict[str, Any]:
    """``allowed_tools``: some of the functions, one of which must be called, or may be."""
    given = allowed if type(allowed) is dict else {}
    tools = given.get("tools")
    functions = [tool.get("function") for tool in tools if type(tool) is dict] if type(tools) is list else []
    names = [one["name"] for one in functions if type(one) is dict and type(one.get("name")) is str]
    mode = "ANY" if given.get("mode") == "required" else "VALIDATED"
    return {"mode": mode, "allowedFunctionNames": names} if names else {}


def _format(wanted: dict[str, Any] | None) -> dict[str, Any]:
    kind = wanted.get("type") if wanted else None
    if wanted is None or kind not in ("json_object", "json_schema"):
        return {}
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    if kind == "json_schema" and type(wanted["json_schema"].get("schema")) is dict:
        config["responseJsonSchema"] = wanted["json_schema"]["schema"]
    return config
