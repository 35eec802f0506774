"""The format of an API key: ``sk-tg-`` + 12 base62 public id + 32 base62 secret + 6 base62 CRC32. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from typing import NamedTuple

PREFIX = "sk-tg-"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = len(PREFIX) + 12 + 32 + 6
_SHAPE = re.compile(rb"sk-tg-[0-9A-Za-z]{50}")


class NewKey(NamedTuple):
    """A generated key: the whole text, to be shown once, and its public id."""

    text: str
    public_id: str


def generate() -> NewKey:
    """A new key from the system's random source: about 190 bits of secret."""
    public_id = "".join(secrets.choice(ALPHABET) for _ in range(12))
    body = PREFIX + public_id + "".join(secrets.choice(ALPHABET) for _ in range(32))
    return NewKey(body + checksum(body.encode()), public_id)


def checksum(body: bytes) -> str:
    """CRC32 of prefix, public id and secret as six base62 digits: a mistyped key is refused without a look-up."""
    value = zlib.crc32(body)
    digits = ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = ALPHABET[digit] + digits
    return digits


def well_formed(key: bytes) -> bool:
    """Whether shape and checksum are right."""
    return _SHAPE.fullmatch(key) is not None and key[-6:] == checksum(key[:-6]).encode()


class Digester:
    """``digest`` for many keys under one pepper: RFC 2104's two blocks are hashed once, which is half of the work."""

    def __init__(self, pepper: bytes) -> None:
        block = (hashlib.sha256(pepper).digest() if len(pepper) > 64 else pepper).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, key: bytes) -> bytes:
        """HMAC-SHA256 of the whole key, 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(key)
        outer.update(inner.digest())
        return outer.digest()


def digest(key: bytes, pepper: bytes) -> bytes:
    """HMAC-SHA256 of the whole key, 32 bytes: what is stored and what look-ups use."""
    return hmac.digest(pepper, key, "sha256")
