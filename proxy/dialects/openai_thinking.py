"""OpenAI's dialect for upstreams that want what they thought back with their tool calls, as DeepSeek does.

From the first tool call on, every assistant message goes out with its ``reasoning_content``: what the client sent, or
what was remembered of it, or what the client was shown of it. Where none is known a blank stands in: these upstreams
refuse a message without the member, some an empty one too, and what was thought can only be missed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from proxy.chat import ChatRequest
from proxy.dialects.openai import OpenAI
from proxy.dialects.openai_stream import OpenAIStream
from proxy.dialects.shape import Answer, Asked, UpstreamCall

UNKNOWN = " "
MOST_BYTES = 256 * 1024
"""What is kept of one answer's reasoning; a longer one is not remembered."""

_ITS_OWN = re.compile(r"[0-9A-Za-z]{8,}\Z")
_THOUGHT = re.compile(rb'"reasoning_content":\s*"((?:[^"\\]|\\.)+)"')

Message = dict[str, Any]
Details = list[dict[str, Any]]


class OpenAIThinking(OpenAI):
    """The dialect. See OpenAI."""

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """As OpenAI's, with the reasoning of earlier turns."""
        whole = replace(chat, body={**chat.body, "messages": with_reasoning(chat)})
        return super().call(whole, upstream_model, output_limit, rules)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """As OpenAI's; what was thought is also in the ``reasoning_details`` of a message with tool calls."""
        answer = super().answer(raw, asked)
        for choice in answer.body["choices"]:
            message = choice["message"]
            text, calls = message.get("reasoning_content"), message.get("tool_calls")
            if type(text) is str and text and type(calls) is list:
                details = message.setdefault("reasoning_details", [_detail(text)])
                answer.thoughts.update((identifier, details) for identifier in lasting_ids(calls))
        return answer

    def stream(self, asked: Asked) -> ThinkingStream:
        """A translator that takes note of what is thought."""
        return ThinkingStream(asked)


class ThinkingStream(OpenAIStream):
    """See OpenAIStream. What was thought goes out once more, as ``reasoning_details`` with the first tool call."""

    __slots__ = ("_details", "_size", "_thought")

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._thought: dict[int, list[bytes]] = {}
        self._details: dict[int, Details] = {}
        self._size = 0

    def _pass(self, block: bytes) -> bytes | None:
        """As OpenAIStream's: a quote inside a JSON text is escaped, so what is found is the chunks' own reasoning."""
        if self.asked.choices > 1:
            return None
        passed = super()._pass(block)
        if passed is not None:
            for text in _THOUGHT.findall(block):
                self._note(0, text)
        return passed

    def _choice(self, choice: dict[str, Any], place: int) -> int:
        size = super()._choice(choice, place)
        delta, index = choice["delta"], choice["index"]
        text = delta.get("reasoning_content")
        if type(text) is str and text:
            self._note(index, orjson.dumps(text)[1:-1])
        if delta.get("tool_calls"):
            if index not in self._details:
                self._details[index] = self._known(index)
                if self._details[index]:
                    delta.setdefault("reasoning_details", self._details[index])
            if self._details[index]:
                self.thoughts.update((one, self._details[index]) for one in lasting_ids(delta["tool_calls"]))
        return size

    def _note(self, index: int, text: bytes) -> None:
        """Take note of a piece, as JSON writes it."""
        self._size += len(text)
        if self._size <= MOST_BYTES:
            self._thought.setdefault(index, []).append(text)

    def _known(self, index: int) -> Details:
        """What a choice thought so far; nothing where that is too long or no text."""
        pieces = self._thought.get(index)
        if not pieces or self._size > MOST_BYTES:
            return []
        try:
            return [_detail(orjson.loads(b'"' + b"".join(pieces) + b'"'))]
        except ValueError:
            return []


def with_reasoning(chat: ChatRequest) -> list[Message]:
    """The messages, those of the assistant with their reasoning from the first tool call on."""
    messages: list[Message] = []
    called = False
    for index, message in enumerate(chat.body["messages"]):
        if message["role"] == "assistant":
            called = called or bool(message.get("tool_calls"))
            own = message.get("reasoning_content")
            if called and not (type(own) is str and own):
                message = {**message, "reasoning_content": _reasoning(chat, index, message)}
        messages.append(message)
    return messages


def _reasoning(chat: ChatRequest, index: int, message: Message) -> str:
    """What led to a message, as far as anybody knows it."""
    known = [message.get("reasoning_details")]
    known += [chat.thoughts.get(call["id"]) for call in message.get("tool_calls") or ()]
    texts = (text for details in known if (text := _text(details)))
    return next(texts, "") or (chat.thinking or {}).get(index) or UNKNOWN


def _text(details: object) -> str:
    """The words in reasoning_details; those that are sealed say nothing."""
    given = [detail for detail in details if type(detail) is dict] if type(details) is list else []
    return "".join(detail["text"] for detail in given if type(detail.get("text")) is str)


def _detail(text: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text, "index": 0}


def lasting_ids(calls: list[Any]) -> list[str]:
    """The ids that no other conversation has: not such as ``call_0``, ``functions.find:0`` or the tool's name.

    What is remembered by one of those would be told in somebody else's conversation.
    """
    found = []
    for call in calls:
        identifier = call.get("id") if type(call) is dict else None
        if type(identifier) is str and _ITS_OWN.search(identifier) and identifier != _name(call):
            found.append(identifier)
    return found


def _name(call: dict[str, Any]) -> object:
    made = call.get("custom") if "custom" in call else call.get("function")
    return made.get("name") if type(made) is dict else None
