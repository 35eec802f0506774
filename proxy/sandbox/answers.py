"""The sandbox's answers in OpenAI's shapes: what is said, and how it looks whole and in chunks. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from proxy.sandbox import likelihood, pictures, plans, words
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.plans import HIDDEN, Ask, Plan

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
    logprobs: bool | None = None
    top_logprobs: int | None = None

    @property
    def limit(self) -> int | None:
        """The most tokens a choice may have."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def ask(call: Call, thinks: str) -> Ask:
    """What the sandbox heeds of the call."""
    last = call.messages[-1] if call.messages else {}
    stop = (call.stop,) if isinstance(call.stop, str) else tuple(call.stop or ())
    return Ask(
        words.prompt_tokens(call.messages, call.tools),
        words.last_user_text(call.messages),
        words.text_of(last.get("content")) if last.get("role") == "tool" else None,
        _tool_names(call),
        stop,
        call.limit,
        call.n or 1,
        thinks,
        likely=(call.top_logprobs or 0) if call.logprobs else likelihood.NONE,
    )


def plan(call: Call, asked: Behaviour, thinks: str = HIDDEN) -> Plan:
    """The answer to a call, before anything goes wrong with it. Only some kinds think here."""
    return plans.make(ask(call, thinks if asked.kind in plans.THINKERS else ""), asked)


def usage(plan: Plan, completion: int | None = None) -> dict[str, Any]:
    """The usage object, for the whole answer or for ``completion`` tokens so far."""
    completion = plan.completion if completion is None else completion
    read = {"cached_tokens": plan.cached, "audio_tokens": plan.audio_in}
    if plan.written:
        read["cache_write_tokens"] = plan.written
    said = {
        "reasoning_tokens": min(plan.n * plan.reasoning, completion),
        "audio_tokens": min(plan.audio_out, completion),
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    if plan.images:
        said["image_tokens"] = min(plan.drawn, completion)
    return {
        "prompt_tokens": plan.prompt,
        "completion_tokens": completion,
        "total_tokens": plan.prompt + completion,
        "prompt_tokens_details": read,
        "completion_tokens_details": said,
    }


def finish_reason(finish: str) -> str:
    """A plan's end in OpenAI's words."""
    if finish in plans.CUT_SHORT or finish == "blocked":
        return "content_filter"
    return {"stop_sequence": "stop", "pause-turn": "stop", "context-full": "length"}.get(finish, finish)


def _tool_names(call: Call) -> tuple[str, ...]:
    """The tools that may be called: the named one alone, else all; none when told so."""
    if not call.tools or call.tool_choice == "none":
        return ()
    chosen = [call.tool_choice] if isinstance(call.tool_choice, dict) else call.tools
    return tuple(str(tool.get("function", {}).get("name", "tool")) for tool in chosen)


class Weight(NamedTuple):
    """What is generated with one chunk: tokens, and which of them are thoughts or belong to a picture."""

    tokens: int = 0
    thought: int = 0
    drawn: int = 0


NOTHING = Weight()
ONE = Weight(1)
THOUGHT = Weight(1, 1)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every object of one answer repeats; ``usage`` is the kind that bends its usage, or nothing.

    ``thinking`` is the member that shows thoughts, where an upstream has one.
    """

    ident: str
    model: str
    created: int
    usage: str = ""
    thinking: str = "reasoning_content"

    def whole(self, plan: Plan) -> dict[str, Any]:
        """The ``chat.completion`` object."""
        message: dict[str, Any] = {"role": "assistant", "content": plan.text, "refusal": None}
        if plan.calls:
            message["content"] = "".join(plan.preface) or None
            message["tool_calls"] = [_tool_call(self.ident, place, plan) for place in range(len(plan.calls))]
        if plan.thought:
            message[self.thinking] = "".join(plan.thought)
        if plan.images:
            message["images"] = [picture(index) for index in range(plan.images)]
        message["annotations"] = []
        finish = finish_reason(plan.finish)
        likely = likelihood.openai("" if plan.calls else plan.text, plan.likely)
        choices = [
            {"index": index, "message": message, "logprobs": likely, "finish_reason": finish} for index in range(plan.n)
        ]
        body = self._object("chat.completion", choices)
        return body if self.usage == "no-usage" else {**body, "usage": self.reported(plan)}

    def reported(self, plan: Plan) -> dict[str, Any]:
        """The usage the sandbox tells, which may be bent; its ledger has the true one."""
        true = usage(plan)
        match self.usage:
            case "zero-usage":
                return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
            case "negative-usage":
                return {**true, "completion_tokens": -7, "total_tokens": plan.prompt - 7}
            case "huge-usage":
                return {**true, "completion_tokens": HUGE, "total_tokens": plan.prompt + HUGE}
        return true

    def frames(self, plan: Plan, *, with_usage: bool) -> Iterator[tuple[dict[str, Any], Weight]]:
        """The ``chat.completion.chunk`` objects of a stream, each with the tokens it carries.

        The role comes first, then one token per chunk, the choices interleaved, then the finish reasons and, if
        asked for, the usage with no choices.
        """
        usage_key: dict[str, Any] = {"usage": None} if with_usage and self.usage != "no-usage" else {}
        sent = 0 if plan.thought else plan.n * plan.reasoning

        def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            likely = likelihood.openai(delta["content"], plan.likely) if delta.get("content") else None
            choice = {"index": index, "delta": delta, "logprobs": likely, "finish_reason": finish}
            each = {"usage": usage(plan, sent)} if self.usage == "usage-each" and with_usage else usage_key
            return {**self._object("chat.completion.chunk", [choice]), **each}

        for delta, weight in self._deltas(plan):
            sent += weight.tokens * plan.n
            for index in range(plan.n):
                yield chunk(index, delta), weight
        for index in range(plan.n):
            last = chunk(index, {}, finish_reason(plan.finish))
            if self.usage == "usage-twice" and with_usage and index == plan.n - 1:
                last["usage"] = usage(plan, max(0, plan.completion - 1))
            yield last, NOTHING
        if usage_key:
            yield {**self._object("chat.completion.chunk", []), "usage": self.reported(plan)}, NOTHING

    def _deltas(self, plan: Plan) -> Iterator[tuple[dict[str, Any], Weight]]:
        opening = None if plan.calls else ""
        yield {"role": "assistant", "content": opening, "refusal": None}, NOTHING
        for piece in plan.thought:
            yield {self.thinking: piece}, THOUGHT
        for piece in plan.preface if plan.calls else plan.pieces:
            yield {"content": piece}, ONE
        for index in range(plan.images):
            yield {"images": [picture(index)]}, Weight(plan.image_tokens, 0, plan.image_tokens)
        for place in range(len(plan.calls)):
            yield {"tool_calls": [{"index": place, **_tool_call(self.ident, place, plan, "")}]}, ONE
            for piece in plan.pieces:
                yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}, ONE

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


def call_id(ident: str, place: int) -> str:
    """What tells the calls of one answer apart, and from those of others."""
    return f"{zlib.crc32(ident.encode()) + place & 0xFFFFFFFF:08x}"


def picture(index: int) -> dict[str, Any]:
    """A picture in a chat message, as gateways send it."""
    return {"type": "image_url", "index": index, "image_url": {"url": "data:image/png;base64," + pictures.PNG_BASE64}}


def _tool_call(ident: str, place: int, plan: Plan, arguments: str | None = None) -> dict[str, Any]:
    function = {"name": plan.calls[place], "arguments": plan.text if arguments is None else arguments}
    return {"id": f"call_{call_id(ident, place)}", "type": "function", "function": function}


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
