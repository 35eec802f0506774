"""What the gateway's driver of the journal does with the address it is given."""

from __future__ import annotations

import pytest

from proxy.journal import unambiguous


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p@db:5433/name", "postgresql://u:p@db:5433/name"),
        ("postgresql://u@/name?host=/run", "postgresql://u@/name?host=/run"),
        ("postgresql://u@:5433/name?host=/run", "postgresql://u@/name?host=/run&port=5433"),
        ("postgresql://:5433/name?host=/run", "postgresql:///name?host=/run&port=5433"),
    ],
)
def test_it_finds_the_port_where_libpq_finds_it(dsn: str, expected: str) -> None:
    assert unambiguous(dsn) == expected
