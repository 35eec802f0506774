"""Embeddings of the sandbox: a unit vector that only the text and its length decide. Pure."""

from __future__ import annotations

import hashlib
import math
import struct


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length one; single precision, so that base64 and JSON tell the same numbers."""
    raw = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = [value + 0.5 for value in struct.unpack(f"<{dimensions}h", raw)]
    length = math.sqrt(sum(number * number for number in numbers))
    return list(struct.unpack(f"<{dimensions}f", packed([number / length for number in numbers])))


def packed(numbers: list[float]) -> bytes:
    """Little-endian single precision, as base64 embeddings hold it."""
    return struct.pack(f"<{len(numbers)}f", *numbers)
