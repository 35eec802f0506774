"""The sandbox's one picture: a PNG of a single pixel, made by hand. Pure."""

from __future__ import annotations

import base64
import struct
import zlib


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\x33\x66\x99"))
    + _chunk(b"IEND", b"")
)
PNG_BASE64 = base64.b64encode(PNG).decode()
