"""A request for the Responses API, which keeps nothing here, in the words of chat completions. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy import chat
from proxy.chat import ChatRequest
from proxy.errors import BadRequest
from proxy.parameter_table import STEERING
from proxy.parameters import bad, wrong_type
from proxy.surfaces import responses_tools
from proxy.surfaces.responses_items import STATEFUL, Translation

OPERATION = "responses"
PROBABLE = "message.output_text.logprobs"
MOST_ITEMS = 20_000
NAMES = {
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "messages": "input",
}
"""What chat completions call something → what it is here."""
OF_SCHEMA = ("name", "description", "schema", "strict")
"""What of a JSON schema's format is the schema in chat completions, where it is one level deeper."""

Body = dict[str, Any]

SAME = frozenset(
    {"model", "temperature", "top_p", "stream", "user", "metadata", "store", "service_tier", "prompt_cache_key",
     "prompt_cache_retention", "safety_identifier", "parallel_tool_calls", "top_logprobs"}
)  # fmt: skip
"""Parameters that chat completions take under the same name."""
STATE = frozenset({"previous_response_id", "conversation", "prompt"})
WITHOUT_EFFECT = frozenset(
    {"include", "truncation", "stream_options", "max_tool_calls", "client_metadata", "context_management"}
)
"""What clients send and nothing here depends on: signed reasoning always comes, and nothing is cut in silence."""


def parse(raw: bytes) -> ChatRequest:
    """Bytes → request; raises BadRequest naming the parameter."""
    given = {name: value for name, value in chat.decode(raw).items() if value is not None}
    _check(given)
    body: Body = {name: given[name] for name in SAME if name in given}
    translation = _translated(given)
    body["messages"] = translation.messages
    for name, take in TAKEN.items():
        if name in given:
            body |= take(given[name])
    tools, left = responses_tools.taken(given.get("tools", []))
    if tools:
        body["tools"] = tools
    else:  # Codex sums a conversation up without any; chat completions take no choice among none
        for name in ("parallel_tool_calls", "tool_choice"):
            body.pop(name, None)
    body |= {name: given[name] for name in given if name not in KNOWN}
    include = given.get("include")
    if "top_logprobs" in body or (type(include) is list and PROBABLE in include):
        body["logprobs"] = True
    try:
        request = chat.request(body, size=len(raw))
    except BadRequest as refused:
        raise _in_our_words(refused) from None
    request.operation = OPERATION
    request.native = given
    request.thinking = translation.thinking
    request.include_usage = True
    request.dropped = (*left, "truncation") if given.get("truncation") == "auto" else left
    return request


def _in_our_words(refused: BadRequest) -> BadRequest:
    """A refusal that names the parameter as this API does."""
    first, dot, rest = (refused.param or "").partition(".")
    base = first.partition("[")[0]
    theirs = NAMES.get(base, base)
    param = theirs if base in NAMES else first + dot + rest
    return BadRequest(refused.message.replace(f"'{base}'", f"'{theirs}'"), refused.code, param=param)


def _check(given: Body) -> None:
    for name in STATE:
        if name in given:
            raise bad(f"'{name}' cannot be used. {STATEFUL}", "unsupported_parameter", name)
    for name in given:
        if name in STEERING:
            raise bad(f"Unknown parameter: '{name}'.", "unknown_parameter", name)
    if given.get("background"):
        raise bad("Answers are not made in the background here.", "unsupported_parameter", "background")
    if "input" not in given:
        raise bad("Missing required parameter: 'input'.", "missing_required_parameter", "input")


def _translated(given: Body) -> Translation:
    translation = Translation()
    instructions = given.get("instructions")
    if instructions is not None:
        if type(instructions) is not str:
            raise wrong_type("instructions", "a string", instructions)
        translation.messages.append({"role": "system", "content": instructions})
    items = given["input"]
    if type(items) is str:
        items = [{"role": "user", "content": items}]
    if type(items) is not list:
        raise wrong_type("input", "a string or an array", items)
    if not items or len(items) > MOST_ITEMS:
        raise bad(f"'input' takes 1 to {MOST_ITEMS} items.", "invalid_value", "input")
    for index, item in enumerate(items):
        translation.item(item, f"input[{index}]")
    return translation


def _output_limit(value: Any) -> Body:
    return {"max_completion_tokens": value}


def _reasoning(value: Any) -> Body:
    if type(value) is not dict:
        raise wrong_type("reasoning", "an object", value)
    effort = value.get("effort")
    return {} if effort is None else {"reasoning_effort": effort}


def _text(value: Any) -> Body:
    """How the answer is to be written."""
    if type(value) is not dict:
        raise wrong_type("text", "an object", value)
    found: Body = {}
    if value.get("verbosity") is not None:
        found["verbosity"] = value["verbosity"]
    form = value.get("format")
    if form is None:
        return found
    if type(form) is not dict:
        raise wrong_type("text.format", "an object", form)
    if form.get("type") == "json_schema":
        schema = {name: form[name] for name in OF_SCHEMA if form.get(name) is not None}
        return {**found, "response_format": {"type": "json_schema", "json_schema": schema}}
    return {**found, "response_format": {"type": form.get("type")}}


def _tool_choice(value: Any) -> Body:
    return {"tool_choice": responses_tools.choice(value)}


TAKEN: dict[str, Callable[[Any], Body]] = {
    "max_output_tokens": _output_limit,
    "reasoning": _reasoning,
    "text": _text,
    "tool_choice": _tool_choice,
}
KNOWN = SAME | STATE | WITHOUT_EFFECT | TAKEN.keys() | {"input", "instructions", "background", "tools"}
