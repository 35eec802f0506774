"""A stream of OpenAI chunks on its way to the client: blocks of plain chunks pass as bytes, the rest is parsed."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.dialects import decoding, failures
from proxy.dialects.chunks import DONE, MOST_GARBAGE
from proxy.dialects.decoding import readable
from proxy.dialects.openai_answer import counted, finish_reason, message_size, repaired_message
from proxy.dialects.shape import UNBOUNDED, Asked
from proxy.dialects.stream_state import StreamState
from proxy.dialects.tool_indexes import ToolIndexes
from proxy.errors import Unavailable
from proxy.sse import TooLong

logger = logging.getLogger(__name__)

MOST_BUFFERED = 64 * 1024
MOST_SAMPLED = 64
LOOK_EVERY = 8192
"""Bytes of a stream between two looks at whether the model said too much."""

_LINE_FEED, _RETURN, _BACKSLASH = b"\n\r\\"  # a number is found in bytes ten times as fast as a byte
_DELTA = b'"delta":{'
_PLAIN_DELTA = b'{"content":""}'
_SPECIAL = re.compile(
    rb'"usage":\s*[^n\s]|"finish_reason":\s*[^n\s]|"error":|"tool_calls":\s*\[|"reasoning":\s*"|"content":\s*\['
)


class OpenAIStream(StreamState):
    """One stream. Blocks of plain content chunks pass as they are but for id and model; anything else is parsed."""

    __slots__ = (
        "_buffer",
        "_bytes",
        "_events",
        "_finished",
        "_framed",
        "_head",
        "_look_at",
        "_most_bytes",
        "_ours",
        "_overhead",
        "_raw_usage",
        "_theirs",
        "_told",
        "_tools",
        "usage",
    )

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.usage: Usage | None = None
        self._buffer = b""
        self._raw_usage: dict[str, Any] | None = None
        self._theirs: tuple[bytes, bytes] | None = None
        self._head = b"", b"", b"", b""
        self._ours = (_member("id", asked.answer_id), _member("model", asked.model))
        self._told: dict[str, Any] = {}
        self._finished: set[int] = set()
        self._tools: dict[int, ToolIndexes] = {}
        self._events = 0
        self._bytes = 0
        self._overhead = 0
        self._framed = 0
        self._look_at = self._most_bytes = UNBOUNDED

    def feed(self, chunk: bytes) -> bytes:
        """See AnswerStream."""
        if self.done or self.failure is not None:
            return b""
        if self._buffer:
            chunk = self._buffer + chunk
            self._buffer = b""
        if self._decoder.pending:
            return self._translate(chunk)
        end = chunk.rfind(b"\n\n") + 2
        if end == 1:
            if b"\r" in chunk or len(chunk) >= MOST_BUFFERED:
                return self._translate(chunk)
            self._buffer = chunk
            return b""
        if end == len(chunk):
            return self._whole(chunk)
        self._buffer = chunk[end:]
        return self._whole(chunk[:end])

    def close(self) -> bytes:
        """See AnswerStream."""
        rest, self._buffer = self._buffer, b""
        out = self._translate(rest) if rest and not self.done and self.failure is None else b""
        if not self.done and self.failure is None:
            out += self._events_out(self._decoder.flush())
        if self.failure is None and not self.done and not self.complete():
            self.failure = Unavailable(502, "The upstream ended its stream too soon.", "bad_gateway")
        return out

    def delivered(self) -> int:
        """At least one token a chunk; more where chunks are long: four bytes each, beyond what every chunk repeats."""
        if not self._events:
            return 0
        return max(self._events, (self._bytes - self._events * self._overhead) // 4)

    def said(self) -> int:
        """See AnswerStream."""
        return max(0, self._bytes - self._events * self._overhead)

    @property
    def most_bytes(self) -> int:
        """See AnswerStream."""
        return self._most_bytes

    @most_bytes.setter
    def most_bytes(self, most: int) -> None:
        self._most_bytes, self._look_at = most, max(most, LOOK_EVERY)

    def complete(self) -> bool:
        """See AnswerStream."""
        return len(self._finished) >= self.asked.choices

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """See AnswerStream."""
        if not self.asked.include_usage:
            return DONE
        chunk = {**self._told, "choices": [], "usage": self._raw_usage or meters.as_openai(usage), **extras}
        return b"data: " + orjson.dumps(chunk) + b"\n\n" + DONE

    def _whole(self, block: bytes) -> bytes:
        """A block of whole events: plain ones pass, the first and what is special is parsed."""
        out = b""
        if not self._told:
            first = block.find(b"\n\n") + 2
            out, block = self._translate(block[:first]), block[first:]
            if not block:
                return out
        plain = self._pass(block)
        if plain is not None:
            return out + plain
        special = _SPECIAL.search(block)
        start = 0 if special is None else block.rfind(b"\n\n", 0, special.start()) + 2
        if start > 1 and (plain := self._pass(block[:start])) is not None:
            return out + plain + self._translate(block[start:])
        return out + self._translate(block)

    def _pass(self, block: bytes) -> bytes | None:
        """A block of nothing but plain content chunks, renamed; None where any of it needs parsing."""
        theirs, ours, between_theirs, between_ours = self._head
        if not theirs or not block.startswith(theirs) or not block.endswith(b"}\n\n"):
            return self._pass_by_counts(block)
        rests = block[len(theirs) : -3].split(between_theirs)
        said = b"".join(rests)
        if _LINE_FEED in said or _RETURN in said or _SPECIAL.search(said) is not None:
            return self._pass_by_counts(block)
        if (_BACKSLASH in said or not said.isascii()) and not readable(said):
            return None
        self._events += len(rests)
        self._bytes = size = self._bytes + len(block)
        if size > self._look_at:
            return ours + between_ours.join(rests) + b"}\n\n" + self._bounded(block)
        return ours + between_ours.join(rests) + b"}\n\n"

    def _pass_by_counts(self, block: bytes) -> bytes | None:
        """As ``_pass``, of an upstream that writes its id and model after its choices, or several choices in turns."""
        events = block.count(_DELTA)
        whole = (  # events parted by a blank line each, and no other line ends; an expression takes twice as long
            block.startswith(b"data: {")
            and block.endswith(b"}\n\n")
            and block.count(b"\n") == 2 * events
            and block.count(b"}\n\ndata: {") == events - 1
            and b"\r" not in block
        )
        if not whole or events != block.count(b'"index":') or _SPECIAL.search(block) is not None or not readable(block):
            return None
        theirs, ours = self._theirs, self._ours
        if theirs is None or block.count(theirs[0]) != events or block.count(theirs[1]) != events:
            return None
        self._events += events
        self._bytes += len(block)
        # A quote inside a JSON text is always escaped, so these members can only be the chunk's own.
        out = block.replace(theirs[0], ours[0]).replace(theirs[1], ours[1])
        return out if self._bytes < self._look_at else out + self._bounded(block)

    def _translate(self, chunk: bytes) -> bytes:
        try:
            return self._events_out(self._decoder.feed(chunk))
        except TooLong:
            self.failure = Unavailable(502, "The upstream sent an event that is too long.", "bad_gateway")
            return b""

    def _events_out(self, events: list[bytes]) -> bytes:
        out = []
        for data in events:
            if self.done or self.failure is not None:
                break
            if data.strip() == b"[DONE]":
                if not self._told:
                    self.failure = Unavailable(502, "The upstream ended its stream without an answer.", "bad_gateway")
                self.done = True
                break
            out.append(self._event(data))
        return b"".join(out)

    def _event(self, data: bytes) -> bytes:
        """One event, parsed, taken note of and written anew; nothing for one that only brings usage."""
        chunk = decoding.event(data)
        if type(chunk) is not dict:
            if self.complete():
                return b""
            self._garbage += 1
            if self._garbage > MOST_GARBAGE or data.lstrip().startswith(b"{"):  # a part of the answer is lost
                self.failure = Unavailable(502, "The upstream sent something that is no chunk.", "bad_gateway")
            return b""
        if chunk.get("error"):
            self.failure = failures.embedded(chunk)
            return b""
        if chunk.get("usage") is not None:
            self._note_usage(chunk.pop("usage"))
        choices = chunk.get("choices")
        if type(choices) is not list or not choices:
            return b""
        return self._content(chunk, choices, data)

    def _content(self, chunk: dict[str, Any], choices: list[Any], data: bytes) -> bytes:
        """A chunk with choices: our id and model, a delta in each, a finish reason OpenAI knows."""
        size = 0
        for place, choice in enumerate(choices):
            if type(choice) is not dict or choice.get("finish_reason") == "error":
                self.failure = Unavailable(502, "The upstream failed in the middle of its answer.", "bad_gateway")
                return b""
            size += self._choice(choice, place)
        if self._theirs is None:
            self._learn(chunk, data)
        tier = chunk.get("service_tier")
        if type(tier) is str:
            self.service_tier = tier
        chunk["id"], chunk["object"], chunk["model"] = self.asked.answer_id, "chat.completion.chunk", self.asked.model
        if type(chunk.get("created")) is not int:
            chunk["created"] = self.asked.created
        if not self._told:
            self._told = {name: value for name, value in chunk.items() if name != "choices"}
        if size:
            self._events += 1
            self._bytes += self._overhead + size
        out = b"data: " + orjson.dumps(chunk) + b"\n\n"
        return out if self._bytes < self._look_at else out + self._bounded(b"")

    def _bounded(self, block: bytes) -> bytes:
        """End as if the output limit was reached, once the model has clearly said more than it may: the chunk for that.

        What chunks repeat, escape and tell besides is learned from the last plain ones before they count against it.
        """
        left = self.most_bytes - self.said() + self._framed
        if left < 0 and (sizes := _overheads(block)):
            self._overhead = max(self._overhead, sum(sizes) // len(sizes))
            left = self.most_bytes - self.said() + self._framed
        if left >= 0:
            self._look_at = self._bytes + max(left, LOOK_EVERY)  # no earlier can it have said so much, or much more
            return b""
        logger.warning("a stream was cut: the upstream says more than its output limit allows")
        self.done = True
        open_ones = [index for index in range(self.asked.choices) if index not in self._finished]
        if not open_ones:
            return b""
        self.finish_reason = "length"
        ends: list[dict[str, Any]] = [
            {"index": index, "delta": {}, "logprobs": None, "finish_reason": "length"} for index in open_ones
        ]
        return b"data: " + orjson.dumps({**self._told, "choices": ends}) + b"\n\n"

    def _choice(self, choice: dict[str, Any], place: int) -> int:
        """One choice made whole; returns how many bytes the model said in it."""
        delta, index, reason = choice.get("delta"), choice.get("index"), choice.get("finish_reason")
        if type(delta) is not dict:
            choice["delta"] = delta = {}
        if type(index) is not int:
            choice["index"] = index = place
        if delta.get("tool_calls"):
            self._tools.setdefault(index, ToolIndexes()).repair(delta)
            self._framed += len(orjson.dumps(delta["tool_calls"])) - _arguments(delta["tool_calls"])
        if reason:
            choice["finish_reason"] = self.finish_reason = finish_reason(reason)
            self._finished.add(index)
        else:
            choice["finish_reason"] = None
        return message_size(repaired_message(delta))

    def _learn(self, chunk: dict[str, Any], data: bytes) -> None:
        """How the upstream writes its id and model in every chunk, so that later blocks need no parsing."""
        delta = chunk["choices"][0]["delta"]  # this first one says more than those that follow
        self._overhead = len(data) + 8 - len(orjson.dumps(delta)) + len(_PLAIN_DELTA)
        theirs = chunk.get("id"), chunk.get("model")
        if type(theirs[1]) is str:
            self.reported_model = theirs[1]
        if type(theirs[0]) is str and type(theirs[1]) is str:
            members = _member("id", theirs[0]), _member("model", theirs[1])
            if data.count(members[0]) == 1 and data.count(members[1]) == 1:
                self._theirs = members
                self._learn_head(data, members)

    def _learn_head(self, data: bytes, theirs: tuple[bytes, bytes]) -> None:
        """What comes before the delta in every chunk, where that has the id and the model."""
        head = b"data: " + data[: data.find(_DELTA) + len(_DELTA)]
        members = (theirs[0], theirs[1], b'"index":', _DELTA)
        if data.startswith(b"{") and all(head.count(member) == 1 for member in members):
            ours = head.replace(theirs[0], self._ours[0]).replace(theirs[1], self._ours[1])
            self._head = head, ours, b"}\n\n" + head, b"}\n\n" + ours

    def _note_usage(self, usage: object) -> None:
        """Usage is cumulative: the last that can be true wins."""
        read, ignored, shown = counted(usage, self.asked.context_window)
        if read is not None:
            self.usage, self._raw_usage = read, shown
            self.usage_ignored = False
        elif self.usage is None:
            self.usage_ignored = self.usage_ignored or ignored


def _overheads(block: bytes) -> list[int]:
    """Of some events, how many bytes each has beside the model's words."""
    sizes = []
    for event in block.split(b"\n\n")[:MOST_SAMPLED]:
        if event:
            choices = orjson.loads(event[6:])["choices"]
            sizes.append(len(event) + 2 - sum(message_size(choice["delta"]) for choice in choices))
    return sizes


def _arguments(calls: list[dict[str, Any]]) -> int:
    """How many bytes of tool calls are arguments."""
    functions = [call.get("function") for call in calls]
    given = [function.get("arguments") for function in functions if type(function) is dict]
    return sum(len(arguments.encode()) for arguments in given if type(arguments) is str)


def _member(name: str, value: str) -> bytes:
    """A member as compact JSON writes it."""
    return orjson.dumps({name: value})[1:-1]
