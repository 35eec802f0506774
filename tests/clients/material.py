"""What the clients are made to say and show: a question, a picture, tools and a shape for answers."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from pydantic import BaseModel

SAID = "one two three"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a text up.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        },
    },
}


class Echo(BaseModel):
    """What the sandbox's ``json`` answers."""

    echo: str


def said(text: str = SAID) -> list[Any]:
    """One question."""
    return [{"role": "user", "content": text}]


def picture() -> str:
    """A PNG of one red point, as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png()).decode()


def png() -> bytes:
    """A PNG of one red point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def showing(text: str = "What is this?") -> list[Any]:
    """A question about the picture."""
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": picture()}}]
    return [{"role": "user", "content": parts}]


def megabytes(number: int) -> str:
    """A text of that many megabytes."""
    return "word " * (number * 200_000)
