"""OpenAI's Responses API as a surface: what Codex and newer clients speak, without any state of ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects.shape import Answer, ChunkWriter
from proxy.errors import GatewayError
from proxy.sse import KEEPALIVE
from proxy.surfaces import responses_request
from proxy.surfaces.responses_answer import finished, output_of, response_of
from proxy.surfaces.responses_tools import spaces
from proxy.surfaces.responses_writer import ResponseWriter
from proxy.surfaces.shape import reading

RESPONSES = "responses"


class Responses:
    """``/v1/responses``."""

    speaks = RESPONSES
    id_prefix: str | None = "resp_"
    keepalive = KEEPALIVE

    def parse(self, raw: bytes) -> ChatRequest:
        """See proxy/surfaces/responses_request.py."""
        return responses_request.parse(raw)

    @reading
    def answer(self, chat: ChatRequest, answer: Answer, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """The first choice as output items."""
        body = answer.body
        choice = body["choices"][0]
        response = response_of(chat, body["id"], body.get("created", 0), choice["finish_reason"])
        response["output"] = output_of(choice, body["id"], spaces((chat.native or {}).get("tools")))
        return orjson.dumps(finished(response, usage, body.get("service_tier"), extras))

    def error(self, error: GatewayError) -> bytes:
        """``{"error": …}``."""
        return error.render()

    def error_event(self, error: GatewayError) -> bytes:
        """``error``, at which SDKs raise, and ``response.failed``, from which Codex tells why; then the end."""
        said = error.body()["error"]
        told = {"type": "error", "code": error.code, "message": error.message, "param": error.param, "error": said}
        why = {"code": error.code, "message": error.message}
        response: dict[str, Any] = {"object": "response", "status": "failed", "error": why, "output": [], "usage": None}
        failed = {"type": "response.failed", "response": response}
        return b"event: error\ndata: %s\n\nevent: response.failed\ndata: %s\n\n" % (
            orjson.dumps(told),
            orjson.dumps(failed),
        )

    def writer(self, chat: ChatRequest, answer_id: str, created: int) -> ChunkWriter:
        """A writer of the API's events."""
        return ResponseWriter(chat, answer_id, created)
