"""Signatures of thoughts: what the sandbox signed it knows again, also when the thought was left out. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib

KEY = b"sandbox"
SIZE = 16


def sign(thought: str) -> str:
    """The signature of a thought."""
    digest = _digest(thought.encode())
    return base64.b64encode(b"\x12" + digest + _digest(KEY + digest)).decode()


def valid(signature: str) -> bool:
    """Whether the sandbox made this signature; Google's clients send it back in the other alphabet of base64."""
    try:
        raw = base64.b64decode(signature.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return False
    digest = raw[1 : 1 + SIZE]
    return raw == b"\x12" + digest + _digest(KEY + digest)


def signs(signature: str, thought: str) -> bool:
    """Whether a valid signature belongs to this thought; one that was left out belongs to all."""
    return not thought or signature == sign(thought)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:SIZE]
