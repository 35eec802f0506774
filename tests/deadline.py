"""Waiting for something to become true, with a deadline: the tests' only way to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def until(condition: Callable[[], T], *, seconds: float = 15.0) -> T:
    """Poll until the condition holds and return what it gave; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not true within {seconds} s: {getattr(condition, '__name__', condition)}")
        time.sleep(POLL_SECONDS)
    return found
