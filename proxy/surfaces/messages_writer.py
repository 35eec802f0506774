"""A stream of OpenAI chunks as Anthropic's events: one block after the other, each begun, told and ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from billing.meters import Usage
from proxy.surfaces import messages_thoughts
from proxy.surfaces.messages_answer import parts_of, stop_reason, usage_of

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
NOT_COUNTED = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
"""Usage at the start: what was used is known, and told, at the end."""


@dataclass(slots=True)
class Call:
    """One tool call: what of its arguments was told, and what waits until the call before it is whole."""

    id: str = ""
    name: str = ""
    told: str = ""
    waiting: str = ""
    ended: bool = False

    def whole(self) -> bool:
        """Whether the arguments so far are all of them, as far as JSON tells."""
        try:
            orjson.loads(self.told)
        except ValueError:
            return False
        return True


class MessageWriter:
    """The writer of one stream."""

    def __init__(self, answer_id: str, model: str) -> None:
        self._id = answer_id
        self._model = model
        self._out: list[bytes] = []
        self._begun = False
        self._blocks = 0
        self._open = ""
        self._calls: dict[int, Call] = {}
        self._current: Call | None = None
        self._finish = ""
        self._sealed: list[dict[str, Any]] = []

    def chunk(self, chunk: dict[str, Any]) -> bytes:
        """See ChunkWriter."""
        self._begin()
        for choice in chunk["choices"]:
            if choice.get("index", 0) == 0:
                self._delta(choice.get("delta") or {})
                self._finish = choice.get("finish_reason") or self._finish
        return self._taken()

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """The open blocks' ends, why it stopped, and what it used and cost."""
        self._begin()
        self._end_calls()
        self._end_block()
        delta = {"stop_reason": stop_reason(self._finish, called=bool(self._calls)), "stop_sequence": None}
        self._event("message_delta", {"delta": delta, "usage": usage_of(usage), **extras})
        self._event("message_stop", {})
        return self._taken()

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        message = {"id": self._id, "type": "message", "role": "assistant", "model": self._model, "content": []}
        rest = {"stop_reason": None, "stop_sequence": None, "usage": NOT_COUNTED}
        self._event("message_start", {"message": {**message, **rest}})
        self._out.append(PING)

    def _delta(self, delta: dict[str, Any]) -> None:
        reasoning = delta.get("reasoning_content")
        if type(reasoning) is str and reasoning:
            self._think(reasoning)
        for detail in _dicts(delta.get("reasoning_details")):
            self._sign(detail)
        for name in ("content", "refusal"):
            text = delta.get(name)
            if type(text) is str and text:
                self._start("text", {"type": "text", "text": ""})
                self._tell({"type": "text_delta", "text": text})
        for call in _dicts(delta.get("tool_calls")):
            self._call(call)

    def _think(self, text: str) -> None:
        if self._open != "thinking":
            text = text.lstrip("\n")  # the gap between two thoughts
            self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if text:
            self._tell({"type": "thinking_delta", "thinking": text})

    def _sign(self, detail: dict[str, Any]) -> None:
        """What is thought has been told by now, unless nobody but this element tells it."""
        block = messages_thoughts.block_of(detail)
        if block is None:
            return
        if self._open == "text" and not detail.get("id") and not messages_thoughts.is_native(block):
            self._sealed.append(block)  # of use with a call only; Claude Code takes the last block for the answer
            return
        if block["type"] == "redacted_thinking":
            self._start("", block)
            self._end_block()
            return
        if self._open != "thinking":
            self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            if block["thinking"]:
                self._tell({"type": "thinking_delta", "thinking": block["thinking"]})
        self._tell({"type": "signature_delta", "signature": block["signature"]})
        self._end_block()

    def _call(self, delta: dict[str, Any]) -> None:
        """Calls are told one after the other: those that come in between wait for the one before to be whole."""
        index = delta.get("index")
        call = self._calls.setdefault(index if type(index) is int else 0, Call())
        identifier, name, arguments = parts_of(delta)
        call.id = call.id or identifier or f"toolu_{self._id.rpartition('_')[2]}{len(self._calls)}"
        call.name = call.name or name
        call.waiting += arguments
        self._tell_calls()

    def _tell_calls(self) -> None:
        waiting = True
        while waiting:
            if self._current is None:
                self._current = next((call for call in self._calls.values() if call.name and not call.ended), None)
                if self._current is None:
                    return
                self._start_call(self._current)
            self._tell_arguments(self._current)
            waiting = self._current.whole() and any(
                call is not self._current and not call.ended for call in self._calls.values()
            )
            if waiting:
                self._end_call(self._current)

    def _end_calls(self) -> None:
        """No more comes: every call is as whole as it will be."""
        while self._current is not None:
            self._end_call(self._current)
            self._tell_calls()

    def _start_call(self, call: Call) -> None:
        self._end_block()
        for sealed in self._sealed:
            self._event("content_block_start", {"index": self._blocks, "content_block": sealed})
            self._open = "whole"
            self._end_block()
        self._sealed.clear()
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        self._event("content_block_start", {"index": self._blocks, "content_block": block})
        self._open = "tool_use"

    def _tell_arguments(self, call: Call) -> None:
        if call.waiting:
            self._tell({"type": "input_json_delta", "partial_json": call.waiting})
            call.told, call.waiting = call.told + call.waiting, ""

    def _end_call(self, call: Call) -> None:
        call.ended = True
        self._current = None
        self._end_block()

    def _start(self, kind: str, block: dict[str, Any]) -> None:
        """Begin a block, unless one of its kind is open."""
        if kind and self._open == kind:
            return
        self._end_calls()
        self._end_block()
        self._event("content_block_start", {"index": self._blocks, "content_block": block})
        self._open = kind or "whole"

    def _tell(self, delta: dict[str, Any]) -> None:
        self._event("content_block_delta", {"index": self._blocks, "delta": delta})

    def _end_block(self) -> None:
        if self._open:
            self._event("content_block_stop", {"index": self._blocks})
            self._blocks += 1
            self._open = ""

    def _event(self, kind: str, rest: Mapping[str, Any]) -> None:
        data = orjson.dumps({"type": kind, **rest})
        self._out.append(b"event: %s\ndata: %s\n\n" % (kind.encode(), data))

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if type(item) is dict] if type(value) is list else []
