"""The Anthropic Messages dialect, for clients that do not speak it themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.chat import ChatRequest
from proxy.dialects import anthropic_answer, anthropic_request
from proxy.dialects.anthropic_stream import AnthropicStream
from proxy.dialects.openai import path_of
from proxy.dialects.shape import OPENAI, Answer, Asked, FailureMessage, UpstreamCall

PATH = "/v1/messages"
VERSION = ("anthropic-version", "2023-06-01")


class Anthropic:
    """The dialect. The base URL has no version in it; the credential goes in x-api-key."""

    speaks = OPENAI

    def call(self, chat: ChatRequest, upstream_model: str, output_limit: int, rules: Mapping[str, Any]) -> UpstreamCall:
        """See proxy/dialects/anthropic_request.py."""
        body, dropped = anthropic_request.body_of(chat, upstream_model, output_limit, rules)
        return UpstreamCall(path_of(rules, upstream_model, PATH), orjson.dumps(body), (VERSION,), dropped)

    def answer(self, raw: bytes, asked: Asked) -> Answer:
        """A whole message as a chat completion."""
        return anthropic_answer.read(raw, asked)

    def stream(self, asked: Asked) -> AnthropicStream:
        """A translator for one stream."""
        return AnthropicStream(asked)

    def failure_message(self, raw: bytes) -> FailureMessage:
        """What an error body says."""
        return anthropic_answer.failure_message(raw)
