"""JSON of upstreams, read so that it can be written again: broken characters mended, depth and number bounded."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.chat import LONE_SURROGATE, MOST_DEPTH, MOST_ESCAPES
from proxy.dialects.shape import MalformedAnswer
from proxy.json_bounds import laborious

LARGE = 256 * 1024
"""Events above this are looked through before they are parsed."""
ROOM = 4
"""Levels that a surface may put around what an upstream says."""


def answer(raw: bytes) -> Any:
    """A whole answer; raises MalformedAnswer for what is no JSON, or cannot be written again."""
    try:
        body = loads(raw)
        if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH:
            inner = body
            for _ in range(ROOM):
                inner = [inner]
            orjson.dumps(inner)
    except (ValueError, TypeError):
        raise MalformedAnswer("not JSON, or nested too deep") from None
    return body


def event(data: bytes) -> Any:
    """The data of an event of a stream; None for what is no JSON."""
    if len(data) > LARGE and laborious(data):
        return None
    try:
        return loads(data)
    except ValueError:
        return None


def loads(raw: bytes) -> Any:
    """JSON; what is no character, lone surrogates and broken UTF-8, becomes U+FFFD. Raises ValueError."""
    try:
        return orjson.loads(raw)
    except ValueError:
        mended = raw if sound(raw) else raw.decode(errors="replace").encode()
        if 0 < mended.count(b"\\u") <= MOST_ESCAPES:
            mended = LONE_SURROGATE.sub(rb"\\ufffd", mended)
        if mended == raw:
            raise
        return orjson.loads(mended)


def sound(raw: bytes) -> bool:
    """Whether these bytes are UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def readable(block: bytes) -> bool:
    """Whether events may pass as bytes: none has a broken character in it."""
    if not block.isascii() and not sound(block):
        return False
    return b"\\u" not in block or LONE_SURROGATE.search(block) is None
