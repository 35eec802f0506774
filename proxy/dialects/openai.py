"""The OpenAI chat-completions dialect, spoken by OpenAI and by everybody compatible with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from proxy.chat import ChatRequest
from proxy.dialects import failures, openai_answer
from proxy.dialects.openai_stream import OpenAIStream
from proxy.dialects.shape import OPENAI, Answer, Asked, FailureMessage, UpstreamCall
from proxy.parameters import bad

SAMPLING = ("temperature", "top_p", "top_k", "min_p")

_REASONING = re.compile(r"(?:openai/)?(?:o[1-9]|gpt-[5-9])(?![0-9a-z])")


class OpenAI:
    """The dialect. What its upstreams do differently is in their rules."""

    speaks = OPENAI

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """The client's parameters under the upstream's model name, usage always asked for, output always limited."""
        body = dict(chat.body)
        body["model"] = upstream_model
        if not rules.get("reasoning_details"):
            body["messages"] = without_details(body["messages"])
        wanted = rules.get("max_tokens_param") or limit_name(upstream_model)
        if wanted is None:
            wanted = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        body.pop("max_tokens", None)
        body.pop("max_completion_tokens", None)
        body[wanted] = output_limit
        if chat.stream:
            body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
        dropped = bend(body, rules) if rules else ()
        return UpstreamCall(path_of(rules, upstream_model, "/chat/completions"), orjson.dumps(body), dropped=dropped)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """A whole answer: the upstream's own, under our id and the model name that was asked for."""
        return openai_answer.read(raw, asked)

    def stream(self, asked: Asked) -> OpenAIStream:
        """A translator for one stream."""
        return OpenAIStream(asked)

    def failure_message(self, raw: bytes) -> FailureMessage:
        """See proxy/dialects/failures.py."""
        return failures.message_of(raw)


@lru_cache(maxsize=1024)
def limit_name(upstream_model: str) -> str | None:
    """What a family calls the output limit, where no rule says it: OpenAI's reasoning models refuse ``max_tokens``."""
    return "max_completion_tokens" if _REASONING.match(upstream_model) else None


def without_details(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages without the signed reasoning of other providers, which OpenAI's own API refuses."""
    for message in messages:
        if "reasoning_details" in message:
            break
    else:
        return messages
    return [{name: part for name, part in message.items() if name != "reasoning_details"} for message in messages]


def path_of(rules: Mapping[str, Any], upstream_model: str, usual: str) -> str:
    """The path below the base URL, with the query its upstream wants."""
    path = str(rules.get("path", usual)).replace("{model}", quote(upstream_model, safe="")) if rules else usual
    query = rules.get("query") if rules else None
    return f"{path}?{query}" if query else path


def bend(body: dict[str, Any], rules: Mapping[str, Any]) -> tuple[str, ...]:
    """Change a body by an upstream's rules; returns what was dropped. Raises BadRequest for what is refused."""
    for name in rules.get("refuse", ()):
        if name in body:
            raise bad(f"This model does not take '{name}'.", "unsupported_parameter", name)
    for name, most in rules.get("most", {}).items():
        if type(body.get(name)) in (int, float) and body[name] > most:
            raise bad(f"This model takes '{name}' up to {most}.", "unsupported_value", name)
    drop = [*rules.get("drop", ()), *(SAMPLING if rules.get("sampling") is False else ())]
    dropped = tuple(name for name in drop if body.pop(name, None) is not None)
    if rules.get("stream_usage") is False:
        body.pop("stream_options", None)
    for name, other in rules.get("rename", {}).items():
        if name in body:
            body[other] = body.pop(name)
    role = rules.get("developer_role")
    if role not in (None, "developer"):
        body["messages"] = [
            {**message, "role": role} if message.get("role") == "developer" else message for message in body["messages"]
        ]
    if rules.get("forced_tool_choice") is False and body.get("tool_choice") not in (None, "auto", "none"):
        body["tool_choice"] = "auto"
        dropped += ("tool_choice",)
    body.update(rules.get("set", {}))
    return dropped
