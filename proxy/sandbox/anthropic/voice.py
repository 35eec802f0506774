"""A message as Anthropic words it, whole and in events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from proxy.sandbox import answers, plans, signatures
from proxy.sandbox.anthropic import refusal
from proxy.sandbox.plans import Event, Plan

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
    "pause-turn": "pause_turn",
    "context-full": "model_context_window_exceeded",
    "blocked": "refusal",
}

encode = msgspec.json.Encoder().encode


class Block(NamedTuple):
    """A content block as it starts, its deltas with their tokens, and the tokens that come with its start.

    ``thinks`` says that all of them are thoughts.
    """

    start: dict[str, Any]
    deltas: list[tuple[dict[str, Any], int]]
    tokens: int = 0
    thinks: bool = False


@dataclass(frozen=True, slots=True)
class AnthropicVoice:
    """See Voice. ``hidden`` leaves the thought out of its block and keeps the signature."""

    ident: str
    model: str
    kind: str
    hidden: bool = False
    newline: bytes = b"\n"

    @property
    def head(self) -> bytes:
        """Header lines of every answer."""
        return b"request-id: req_%s\r\nanthropic-organization-id: sandbox\r\n" % self.ident.encode("latin-1", "replace")

    def whole(self, plan: Plan) -> bytes:
        """The ``message`` object."""
        body = self._message(plan)
        body["content"] = [_filled(block) for block in self._blocks(plan)]
        body |= self._end(plan)
        body["usage"] = self._usage(plan, plan.completion)
        if self.kind == "no-usage":
            del body["usage"]
        return encode(body)

    def events(self, plan: Plan) -> Iterator[Event]:
        """message_start, the blocks one after the other, message_delta; what thinks is charged as it is said."""
        message = self._message(plan)
        message["usage"] = self._usage(plan, min(1, plan.completion))
        if self.kind == "no-usage":
            del message["usage"]
        yield _event({"type": "message_start", "message": message})
        sent = 0
        for index, block in enumerate(self._blocks(plan)):
            thought = block.tokens if block.thinks else 0
            yield _event(
                {"type": "content_block_start", "index": index, "content_block": block.start}, block.tokens, thought
            )
            sent += block.tokens
            if index == 0:
                yield _event({"type": "ping"})
            for delta, tokens in block.deltas:
                sent += tokens
                thought = tokens if block.thinks else 0
                yield _event({"type": "content_block_delta", "index": index, "delta": delta}, tokens, thought)
                if self.kind == "usage-each":
                    yield self._delta(plan, {"stop_reason": None, "stop_sequence": None}, sent)
            yield _event({"type": "content_block_stop", "index": index})
        if self.kind == "usage-twice":
            yield self._delta(plan, {"stop_reason": None, "stop_sequence": None}, max(0, plan.completion - 1))
        yield self._delta(plan, self._end(plan), plan.completion)

    def ending(self) -> bytes:
        """message_stop."""
        return _event({"type": "message_stop"}).data

    def failing(self) -> bytes:
        """``event: error``, overloaded."""
        error = {"details": None, "type": "overloaded_error", "message": "Overloaded"}
        return _event({"type": "error", "error": error, "request_id": refusal.REQUEST_ID}).data

    def garbage(self) -> bytes:
        """See Voice."""
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_del'

    def _message(self, plan: Plan) -> dict[str, Any]:
        return {
            "model": self.model,
            "id": self.ident,
            "type": "message",
            "role": "assistant",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
        }

    def _end(self, plan: Plan) -> dict[str, Any]:
        refused = plan.finish in plans.CUT_SHORT or self.kind == "blocked"
        details = {"type": "refusal", "category": "general_harms", "explanation": None} if refused else None
        reason = "refusal" if refused else STOP_REASONS[plan.finish]
        return {"stop_reason": reason, "stop_sequence": plan.stopped_by or None, "stop_details": details}

    def _delta(self, plan: Plan, delta: dict[str, Any], output: int) -> Event:
        body: dict[str, Any] = {"type": "message_delta", "delta": delta}
        usage = self._usage(plan, output)
        for name in ("cache_creation", "service_tier", "inference_geo"):
            usage.pop(name, None)
        # The real API has no message_delta without usage, so a missing one is left null.
        return _event({**body, "usage": None if self.kind == "no-usage" else usage})

    def _usage(self, plan: Plan, output: int) -> dict[str, Any]:
        """Usage as Anthropic tells it: what came from or went to the cache is no part of ``input_tokens``."""
        hour = plan.written if plan.hour else 0
        usage: dict[str, Any] = {
            "input_tokens": plan.prompt - plan.cached - plan.written,
            "cache_creation_input_tokens": plan.written,
            "cache_read_input_tokens": plan.cached,
            "cache_creation": {
                "ephemeral_5m_input_tokens": plan.written - hour,
                "ephemeral_1h_input_tokens": hour,
            },
            "output_tokens": output,
            "service_tier": "standard",
            "inference_geo": "not_available",
        }
        if plan.reasoning and output > 1:
            usage["output_tokens_details"] = {"thinking_tokens": min(plan.reasoning, output)}
        if plan.searches:
            usage["server_tool_use"] = {"web_search_requests": plan.searches, "web_fetch_requests": 0}
        match self.kind:
            case "zero-usage":
                return dict.fromkeys(("input_tokens", "output_tokens"), 0)
            case "negative-usage":
                return {**usage, "output_tokens": -7}
            case "huge-usage":
                return {**usage, "output_tokens": answers.HUGE}
        return usage

    def _blocks(self, plan: Plan) -> Iterator[Block]:
        """Every content block."""
        if plan.thought:
            yield self._thinking(plan)
        yield from self._searches(plan)
        said = plan.preface if plan.calls else plan.pieces
        if said:
            yield Block({"type": "text", "text": ""}, [({"type": "text_delta", "text": piece}, 1) for piece in said])
        for place, name in enumerate(plan.calls):
            ident = "toolu_01" + answers.call_id(self.ident, place)
            parts = [("", 0), *((piece, 1) for piece in plan.pieces)]
            deltas = [({"type": "input_json_delta", "partial_json": piece}, tokens) for piece, tokens in parts]
            yield Block({"type": "tool_use", "id": ident, "name": name, "input": {}}, deltas, tokens=1)

    def _thinking(self, plan: Plan) -> Block:
        thought, tokens = "".join(plan.thought), len(plan.thought)
        if self.kind == "redacted":
            return Block({"type": "redacted_thinking", "data": signatures.sign(thought)}, [], tokens, thinks=True)
        start = {"type": "thinking", "thinking": "", "signature": ""}
        signed = {"type": "signature_delta", "signature": signatures.sign(thought)}
        if self.hidden:
            return Block(start, [(signed, 0)], tokens, thinks=True)
        shown = [({"type": "thinking_delta", "thinking": piece}, 1) for piece in plan.thought]
        return Block(start, [*shown, (signed, 0)], thinks=True)

    def _searches(self, plan: Plan) -> Iterator[Block]:
        """The provider's own tool at work: its call and its result, nothing for the client to do."""
        for place in range(plan.searches):
            ident = "srvtoolu_01" + answers.call_id(self.ident, place)
            query = {"type": "input_json_delta", "partial_json": '{"query": "sandbox"}'}
            yield Block({"type": "server_tool_use", "id": ident, "name": "web_search", "input": {}}, [(query, 0)])
            found = {
                "type": "web_search_result",
                "url": "https://example.com/",
                "title": "Example",
                "encrypted_content": "c2FuZGJveA==",
                "page_age": None,
            }
            yield Block({"type": "web_search_tool_result", "tool_use_id": ident, "content": [found]}, [])


def _event(data: dict[str, Any], tokens: int = 0, thought: int = 0) -> Event:
    return Event(b"event: %s\ndata: %s" % (data["type"].encode(), encode(data)), tokens, thought)


def _filled(block: Block) -> dict[str, Any]:
    """A content block with its deltas in it, as it is in a whole answer."""
    filled = dict(block.start)
    if "input" in filled:
        filled["input"] = _parsed("".join(delta["partial_json"] for delta, _ in block.deltas))
        return filled
    for delta, _ in block.deltas:
        for name in ("text", "thinking", "signature"):
            if name in delta:
                filled[name] += delta[name]
    return filled


def _parsed(text: str) -> Any:
    """The input of a tool call; one that was cut off by the token limit is empty."""
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.MsgspecError:
        return {}
