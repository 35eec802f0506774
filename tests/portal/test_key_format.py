"""Digests of keys: the same whichever way they are made."""

from __future__ import annotations

import pytest

from portal import key_format


@pytest.mark.parametrize("pepper", [b"", b"p" * 32, b"p" * 64, b"p" * 65, b"p" * 200])
def test_a_digester_makes_the_digests_that_are_stored(pepper: bytes) -> None:
    digester = key_format.Digester(pepper)
    for key in (b"", b"k", key_format.generate().text.encode(), b"x" * 500):
        assert digester.digest(key) == key_format.digest(key, pepper)
