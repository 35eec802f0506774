"""What upstreams say when they fail, in whatever shape they say it: bounded, without hosts or keys. Pure."""

from __future__ import annotations

import re
from typing import Any

import orjson

from proxy.dialects.shape import FailureMessage
from proxy.errors import GatewayError, Unavailable, excerpt

_SECRETS = re.compile(r"https?://\S+|\b(?:sk|pk|key|AIza)[-_A-Za-z0-9*]{6,}", re.ASCII)
_WORDS = re.compile(r"[A-Za-z0-9._+/=-]{20,}")
_RANDOM = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{20,}")
"""Letters and digits as only keys and identifiers have them."""
_IDENTIFIERS = ("call_", "toolu_", "chatcmpl-", "msg_", "fc_", "rs_", "resp_", "file-")


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
        bounded(text if type(text) is str else _written(text)) if text else "",
        excerpt(bounded(code)) if type(code) is str else "",
        excerpt(bounded(param)) if type(param) is str else None,
    )


def embedded(body: dict[str, Any]) -> GatewayError:
    """An error inside a successful answer or a stream: the upstream's fault, in its own bounded words."""
    error = body["error"]
    text = error.get("message") if type(error) is dict else error
    said = f": {bounded(text)}" if type(text) is str and text else "."
    return Unavailable(502, f"The upstream failed{said}", "bad_gateway")


def bounded(text: str) -> str:
    """At most 400 characters of an upstream's words, addresses and keys blotted out, NUL left out."""
    return _WORDS.sub(_blotted, _SECRETS.sub("…", text[:4000])).replace("\0", "")[:400]


def _written(text: object) -> str:
    """A message that is more than a text; nothing where it is nested too deep to be written."""
    try:
        return orjson.dumps(text).decode()
    except TypeError:
        return ""


def _blotted(word: re.Match[str]) -> str:
    """Keys have many shapes, and upstreams repeat what they were sent: only what clients know by name is kept."""
    said = word[0]
    return said if said.startswith(_IDENTIFIERS) or _RANDOM.search(said) is None else "…"
