"""What a step takes: time, CPU of PostgreSQL and of ours, and the most memory either had at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

EVERY_S = 0.5
MIB = 2**20


class Watch:
    """Looks at the processes of a server and of ourselves while steps run; ``figures`` has one entry per step."""

    def __init__(self, server: psutil.Process) -> None:
        self.server = server
        self.ours = psutil.Process()
        self.figures: dict[str, dict[str, Any]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Measure what is done within; the step may add figures of its own."""
        figures: dict[str, Any] = {"postgres_mib": 0, "worker_mib": 0}
        done = threading.Event()
        watcher = threading.Thread(target=self._look, args=(figures, done), daemon=True)
        before = _cpu(self.server), _cpu(self.ours)
        began = time.monotonic()
        watcher.start()
        try:
            yield figures
        finally:
            figures["seconds"] = round(time.monotonic() - began, 2)
            done.set()
            watcher.join()
            figures["postgres_cpu_s"] = round(_cpu(self.server) - before[0], 2)
            figures["worker_cpu_s"] = round(_cpu(self.ours) - before[1], 2)
        self.figures[name] = figures

    def _look(self, figures: dict[str, Any], done: threading.Event) -> None:
        while True:
            figures["postgres_mib"] = max(figures["postgres_mib"], round(_together(self.server) / MIB))
            figures["worker_mib"] = max(figures["worker_mib"], round(_largest(self.ours) / MIB))
            if done.wait(EVERY_S):
                return


def _cpu(parent: psutil.Process) -> float:
    """Seconds that a process and all it started have worked, those that have ended, too."""
    total = 0.0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _together(server: psutil.Process) -> int:
    """What all processes of the server keep alone, and the shared buffers once."""
    alone = shared = 0
    for process in [server, *server.children()]:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue
        alone += memory.uss
        shared = max(shared, memory.shared)
    return alone + shared


def _largest(ours: psutil.Process) -> int:
    """The resident memory of the largest worker; of ourselves while there is none."""
    sizes = []
    for process in ours.children(recursive=True) or [ours]:
        try:
            sizes.append(process.memory_info().rss)
        except psutil.Error:
            continue
    return max(sizes, default=0)
