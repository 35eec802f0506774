"""OpenAI's own surface, for each of its endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects.shape import OPENAI, Answer, ChunkWriter
from proxy.errors import GatewayError
from proxy.sse import KEEPALIVE
from proxy.surfaces.shape import reading


class Plain:
    """``{"error": …}``, and bodies as they are."""

    speaks = OPENAI
    id_prefix: str | None = None
    keepalive = KEEPALIVE

    def __init__(self, parse: Callable[[bytes], ChatRequest]) -> None:
        self.parse = parse

    @reading
    def answer(self, chat: ChatRequest, answer: Answer, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """The body in OpenAI's shape, with our own counts where the upstream's are missing."""
        if answer.usage is None:
            answer.body["usage"] = meters.as_openai(usage)
        answer.body.update(extras)
        return orjson.dumps(answer.body)

    def error(self, error: GatewayError) -> bytes:
        """``{"error": …}``."""
        return error.render()

    def error_event(self, error: GatewayError) -> bytes:
        """One event, and then the end without an end marker."""
        return b"data: " + orjson.dumps(error.body()) + b"\n\n"

    def writer(self, chat: ChatRequest, answer_id: str, created: int) -> ChunkWriter:
        """Never needed: chunks go as they are."""
        raise NotImplementedError
