"""The surface below ``/api/v1``: another one's answers in ``{"success", "code", "message", "data"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects.shape import Answer, ChunkWriter
from proxy.errors import GatewayError
from proxy.surfaces.shape import Surface


class Envelope:
    """``code`` is the status as a text, the status itself is real. Streams are the inner surface's own."""

    def __init__(self, inner: Surface) -> None:
        self._inner = inner
        self.speaks = inner.speaks
        self.id_prefix = inner.id_prefix
        self.keepalive = inner.keepalive

    def parse(self, raw: bytes) -> ChatRequest:
        """As the inner surface."""
        return self._inner.parse(raw)

    def answer(self, chat: ChatRequest, answer: Answer, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """The inner body as ``data``."""
        return wrapped(self._inner.answer(chat, answer, usage, extras))

    def error(self, error: GatewayError) -> bytes:
        """``success`` false, ``data`` null, and OpenAI's error beside them for clients that look for it."""
        body = {"success": False, "code": str(error.status), "message": error.message, "data": None}
        return orjson.dumps({**body, **error.body()})

    def error_event(self, error: GatewayError) -> bytes:
        """As the inner surface."""
        return self._inner.error_event(error)

    def writer(self, chat: ChatRequest, answer_id: str, created: int) -> ChunkWriter:
        """As the inner surface."""
        return self._inner.writer(chat, answer_id, created)


def wrapped(body: bytes) -> bytes:
    """A JSON body of a success."""
    return b'{"success":true,"code":"200","message":"successful","data":' + body + b"}"
