"""What Anthropic refuses of a request's parameters, each with the real API's words. Pure."""

from __future__ import annotations

import re
from typing import Any

from proxy.sandbox.anthropic import blocks, schemas, turns
from proxy.sandbox.anthropic.refusal import invalid
from proxy.sandbox.behaviour import Behaviour

COUNTED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)
SAMPLING = ("temperature", "top_p", "top_k")
FIELDS = COUNTED.union(
    ("max_tokens", "metadata", "stop_sequences", "stream", "service_tier", "container", "inference_geo"),
    ("diagnostics", "speed"),
    SAMPLING,
)
BETA_FIELDS = frozenset({"context_management", "mcp_servers", "output_format", "betas", "fallbacks"})
EFFORTS = ("low", "medium", "high", "xhigh", "max")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
LEAST_BUDGET = 1024
MOST_CACHE_MARKS = 4


def check(body: dict[str, Any], asked: Behaviour, *, counting: bool, beta: bool) -> None:
    """Raise the Refusal that the real API would answer to this body; a count of tokens takes fewer fields."""
    known = (COUNTED if counting else FIELDS) | (BETA_FIELDS if beta else frozenset())
    for name in body:
        if name not in known:
            raise invalid(f"{name}: Extra inputs are not permitted")
    if not counting:
        _limits(body)
    _system(body.get("system"))
    _tools(body)
    _thinking(body, asked, counting=counting)
    _sampling(body, asked)
    _output(body.get("output_config"))
    turns.check(body, asked)
    _cache_marks(body)


def _limits(body: dict[str, Any]) -> None:
    if "max_tokens" not in body:
        raise invalid("max_tokens: Field required")
    most = body["max_tokens"]
    if type(most) is not int:
        raise invalid("max_tokens: Input should be a valid integer")
    if most < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if "stream" in body and type(body["stream"]) is not bool:
        raise invalid("stream: Input should be a valid boolean")
    for index, sequence in enumerate(_list(body, "stop_sequences")):
        if type(sequence) is not str:
            raise invalid(f"stop_sequences.{index}: Input should be a valid string")
        if not sequence.strip():
            raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        raise invalid("service_tier: Input should be 'auto' or 'standard_only'")
    _metadata(body.get("metadata", {}))


def _metadata(metadata: Any) -> None:
    if type(metadata) is not dict:
        raise invalid("metadata: Input should be an object")
    for name, value in metadata.items():
        if name != "user_id":
            raise invalid(f"metadata.{name}: Extra inputs are not permitted")
        if value is not None and type(value) is not str:
            raise invalid("metadata.user_id: Input should be a valid string")
        if value is not None and len(value) > 256:
            raise invalid("metadata.user_id: String should have at most 256 characters")


def _system(system: Any) -> None:
    if system is None or type(system) is str:
        return
    if type(system) is not list:
        raise invalid("system: Input should be a valid list")
    for index, block in enumerate(system):
        if type(block) is not dict or block.get("type") != "text":
            raise invalid(f"system.{index}.type: Input should be 'text'")
        blocks.check_text(block, f"system.{index}", "system")


