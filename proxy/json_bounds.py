"""How many values a JSON text has, counted without parsing it: values cost a hundred times what their bytes do. Pure.

Works in slices, each of a few milliseconds at most, so that in a thread it lets others run in between.
"""

from __future__ import annotations

MOST_VALUES = 400_000
"""Members, elements, objects and arrays together. 20,000 messages or 300,000 tokens of an embeddings call fit."""
MOST_READ, MOST_CONTAINERS = 7_000_000, 1_000_000
"""Of an upstream's answer: 2,048 vectors of 3,072 numbers fit, or the probabilities of 20,000 tokens."""
SLICE = 256 * 1024


def too_many_values(text: bytes, most: int = MOST_VALUES) -> bool:
    """Whether the text has more values than that. Of broken JSON, at least those before the fault are counted."""
    starts = range(0, len(text), SLICE)
    bound = 0
    for start in starts:  # counts the punctuation of strings, too, and nearly always that is enough
        end = start + SLICE
        bound += text.count(b",", start, end) + text.count(b"[", start, end) + text.count(b"{", start, end)
    return bound > most and _values(text, most) > most


def laborious(text: bytes) -> bool:
    """Whether an upstream's answer would take more than a second to parse, and all that time hold the interpreter."""
    containers = 0
    for start in range(0, len(text), SLICE):
        end = start + SLICE
        containers += text.count(b"[", start, end) + text.count(b"{", start, end)
    return containers > MOST_CONTAINERS or too_many_values(text, MOST_READ)


def _values(text: bytes, most: int) -> int:
    """The values outside strings; stops counting beyond ``most``."""
    values, inside, carried = 0, 0, b""
    for start in range(0, len(text), SLICE):
        piece = (carried + text[start : start + SLICE]).replace(rb"\\", b"")
        carried = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.replace(rb"\"", b"").split(b'"')
        outside = b"".join(parts[inside::2])
        inside ^= (len(parts) - 1) & 1
        values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if values > most:
            break
    return values
