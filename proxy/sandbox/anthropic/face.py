"""Anthropic's likeness: ``/anthropic/v1/messages`` and its token count, as strict about requests as the real one."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.sandbox import behaviour, plans, words
from proxy.sandbox.anthropic import refusal, rules, turns
from proxy.sandbox.anthropic.voice import AnthropicVoice
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import JSON, Failure
from proxy.sandbox.plans import SHOWN, Ask, Plan
from proxy.sandbox.voices import Job, Refusal
from proxy.sandbox.wire import Request

PREFIX = "/anthropic"
VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")


class Anthropic:
    """See Face."""

    def read(self, request: Request) -> Job | Failure:
        """A message to answer, or the count of its tokens."""
        path = request.path.removeprefix(PREFIX)
        if path not in ("/v1/messages", "/v1/messages/count_tokens"):
            raise refusal.refused(404, "not_found_error", "Not Found")
        _check_headers(request)
        body = _parse(request.body)
        model = body.get("model")
        if type(model) is not str:
            raise refusal.invalid("model: Field required")
        asked = behaviour.parse(model)
        if asked is None:
            raise refusal.refused(404, "not_found_error", f"model: {model[:64]}")
        try:
            return self._accept(request, body, asked, counting=path.endswith("count_tokens"))
        except Refusal as problem:
            problem.model = model
            raise

    def failure(self, asked: Behaviour) -> Failure | None:
        """See Face."""
        return refusal.failure(asked)

    def models(self, request: Request) -> Failure:
        """``GET /v1/models``."""
        _check_headers(request)
        names = [f"sandbox/{kind}" for kind in behaviour.DEFAULTS]
        since = "2025-01-01T00:00:00Z"
        data = [{"type": "model", "id": name, "display_name": name, "created_at": since} for name in names]
        body = {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
        return Failure(200, msgspec.json.encode(body))

    def _accept(self, request: Request, body: dict[str, Any], asked: Behaviour, *, counting: bool) -> Job | Failure:
        rules.check(body, asked, counting=counting, beta=b"anthropic-beta" in request.headers)
        if counting:
            return Failure(200, msgspec.json.encode({"input_tokens": prompt_tokens(body)}), JSON)
        plan = plan_of(body, asked)
        who = str((body.get("metadata") or {}).get("user_id") or request.header(b"x-api-key"))
        return Job(body["model"], asked, plan, bool(body.get("stream")), _voice(body, asked), who)


def plan_of(body: dict[str, Any], asked: Behaviour) -> Plan:
    """What a checked request will be answered."""
    conversation = turns.merged(body["messages"])
    last = conversation[-1]
    results = [block for block in last["content"] if block["type"] == "tool_result"]
    thinking = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    ask = Ask(
        prompt_tokens(body),
        _last_text(conversation),
        "".join(words.text_of(block.get("content")) for block in results) if results else None,
        _tool_names(body),
        tuple(body.get("stop_sequences") or ()),
        body["max_tokens"],
        thinks=SHOWN if thinking else "",
        hour='"ttl":"1h"' in msgspec.json.encode(body).decode(),
        draws=False,
    )
    return plans.make(ask, asked)


def prompt_tokens(body: dict[str, Any]) -> int:
    """As everywhere in the sandbox: pieces of text, three a message, eight a part without text, tools as JSON."""
    total = _tokens(body.get("system") or "")
    for message in body["messages"]:
        total += words.PER_MESSAGE + _tokens(message["content"])
    if body.get("tools"):
        total += len(words.pieces(msgspec.json.encode(body["tools"]).decode()))
    return total


def _tokens(content: str | list[dict[str, Any]]) -> int:
    if isinstance(content, str):
        return len(words.pieces(content))
    total = 0
    for block in content:
        match block["type"]:
            case "text":
                total += len(words.pieces(block["text"]))
            case "tool_use":
                total += len(words.pieces(msgspec.json.encode(block["input"]).decode()))
            case "tool_result":
                total += _tokens(block.get("content") or "")
            case "thinking":
                total += len(words.pieces(block["thinking"]))
            case _:
                total += words.PER_PART
    return total


def _last_text(conversation: list[dict[str, Any]]) -> str:
    """The newest text of the user."""
    for message in reversed(conversation):
        text = words.text_of(message["content"])
        if message["role"] == "user" and text:
            return text
    return ""


def _tool_names(body: dict[str, Any]) -> tuple[str, ...]:
    """The client's own tools that may be called: the named one alone, or all."""
    choice = body.get("tool_choice") or {}
    if choice.get("type") == "none":
        return ()
    if choice.get("type") == "tool":
        return (choice["name"],)
    return tuple(tool["name"] for tool in body.get("tools") or () if tool.get("type") in (None, "custom"))


def _voice(body: dict[str, Any], asked: Behaviour) -> Any:
    def voice(request_id: str) -> AnthropicVoice:
        hidden = (body.get("thinking") or {}).get("display") == "omitted"
        return AnthropicVoice("msg_" + request_id.removeprefix("req_"), body["model"], asked.kind, hidden)

    return voice


def _check_headers(request: Request) -> None:
    bearer = request.header(b"authorization").lower().startswith("bearer ")
    if not request.header(b"x-api-key") and not bearer:
        raise refusal.refused(401, "authentication_error", "x-api-key header is required")
    if request.header(b"x-api-key").startswith("invalid"):
        raise refusal.refused(401, "authentication_error", "invalid x-api-key")
    version = request.header(b"anthropic-version")
    if not version:
        raise refusal.invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise refusal.invalid(f'anthropic-version: "{version[:32]}" is not a valid version')
    if request.method == "POST" and not request.header(b"content-type").startswith("application/json"):
        raise refusal.invalid("content-type: must be application/json")


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except msgspec.MsgspecError as problem:
        raise refusal.invalid(f"The request body is not valid JSON: {problem}") from None
    if type(body) is not dict:
        raise refusal.invalid("Input should be a valid dictionary")
    return body
