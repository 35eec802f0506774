"""What upstreams say when they fail, in whatever shape they say it: bounded, without hosts or keys. Pure."""

from __future__ import annotations

import re
from typing import Any

import orjson

from proxy.dialects.shape import FailureMessage
from proxy.errors import GatewayError, Unavailable, excerpt

_SECRETS = re.compile(r"https?://\S+|\b(?:sk|pk|key|AIza)[-_A-Za-z0-9*]{6,}", re.ASCII)


def message_of(raw: bytes) -> FailureMessage:
    """``{"error": {…}}``, ``{"error": "…"}``, ``{"message"}``, ``{"detail"}``; HTML and the rest say nothing."""
    try:
        body = orjson.loads(raw)
    except ValueError:
        return FailureMessage()
    if type(body) is list and body:
        body = body[0]
    error = body.get("error", body) if type(body) is dict else body
    if type(error) is str:
        return FailureMessage(bounded(error))
    if type(error) is not dict:
        return FailureMessage()
    text = error.get("message") or error.get("detail") or ""
    code, param = error.get("code"), error.get("param")
    return FailureMessage(
        bounded(text if type(text) is str else orjson.dumps(text).decode()) if text else "",
        excerpt(code) if type(code) is str else "",
        excerpt(param) if type(param) is str else None,
    )


def embedded(body: dict[str, Any]) -> GatewayError:
    """An error inside a successful answer or a stream: the upstream's fault, in its own bounded words."""
    error = body["error"]
    text = error.get("message") if type(error) is dict else error
    said = f": {bounded(text)}" if type(text) is str and text else "."
    return Unavailable(502, f"The upstream failed{said}", "bad_gateway")


def bounded(text: str) -> str:
    """At most 400 characters of an upstream's words, addresses and keys blotted out, NUL left out."""
    return _SECRETS.sub("…", text[:4000]).replace("\0", "")[:400]
