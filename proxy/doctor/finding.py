"""What a check of the installation found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: good, or what to do."""

    good: bool
    words: str

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'WRONG'}  {self.words}"


Check = Callable[[], Iterator[Finding]]


def ok(words: str) -> Finding:
    """As it should be."""
    return Finding(True, words)


def wrong(words: str) -> Finding:
    """Not as it should be; the words say what to do."""
    return Finding(False, words)
