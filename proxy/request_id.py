"""Request ids: UUIDv7 whose last 32 bits are zero, so that 24 hex digits name them."""

from __future__ import annotations

import secrets
import time


class RequestIds:
    """Makes ids for one process without a system call for randomness on each.

    48 bits of milliseconds, then 42 bits that start at random and count up: two processes meet only if they share a
    random 20-bit start and the count within the same millisecond, and then the primary key refuses the second.
    """

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = secrets.randbits(42)

    def next(self) -> str:
        """24 hex digits: the request's name everywhere."""
        self._count = count = (self._count + 1) & 0x3FFFFFFFFFF
        moment = time.time_ns() // 1_000_000
        return f"{moment << 48 | 0x7000_8000_0000 | count >> 30 << 32 | count & 0x3FFFFFFF:024x}"


def as_uuid(request_id: str) -> str:
    """The UUID (32 hex digits) that the journal stores for 24 hex digits."""
    return request_id + "00000000"
