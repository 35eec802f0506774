"""Threads that each have a database connection of their own, started together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

Result = TypeVar("Result")


def together(jobs: Sequence[Callable[[], Result]], *, seconds: float = 90) -> list[Result]:
    """Run all jobs at the same time, one thread and connection each; results in their order, errors raised."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Result]) -> Result:
        try:
            connections["default"].ensure_connection()
            barrier.wait(timeout=30)
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        return [future.result(timeout=seconds) for future in futures]
