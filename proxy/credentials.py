"""Sealing of upstream credentials: AES-256-GCM envelopes under a key derived for this purpose alone. Pure.

An envelope is ``version (1 byte) + nonce (12) + ciphertext and tag``. Its associated data name the upstream and the
credential, so a row copied to another upstream does not open.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = b"\x01"
_NONCE = 12
_SHOWN_FROM = 12
LONGEST_SECRET = 8192


class CredentialProblem(Exception):
    """A secret that cannot be sealed, or an envelope that does not open. The message never holds the secret."""


class Sealed(NamedTuple):
    """What is stored: the envelope, the id of the key it was sealed with, and the last four characters for people."""

    sealed: bytes
    key_id: str
    last_four: str


def check(secret: str) -> None:
    """Raise CredentialProblem for what could not be sent in a header."""
    if not secret or len(secret) > LONGEST_SECRET:
        raise CredentialProblem(f"An upstream's API key has 1 to {LONGEST_SECRET} characters.")
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise CredentialProblem("An upstream's API key has visible ASCII characters only, and no space at its ends.")


def seal(*, master_key: str, upstream_id: int, name: str, secret: str) -> Sealed:
    """Encrypt an upstream's API key. Refuses what ``check`` refuses."""
    check(secret)
    nonce = os.urandom(_NONCE)
    box = AESGCM(_key(master_key)).encrypt(nonce, secret.encode(), _associated(upstream_id, name))
    # Four characters of a short secret would be too much of it.
    return Sealed(_VERSION + nonce + box, key_id(master_key), secret[-4:] if len(secret) >= _SHOWN_FROM else "")


def open(*, master_key: str, upstream_id: int, name: str, sealed: bytes) -> str:
    """The API key of an envelope; raises CredentialProblem if it was sealed for another place, key, or was changed."""
    sealed = bytes(sealed)
    if sealed[:1] != _VERSION or len(sealed) <= 1 + _NONCE:
        raise CredentialProblem(f"the credential {name!r} of upstream {upstream_id} is no envelope of this version")
    nonce, box = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    try:
        return AESGCM(_key(master_key)).decrypt(nonce, box, _associated(upstream_id, name)).decode()
    except InvalidTag:
        raise CredentialProblem(
            f"the credential {name!r} of upstream {upstream_id} does not open with this master key: enter it again"
        ) from None


def key_id(master_key: str) -> str:
    """Sixteen hex digits that name a master key without telling anything about it."""
    return derive(master_key, b"tollgate upstream credentials key id", 8).hex()


def _key(master_key: str) -> bytes:
    return derive(master_key, b"tollgate upstream credentials", 32)


def derive(master_key: str, purpose: bytes, length: int) -> bytes:
    """Bytes for one purpose alone; nothing about the master key or other purposes can be told from them."""
    if len(master_key) < 32:
        raise CredentialProblem("the master key must have at least 32 characters")
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(master_key.encode())


def _associated(upstream_id: int, name: str) -> bytes:
    return f"upstream:{upstream_id}:credential:{name}".encode()
