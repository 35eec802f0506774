"""The sandbox's answers in OpenAI's shapes: what is said, and how it looks whole and in chunks. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.sandbox import words
from proxy.sandbox.behaviour import Behaviour

FINGERPRINT = "fp_sandbox01"
HUGE = 10**15


class StreamOptions(msgspec.Struct):
    """``stream_options`` of a request."""

    include_usage: bool | None = None


class Call(msgspec.Struct):
    """The fields of a chat-completions request the sandbox heeds; it ignores the others."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    user: str | None = None

    @property
    def limit(self) -> int | None:
        """The most tokens a choice may have."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call will be answered: the same tokens for each of ``n`` choices, and what they count."""

    pieces: tuple[str, ...]
    finish: str
    prompt: int
    n: int = 1
    cached: int = 0
    reasoning: int = 0
    tool: str | None = None

    @property
    def completion(self) -> int:
        """Tokens of all choices, reasoning included. Naming a tool is one token."""
        return self.n * (len(self.pieces) + self.reasoning + (self.tool is not None))

    def usage(self, completion: int | None = None) -> dict[str, Any]:
        """The usage object, for the whole answer or for ``completion`` tokens so far."""
        completion = self.completion if completion is None else completion
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": completion,
            "total_tokens": self.prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": min(self.n * self.reasoning, completion),
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def plan(call: Call, behaviour: Behaviour) -> Plan:
    """The answer to a call, before anything goes wrong with it."""
    prompt = words.prompt_tokens(call.messages, call.tools)
    n = call.n or 1
    tool = _tool_name(call) if behaviour.kind == "tools" else None
    text = words.before_stop(_text(call, behaviour), call.stop) if tool is None else _arguments(call)
    said = [text] if behaviour.kind == "longline" else words.pieces(text)
    reasoning = behaviour.first if behaviour.kind == "reasoning" else 0
    finish = "stop" if tool is None else "tool_calls"
    if call.limit is not None and reasoning + len(said) + (tool is not None) > call.limit:
        reasoning = min(reasoning, call.limit)
        said = said[: max(0, call.limit - reasoning - (tool is not None))]
        finish = "length"
    cached = 0
    if behaviour.kind == "cached":
        cached = prompt // 2 if behaviour.first < 0 else min(behaviour.first, prompt)
    return Plan(tuple(said), finish, prompt, n, cached, reasoning, tool)


def _text(call: Call, behaviour: Behaviour) -> str:
    said = words.last_user_text(call.messages)
    match behaviour.kind:
        case "paced":
            return " tick" * behaviour.first
        case "fixed":
            return " word" * behaviour.second
        case "json":
            return msgspec.json.encode({"echo": said}).decode()
        case "longline":
            return "x" * (1024 * behaviour.first)
        case "split":
            return said + " é 漢字 🎉"
        case "tools" if call.messages and call.messages[-1].get("role") == "tool":
            return "The tool says: " + words.text_of(call.messages[-1].get("content"))
    return said


def _tool_name(call: Call) -> str | None:
    """The tool to call: the named one, else the first; none after a tool's result or when told so."""
    if not call.tools or call.tool_choice == "none" or (call.messages and call.messages[-1].get("role") == "tool"):
        return None
    chosen = call.tool_choice if isinstance(call.tool_choice, dict) else call.tools[0]
    return str(chosen.get("function", {}).get("name", "tool"))


def _arguments(call: Call) -> str:
    return msgspec.json.encode({"text": words.last_user_text(call.messages)}).decode()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every object of one answer repeats; ``usage`` is the kind that bends its usage, or nothing."""

    ident: str
    model: str
    created: int
    usage: str = ""

    def whole(self, plan: Plan) -> dict[str, Any]:
        """The ``chat.completion`` object."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(plan.pieces), "refusal": None}
        if plan.tool is not None:
            message["content"] = None
            message["tool_calls"] = [_tool_call(self.ident, plan.tool, "".join(plan.pieces))]
        message["annotations"] = []
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": plan.finish}
            for index in range(plan.n)
        ]
        body = self._object("chat.completion", choices)
        return body if self.usage == "no-usage" else {**body, "usage": self.reported(plan)}

    def reported(self, plan: Plan) -> dict[str, Any]:
        """The usage the sandbox tells, which may be bent; its ledger has the true one."""
        usage = plan.usage()
        match self.usage:
            case "zero-usage":
                return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
            case "negative-usage":
                return {**usage, "completion_tokens": -7, "total_tokens": plan.prompt - 7}
            case "huge-usage":
                return {**usage, "completion_tokens": HUGE, "total_tokens": plan.prompt + HUGE}
        return usage

    def frames(self, plan: Plan, *, with_usage: bool) -> Iterator[tuple[dict[str, Any], int]]:
        """The ``chat.completion.chunk`` objects of a stream, each with the tokens it carries.

        The role comes first, then one token per chunk, the choices interleaved, then the finish reasons and, if
        asked for, the usage with no choices.
        """
        usage_key: dict[str, Any] = {"usage": None} if with_usage and self.usage != "no-usage" else {}
        sent = plan.n * plan.reasoning

        def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            each = {"usage": plan.usage(sent)} if self.usage == "usage-each" and with_usage else usage_key
            return {**self._object("chat.completion.chunk", [choice]), **each}

        for delta, tokens in self._deltas(plan):
            sent += tokens * plan.n
            for index in range(plan.n):
                yield chunk(index, delta), tokens
        for index in range(plan.n):
            last = chunk(index, {}, plan.finish)
            if self.usage == "usage-twice" and with_usage and index == plan.n - 1:
                last["usage"] = plan.usage(max(0, plan.completion - 1))
            yield last, 0
        if usage_key:
            yield {**self._object("chat.completion.chunk", []), "usage": self.reported(plan)}, 0

    def _deltas(self, plan: Plan) -> Iterator[tuple[dict[str, Any], int]]:
        if plan.tool is None:
            yield {"role": "assistant", "content": "", "refusal": None}, 0
            for piece in plan.pieces:
                yield {"content": piece}, 1
            return
        yield {"role": "assistant", "content": None}, 0
        yield {"tool_calls": [{"index": 0, **_tool_call(self.ident, plan.tool, "")}]}, 1
        for piece in plan.pieces:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, 1

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.ident,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        }


def _tool_call(ident: str, name: str, arguments: str) -> dict[str, Any]:
    call_id = f"call_{zlib.crc32(ident.encode()):08x}"
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def model_list(names: list[str]) -> dict[str, Any]:
    """The answer of ``GET /v1/models``."""
    return {
        "object": "list",
        "data": [
            {"id": f"sandbox/{name}", "object": "model", "created": 1735689600, "owned_by": "sandbox"} for name in names
        ],
    }


def error(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
