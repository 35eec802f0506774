"""Sealing of secrets that must be read again: AES-256-GCM envelopes under keys derived for one purpose each. Pure.

An envelope is ``version (1 byte) + nonce (12) + ciphertext and tag``. Its associated data name the place it is stored
in, so an envelope copied to another row does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = b"\x01"
_NONCE = 12
_KEY = 32
SHORTEST_MASTER_KEY = 32


class SealProblem(Exception):
    """A secret that cannot be sealed, or an envelope that does not open. The message never holds the secret."""


class NoEnvelope(SealProblem):
    """Bytes that are no envelope of this version."""


def seal(*, master_key: str, purpose: bytes, place: bytes, secret: str) -> bytes:
    """An envelope of a secret that opens for this purpose and place alone."""
    nonce = os.urandom(_NONCE)
    return _VERSION + nonce + AESGCM(derive(master_key, purpose, _KEY)).encrypt(nonce, secret.encode(), place)


def open(*, master_key: str, purpose: bytes, place: bytes, sealed: bytes) -> str:
    """The secret of an envelope; SealProblem if it was sealed for another purpose, place or key, or was changed."""
    sealed = bytes(sealed)
    if sealed[:1] != _VERSION or len(sealed) <= 1 + _NONCE:
        raise NoEnvelope("this is no envelope of this version")
    nonce, box = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    try:
        return AESGCM(derive(master_key, purpose, _KEY)).decrypt(nonce, box, place).decode()
    except InvalidTag:
        raise SealProblem("the envelope does not open with this master key, or was made for another place") from None


def derive(master_key: str, purpose: bytes, length: int) -> bytes:
    """Bytes for one purpose alone; nothing about the master key or other purposes can be told from them."""
    if len(master_key) < SHORTEST_MASTER_KEY:
        raise SealProblem(f"the master key must have at least {SHORTEST_MASTER_KEY} characters")
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(master_key.encode())
