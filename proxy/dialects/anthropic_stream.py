"""Anthropic's streams as OpenAI chunks. Pure."""

from __future__ import annotations

from typing import Any

from proxy.dialects import anthropic_answer as answers
from proxy.dialects.chunks import TranslatedStream
from proxy.dialects.shape import Asked


class AnthropicStream(TranslatedStream):
    """One stream. Tool calls are numbered in the order they come; signed thinking is told once each block is whole."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._usage: dict[str, Any] = {}
        self._block: dict[str, Any] = {}
        self._parts: list[str] = []
        self._calls: list[str] = []
        self._details = 0
        self._thought_before = False
        self._since: list[dict[str, Any]] = []

    def event(self, event: dict[str, Any]) -> None:
        """One of message_start, content_block_start, content_block_delta, content_block_stop, message_delta,
        message_stop, error; ping and what is not known yet say nothing."""
        match event.get("type"):
            case "content_block_delta":
                self._delta(_object(event, "delta"))
            case "content_block_start":
                self._end_block()
                self._begin_block(_object(event, "content_block"))
            case "content_block_stop":
                self._end_block()
            case "message_start":
                self._begin(_object(event, "message"))
            case "message_delta":
                self._end_block()
                self._note_usage(event.get("usage"))
                reason = _object(event, "delta").get("stop_reason")
                if reason:
                    self.finish(answers.finish_reason(reason))
            case "message_stop":
                self.done = True
            case "error":
                error = answers.error_of(event)
                self.fail(error.message, error)

    def _begin(self, message: dict[str, Any]) -> None:
        self.reported_model = _text(message, "model")
        self._note_usage(message.get("usage"))
        self.say({}, size=0)

    def _begin_block(self, block: dict[str, Any]) -> None:
        self._block, self._parts = block, []
        kind = block.get("type")
        if kind == "tool_use":
            identifier, name = _text(block, "id"), _text(block, "name")
            self._calls.append(identifier)
            if self._since:
                self.thoughts[identifier], self._since = self._since, []
            call = {"index": len(self._calls) - 1, **answers.tool_call(identifier, name, "")}
            self.say({"tool_calls": [call]}, size=len(name))
        elif kind == "text" and _text(block, "text"):
            self._say_text(_text(block, "text"))
        elif kind == "thinking" and _text(block, "thinking"):
            self._say_thinking(_text(block, "thinking"))

    def _delta(self, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            self._say_text(_text(delta, "text"))
        elif kind == "input_json_delta":
            self._say_arguments(_text(delta, "partial_json"))
        elif kind == "thinking_delta":
            self._say_thinking(_text(delta, "thinking"))
        elif kind == "signature_delta":
            self._block["signature"] = _text(self._block, "signature") + _text(delta, "signature")

    def _end_block(self) -> None:
        """The block is whole: arguments that never came are none, and thinking gets its signature."""
        block, self._block = self._block, {}
        kind = block.get("type")
        if kind == "tool_use" and not self._parts:
            self._say_arguments(answers.arguments_of(block.get("input")))
        elif kind == "thinking":
            self._tell(answers.signed("".join(self._parts), _text(block, "signature"), self._details))
        elif kind == "redacted_thinking":
            self._tell(answers.sealed(_text(block, "data"), self._details))

    def _say_text(self, text: str) -> None:
        if text:
            self.say({"content": text}, size=len(text.encode()))

    def _say_thinking(self, text: str) -> None:
        if not text:
            return
        gap = "\n\n" if self._thought_before and not self._parts else ""
        self._thought_before = True
        self._parts.append(text)
        self.say({"reasoning_content": gap + text}, size=len(text.encode()))

    def _say_arguments(self, text: str) -> None:
        if text and self._calls:
            self._parts.append(text)
            call = {"index": len(self._calls) - 1, "function": {"arguments": text}}
            self.say({"tool_calls": [call]}, size=len(text.encode()))

    def _tell(self, detail: dict[str, Any]) -> None:
        self._details += 1
        self._since.append(detail)
        self.say({"reasoning_details": [detail]}, size=0)

    def _note_usage(self, usage: object) -> None:
        """Counts are cumulative: those of message_delta replace those of message_start, and what is missing stays."""
        if type(usage) is not dict:
            return
        self._usage.update((name, value) for name, value in usage.items() if value is not None)
        read, ignored = answers.read_usage(self._usage, self.asked.context_window)
        if read is not None:
            self.counted, self.usage_ignored = read, False
        elif self.counted is None:
            self.usage_ignored = self.usage_ignored or ignored
        self.service_tier = answers.service_tier(self._usage) or self.service_tier


def _object(event: dict[str, Any], name: str) -> dict[str, Any]:
    value = event.get(name)
    return value if type(value) is dict else {}


def _text(block: dict[str, Any], name: str) -> str:
    value = block.get(name)
    return value if type(value) is str else ""
