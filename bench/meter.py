"""CPU time and memory of process trees, as the kernel counts them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

PARTS = ("gateway", "postgres", "redis", "sandbox")


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds of CPU by part since each began, and when it was read (seconds, monotonic)."""

    at: float
    cpu: dict[str, float]

    def since(self, before: Reading) -> Reading:
        """What was used in between; ``at`` is then the length."""
        return Reading(self.at - before.at, {part: self.cpu[part] - before.cpu[part] for part in self.cpu})


class Meter:
    """Reads the process trees of the product; ``roots`` are their first processes."""

    def __init__(self, roots: dict[str, int]) -> None:
        self._roots = roots

    def read(self) -> Reading:
        """CPU of all threads, of all processes, those that have ended among them."""
        return Reading(time.monotonic(), {part: sum(map(_cpu, _tree(root))) for part, root in self._roots.items()})

    def memory(self, part: str) -> dict[str, float]:
        """MiB a part keeps: resident as a sum, and what it keeps alone (unique), shared pages left out."""
        used = [process.memory_full_info() for process in _tree(self._roots[part])]
        mib = 1024 * 1024
        return {"resident": sum(one.rss for one in used) / mib, "unique": sum(one.uss for one in used) / mib}


def _tree(root: int) -> list[psutil.Process]:
    first = psutil.Process(root)
    return [first, *first.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return used.user + used.system + used.children_user + used.children_system