def _tools(body: dict[str, Any]) -> None:
    names = []
    for index, tool in enumerate(_list(body, "tools")):
        if type(tool) is not dict:
            raise invalid(f"tools.{index}: Input should be an object")
        names.append(_tool(tool, f"tools.{index}"))
    if len(set(names)) < len(names):
        raise invalid("tools: Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is not None:
        _tool_choice(choice, names)


def _tool(tool: dict[str, Any], path: str) -> str:
    """A tool's name; tools of the provider have a dated type and no schema."""
    if tool.get("type") not in (None, "custom"):
        if not re.fullmatch(r"[a-z_]+_20\d{6}", str(tool["type"])):
            raise invalid(
                f"{path}: Input tag '{tool['type']}' found using 'type' does not match any of the expected tags"
            )
        return str(tool.get("name"))
    path += ".custom"
    allowed = {"name", "description", "input_schema", "type", "cache_control", "strict", "eager_input_streaming"}
    allowed |= {"defer_loading", "allowed_callers", "input_examples"}
    for member in tool:
        if member not in allowed:
            raise invalid(f"{path}.{member}: Extra inputs are not permitted")
    name, schema = tool.get("name"), tool.get("input_schema")
    if type(name) is not str:
        raise invalid(f"{path}.name: Field required")
    if not TOOL_NAME.fullmatch(name):
        raise invalid(f"{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if "description" in tool and type(tool["description"]) is not str:
        raise invalid(f"{path}.description: Input should be a valid string")
    if schema is None:
        raise invalid(f"{path}.input_schema: Field required")
    if type(schema) is not dict:
        raise invalid(f"{path}.input_schema: Input should be an object")
    if schema.get("type") != "object":
        missing = "Input should be 'object'" if "type" in schema else "Field required"
        raise invalid(f"{path}.input_schema.type: {missing}")
    if tool.get("strict"):
        schemas.check(schema, path)
    return name


def _tool_choice(choice: Any, names: list[str]) -> None:
    kind = choice.get("type") if type(choice) is dict else None
    if kind not in ("auto", "any", "tool", "none"):
        raise invalid(
            f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            "'auto', 'any', 'tool', 'none'"
        )
    allowed = {"type"} | ({"name"} if kind == "tool" else set())
    allowed |= {"disable_parallel_tool_use"} if kind != "none" else set()
    for name in choice:
        if name not in allowed:
            raise invalid(f"tool_choice.{kind}.{name}: Extra inputs are not permitted")
    if not names:
        raise invalid("tool_choice: tool_choice may only be specified while providing tools.")
    if kind == "tool" and "name" not in choice:
        raise invalid("tool_choice.tool.name: Field required")
    if kind == "tool" and choice["name"] not in names:
        raise invalid(f"Tool '{choice['name']}' not found in provided tools")


def _thinking(body: dict[str, Any], asked: Behaviour, *, counting: bool) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if type(thinking) is dict else None
    if kind not in ("enabled", "adaptive", "disabled"):
        raise invalid(
            f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            "'adaptive', 'disabled', 'enabled'"
        )
    allowed = {"enabled": {"type", "budget_tokens", "display"}, "adaptive": {"type", "display"}, "disabled": {"type"}}
    for name in thinking:
        if name not in allowed[kind]:
            raise invalid(f"thinking.{kind}.{name}: Extra inputs are not permitted")
    if kind == "enabled":
        _budget(thinking, body.get("max_tokens"), counting=counting)
    if kind != "disabled" and (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _budget(thinking: dict[str, Any], most: Any, *, counting: bool) -> None:
    budget = thinking.get("budget_tokens")
    if budget is None:
        raise invalid("thinking.enabled.budget_tokens: Field required")
    if type(budget) is not int or budget < LEAST_BUDGET:
        raise invalid(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET}")
    if not counting and most <= budget:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _sampling(body: dict[str, Any], asked: Behaviour) -> None:
    given = [name for name in SAMPLING if body.get(name) is not None]
    for name in given:
        if type(body[name]) not in (int, float) or (name == "top_k" and type(body[name]) is not int):
            raise invalid(f"{name}: Input should be a valid {'integer' if name == 'top_k' else 'number'}")
        if name != "top_k" and not 0 <= body[name] <= 1:
            raise invalid(f"{name}: range: 0..1")
        if name == "top_k" and body[name] < 0:
            raise invalid("top_k: Input should be greater than or equal to 0")
    if given and asked.kind == "no-sampling":
        raise invalid(f"`{given[0]}` is deprecated for this model.")
    if (body.get("thinking") or {}).get("type") not in ("enabled", "adaptive"):
        return
    if body.get("temperature", 1) != 1:
        raise invalid("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
    if "top_k" in given:
        raise invalid("`top_k` must be unset when thinking is enabled or in adaptive mode.")
    if "top_p" in given and body["top_p"] < 0.95:
        raise invalid("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")


def _output(config: Any) -> None:
    if config is None:
        return
    if type(config) is not dict:
        raise invalid("output_config: Input should be an object")
    for name in config:
        if name not in ("effort", "format"):
            raise invalid(f"output_config.{name}: Extra inputs are not permitted")
    if config.get("effort") is not None and config["effort"] not in EFFORTS:
        raise invalid("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    wanted = config.get("format")
    if wanted is None:
        return
    if type(wanted) is not dict or wanted.get("type") != "json_schema":
        raise invalid("output_config.format.type: Input should be 'json_schema'")
    for name in wanted:
        if name not in ("type", "schema"):
            raise invalid(f"output_config.format.{name}: Extra inputs are not permitted")
    if type(wanted.get("schema")) is not dict:
        raise invalid("output_config.format.schema: Field required")
    schemas.check(wanted["schema"], "output_config.format.schema")


def _cache_marks(body: dict[str, Any]) -> None:
    """At most four blocks are marked, an hour's before five minutes' ones."""
    marks = list(_marks([body.get("tools"), body.get("system"), body["messages"]]))
    if len(marks) > MOST_CACHE_MARKS:
        raise invalid(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    short = False
    for mark in marks:
        if type(mark) is not dict or mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
            raise invalid("cache_control: Input should be an ephemeral mark with a ttl of '5m' or '1h'")
        if short and mark.get("ttl") == "1h":
            raise invalid("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")
        short = short or mark.get("ttl", "5m") == "5m"


def _marks(value: Any) -> Any:
    """The marks in the order of the prompt; those inside a tool's schema or input are no marks."""
    if type(value) is list:
        for item in value:
            yield from _marks(item)
    elif type(value) is dict:
        if type(value.get("content")) is list:
            yield from _marks(value["content"])
        if value.get("cache_control") is not None:
            yield value["cache_control"]


def _list(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    if type(value) is not list:
        raise invalid(f"{name}: Input should be a valid list")
    return value
