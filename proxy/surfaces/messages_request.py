"""A request for Anthropic's Messages: as it goes to Anthropic itself, and in OpenAI's words for all others. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from proxy import chat
from proxy.chat import UNBOUNDED, ChatRequest
from proxy.dialects import anthropic_messages
from proxy.surfaces import messages_check, messages_thoughts
from proxy.surfaces.messages_blocks import THINKING, Translation
from proxy.surfaces.messages_check import wrong

OPERATION = "messages"
MOST_STOPS = 4
MOST_USER = 64
"""What OpenAI takes of ``user``; Claude Code's are longer."""
MOST_BETAS = 1024
OPERATORS_BETAS = ("context-1m",)
"""Betas that make a call larger than the model's context window, which its hold is made for and its usage judged by."""

_SAME = ("model", "stream", "temperature", "top_p", "top_k")

Body = dict[str, Any]


def parse(raw: bytes) -> ChatRequest:
    """Bytes → request; raises BadRequest naming the path."""
    return _request(raw, counting=False)


def parse_count(raw: bytes) -> ChatRequest:
    """The same for a count of tokens, which says no max_tokens."""
    return _request(raw, counting=True)


def native_headers(headers: Mapping[bytes, bytes]) -> tuple[tuple[str, str], ...]:
    """The client's headers that Anthropic is told as well: which of its betas are wanted, but for OPERATORS_BETAS."""
    betas = headers.get(b"anthropic-beta", b"").decode("latin-1").strip()
    if not betas or len(betas) > MOST_BETAS or not betas.isascii() or not betas.isprintable():
        return ()
    told = ",".join(beta for beta in betas.split(",") if not beta.strip().lower().startswith(OPERATORS_BETAS))
    return (("anthropic-beta", told),) if told else ()


def _request(raw: bytes, *, counting: bool) -> ChatRequest:
    given = messages_check.check(chat.decode(raw), counting=counting)
    translation = Translation()
    if "system" in given:
        translation.system(given["system"])
    for index, message in enumerate(given["messages"]):
        translation.turn(message, f"messages.{index}")
    body = {name: given[name] for name in _SAME if name in given}
    body["messages"] = translation.messages or [{"role": "user", "content": anthropic_messages.GO_ON}]
    if not counting:
        body["max_completion_tokens"] = given["max_tokens"]
    body |= _tools(given) | _thinking(given) | _format(given) | _user(given)
    stops = given.get("stop_sequences", [])
    if stops:
        body["stop"] = stops[:MOST_STOPS]
    request = chat.request(body, size=len(raw))
    if len(stops) > MOST_STOPS:  # more than OpenAI takes: for the upstream to judge
        request.body["stop"] = stops
    request.operation = OPERATION
    request.native = _native(given)
    request.thoughts, request.thinking = translation.thoughts, translation.thinking
    if translation.foreign:  # nobody knows what they hold
        request.linked_images += UNBOUNDED
    return request


def _tools(given: Body) -> Body:
    tools = [_tool(tool) for tool in given.get("tools", ())]
    if not tools:
        return {}
    choice = given.get("tool_choice", {})
    body: Body = {"tools": tools}
    words = {"auto": "auto", "any": "required", "none": "none"}
    kind = choice.get("type")
    if kind == "tool":
        name = messages_check.text_at(choice, "name", "tool_choice")
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif type(kind) is str and kind in words:
        body["tool_choice"] = words[kind]
    elif choice:
        raise wrong("tool_choice.type", "Input should be 'auto', 'any', 'tool' or 'none'")
    if choice.get("disable_parallel_tool_use") is True:
        body["parallel_tool_calls"] = False
    return body


def _tool(tool: Body) -> Body:
    kind = tool.get("type") or "custom"
    if kind == "custom":
        function = {"name": tool["name"], "parameters": tool["input_schema"]}
        if type(tool.get("description")) is str:
            function["description"] = tool["description"]
        return {"type": "function", "function": function}
    name = tool.get("name")
    name = name if type(name) is str else kind.rpartition("_")[0]
    shape = next((shape for prefix, shape in _CLIENT_TOOLS.items() if kind.startswith(prefix)), _OPEN)
    return {"type": "function", "function": {"name": name, **shape}}


def _texts(*names: str) -> Body:
    return {name: {"type": "string"} for name in names}


_OPEN: Body = {"parameters": {"type": "object", "properties": {"action": {"type": "string"}}}}
_EDITS = {"command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]}}
_EDITOR: Body = {
    **_texts("path", "file_text", "old_str", "new_str", "insert_text"),
    "insert_line": {"type": "integer"},
    "view_range": {"type": "array", "items": {"type": "integer"}},
}
_CLIENT_TOOLS: dict[str, Body] = {
    "bash_": {
        "description": "Run a command in a bash session that stays open between calls, or restart the session.",
        "parameters": {"type": "object", "properties": {**_texts("command"), "restart": {"type": "boolean"}}},
    },
    "text_editor_": {
        "description": "View, create and edit text files.",
        "parameters": {"type": "object", "properties": {**_EDITS, **_EDITOR}, "required": ["command", "path"]},
    },
    "memory_": {
        "description": "Keep notes in files below /memories.",
        "parameters": {
            "type": "object",
            "properties": {**_texts("command", "old_path", "new_path"), **_EDITOR},
            "required": ["command"],
        },
    },
}
"""What Anthropic's models know of themselves about tools that the client runs."""


def _thinking(given: Body) -> Body:
    """How hard to think. Where it is off, nothing is said: models that cannot think refuse to hear of it."""
    thinking, output = given.get("thinking", {}), given.get("output_config", {})
    if thinking.get("type") == "disabled":
        return {}
    effort = output.get("effort")
    if effort is not None:
        if effort not in ("low", "medium", "high", "xhigh", "max"):
            raise wrong("output_config.effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
        return {"reasoning_effort": "xhigh" if effort == "max" else effort}
    budget = thinking.get("budget_tokens")
    if thinking.get("type") != "enabled" or type(budget) is not int:
        return {}
    return {"reasoning_effort": "low" if budget < 2048 else "medium" if budget < 4096 else "high"}


def _format(given: Body) -> Body:
    wanted = given.get("output_config", {}).get("format") or given.get("output_format")
    if wanted is None:
        return {}
    if type(wanted) is not dict or type(wanted.get("schema")) is not dict:
        raise messages_check.missing("output_config.format.schema")
    named = {"name": "answer", "schema": wanted["schema"], "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _user(given: Body) -> Body:
    user = given.get("metadata", {}).get("user_id")
    if type(user) is not str or not user:
        return {}
    return {"user": user if len(user) <= MOST_USER else hashlib.sha256(user.encode()).hexdigest()}


def _native(given: Body) -> Body:
    """The body for Anthropic, without thinking that is not Anthropic's: another provider's, from earlier turns."""
    native = {name: value for name, value in given.items() if name != "betas"}
    kept = [_kept(message) for message in given["messages"]]
    if all(kept[index] is message for index, message in enumerate(given["messages"])):
        return native
    native["messages"] = [message for message in kept if message["content"]]
    turns = [
        {**message, "content": [{"type": "text"}] if type(message["content"]) is str else message["content"]}
        for message in native["messages"]
    ]
    if anthropic_messages.unsigned(turns):
        native.pop("thinking", None)
    return native


def _kept(message: Body) -> Body:
    content = message["content"]
    if message["role"] != "assistant" or type(content) is str:
        return message
    left = [block for block in content if block["type"] not in THINKING or messages_thoughts.is_native(block)]
    return message if len(left) == len(content) else {**message, "content": left}
