"""The two faces of the API: plain OpenAI under ``/v1``, and the ``success, code, data`` envelope of ``/api/v1``."""

from __future__ import annotations

from typing import Protocol

import orjson

from proxy.errors import GatewayError


class Surface(Protocol):
    """How bodies are dressed for the client. Streams are plain OpenAI chunks on every surface."""

    def answer(self, body: bytes) -> bytes:
        """A successful JSON body."""

    def error(self, error: GatewayError) -> bytes:
        """An error's JSON body."""


class Plain:
    """OpenAI's own shape."""

    def answer(self, body: bytes) -> bytes:
        """As it is."""
        return body

    def error(self, error: GatewayError) -> bytes:
        """``{"error": …}``."""
        return error.render()


class Envelope:
    """``{"success", "code", "message", "data"}``; ``code`` is the status as a text, the status itself is real."""

    def answer(self, body: bytes) -> bytes:
        """The body as ``data``."""
        return b'{"success":true,"code":"200","message":"successful","data":' + body + b"}"

    def error(self, error: GatewayError) -> bytes:
        """``success`` false, ``data`` null, and OpenAI's error beside them for clients that look for it."""
        body = {"success": False, "code": str(error.status), "message": error.message, "data": None}
        return orjson.dumps({**body, **error.body()})


PLAIN = Plain()
ENVELOPE = Envelope()
