"""Sealing of upstream credentials."""

from __future__ import annotations

import pytest

from proxy import credentials
from proxy.credentials import CredentialProblem

MASTER = "m" * 32
PLACE = {"upstream_id": 7, "name": "default"}
SECRET = "sk-upstream-0123456789"


def sealed() -> credentials.Sealed:
    return credentials.seal(master_key=MASTER, **PLACE, secret=SECRET)  # type: ignore[arg-type]


def test_it_opens_what_it_sealed() -> None:
    assert credentials.open(master_key=MASTER, **PLACE, sealed=sealed().sealed) == SECRET  # type: ignore[arg-type]


def test_it_seals_differently_every_time() -> None:
    assert sealed().sealed != sealed().sealed
    assert SECRET.encode() not in sealed().sealed
    assert sealed().last_four == "6789"


@pytest.mark.parametrize(
    "change", [{"master_key": "n" * 32}, {"upstream_id": 8}, {"name": "other"}, {"sealed": b""}, {"sealed": b"\x02xx"}]
)
def test_it_opens_nowhere_else(change: dict[str, object]) -> None:
    arguments: dict[str, object] = {"master_key": MASTER, **PLACE, "sealed": sealed().sealed} | change
    with pytest.raises(CredentialProblem) as problem:
        credentials.open(**arguments)  # type: ignore[arg-type]
    assert SECRET not in str(problem.value)


def test_it_notices_every_changed_byte() -> None:
    box = sealed().sealed
    for place in range(len(box)):
        changed = box[:place] + bytes([box[place] ^ 1]) + box[place + 1 :]
        with pytest.raises(CredentialProblem):
            credentials.open(master_key=MASTER, **PLACE, sealed=changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("secret", ["", " x", "x ", "a\r\nb", "a\0b", "schlüssel", "x" * 9000])
def test_it_refuses_what_no_header_can_hold(secret: str) -> None:
    with pytest.raises(CredentialProblem):
        credentials.seal(master_key=MASTER, **PLACE, secret=secret)  # type: ignore[arg-type]


def test_it_shows_nothing_of_a_short_secret() -> None:
    short = credentials.seal(master_key=MASTER, **PLACE, secret="abcdefgh")  # type: ignore[arg-type]
    assert short.last_four == ""


def test_it_refuses_a_short_master_key() -> None:
    with pytest.raises(CredentialProblem):
        credentials.key_id("short")
