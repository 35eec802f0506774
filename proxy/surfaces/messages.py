"""Anthropic's Messages as a surface: what Claude Code and Anthropic's SDKs speak. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects.shape import ANTHROPIC, Answer, ChunkWriter
from proxy.errors import GatewayError
from proxy.surfaces import messages_request
from proxy.surfaces.messages_answer import message_of, usage_of
from proxy.surfaces.messages_writer import PING, MessageWriter
from proxy.surfaces.shape import reading

ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class Messages:
    """``/v1/messages``. Statuses stay our own; error types are Anthropic's for them."""

    speaks = ANTHROPIC
    id_prefix: str | None = "msg_"
    keepalive = PING

    def parse(self, raw: bytes) -> ChatRequest:
        """See proxy/surfaces/messages_request.py."""
        return messages_request.parse(raw)

    @reading
    def answer(self, chat: ChatRequest, answer: Answer, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """A message; one that came from Anthropic keeps its own words."""
        if answer.speaks == ANTHROPIC:
            body = answer.body
            if answer.usage is None:
                body["usage"] = usage_of(usage)
        else:
            body = message_of(answer.body, usage)
        body.update(extras)
        return orjson.dumps(body)

    def error(self, error: GatewayError) -> bytes:
        """``{"type": "error", "error": {type, message}}`` with our code, parameter and limit beside them."""
        return orjson.dumps(_error(error))

    def error_event(self, error: GatewayError) -> bytes:
        """``event: error``, and then the end."""
        return b"event: error\ndata: " + orjson.dumps(_error(error)) + b"\n\n"

    def writer(self, chat: ChatRequest, answer_id: str, created: int) -> ChunkWriter:
        """A writer of Anthropic's events."""
        return MessageWriter(answer_id, chat.model)


def count_body(tokens: int) -> bytes:
    """What ``/v1/messages/count_tokens`` answers."""
    return b'{"input_tokens":%d}' % tokens


def anthropic_type(status: int) -> str:
    """Anthropic's word for an error of this status."""
    return ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def _error(error: GatewayError) -> dict[str, Any]:
    said: dict[str, Any] = {"type": anthropic_type(error.status), "message": error.message}
    more = {"code": error.code, "param": error.param, "limit": error.limit}
    said.update((name, value) for name, value in more.items() if value is not None)
    return {"type": "error", "error": said}
