"""The machine a figure was measured on: its cores, who gets which, and the state of the checkout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.environment import ROOT


@dataclass(frozen=True, slots=True)
class Cores:
    """The gateway alone on one core, everything else on the rest; on a single core nothing is pinned."""

    gateway: frozenset[int]
    rest: frozenset[int]

    def __str__(self) -> str:
        if self.gateway == self.rest:
            return "one core for everything"
        return f"gateway on core {_list(self.gateway)}, everything else on {_list(self.rest)}"


def cores() -> Cores:
    """From the cores this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        return Cores(frozenset(usable), frozenset(usable))
    return Cores(frozenset(usable[:1]), frozenset(usable[1:]))


@contextmanager
def pinned(to: frozenset[int]) -> Iterator[None]:
    """Keep this thread, and what it starts meanwhile, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def described() -> dict[str, Any]:
    """Cores and model of the processor."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"cores": os.cpu_count(), "model": model}


def commit() -> str:
    """The commit of the checkout, with a ``+`` when the code that is measured was edited since; empty without git."""
    head = _git("rev-parse", "--short", "HEAD")
    edited = _git("status", "--porcelain", "--", "proxy", "portal", "billing", "uv.lock")
    return head + ("+" if edited else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _list(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))
