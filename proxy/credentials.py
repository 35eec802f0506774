"""Sealing of upstream credentials, under a key derived for this purpose alone. Pure.

An envelope is bound to the upstream and the credential's name: a row copied to another upstream does not open.
"""

from __future__ import annotations

from typing import NamedTuple

from billing import sealing
from billing.sealing import NoEnvelope, SealProblem

_PURPOSE = b"tollgate upstream credentials"
_SHOWN_FROM = 12
LONGEST_SECRET = 8192


class CredentialProblem(SealProblem):
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
    try:
        sealed = sealing.seal(master_key=master_key, purpose=_PURPOSE, place=_place(upstream_id, name), secret=secret)
    except SealProblem as problem:
        raise CredentialProblem(str(problem)) from None
    # Four characters of a short secret would be too much of it.
    return Sealed(sealed, key_id(master_key), secret[-4:] if len(secret) >= _SHOWN_FROM else "")


def open(*, master_key: str, upstream_id: int, name: str, sealed: bytes) -> str:
    """The API key of an envelope; raises CredentialProblem if it was sealed for another place, key, or was changed."""
    what = f"the credential {name!r} of upstream {upstream_id}"
    try:
        return sealing.open(master_key=master_key, purpose=_PURPOSE, place=_place(upstream_id, name), sealed=sealed)
    except NoEnvelope:
        raise CredentialProblem(f"{what} is no envelope of this version") from None
    except SealProblem:
        raise CredentialProblem(f"{what} does not open with this master key: enter it again") from None


def key_id(master_key: str) -> str:
    """Sixteen hex digits that name a master key without telling anything about it."""
    try:
        return sealing.derive(master_key, b"tollgate upstream credentials key id", 8).hex()
    except SealProblem as problem:
        raise CredentialProblem(str(problem)) from None


def _place(upstream_id: int, name: str) -> bytes:
    return f"upstream:{upstream_id}:credential:{name}".encode()
