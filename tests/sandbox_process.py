"""A sandbox upstream as a real process for one test or many, with its stats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx

from portal.stack.processes import Child, Command, never

READY = "sandbox listening on "
START_SECONDS = 30.0


class SandboxProcess:
    """``python -m proxy.sandbox`` on a port of its own; ``start`` after ``kill`` keeps port and state."""

    def __init__(self, state: Path, *flags: str) -> None:
        self.state = state
        self.flags = flags
        self.url = ""
        self.child: Child | None = None

    def start(self) -> SandboxProcess:
        """Start it and wait until it listens."""
        port = self.url.rpartition(":")[2] or "0"
        arguments = [sys.executable, "-m", "proxy.sandbox", "--port", port, "--state", str(self.state), *self.flags]
        self.child = Child(Command("sandbox", arguments, self.state.with_suffix(".log")))
        self.child.wait_until(lambda: READY in self._printed(), never, seconds=START_SECONDS)
        self.url = self._printed().partition(READY)[2].split()[0]
        return self

    def kill(self) -> None:
        """SIGKILL."""
        if self.child is not None:
            self.child.kill()

    def stop(self) -> None:
        """SIGTERM."""
        if self.child is not None:
            self.child.stop()

    def _printed(self) -> str:
        assert self.child is not None
        return self.child.tail()

    def stats(self, request_id: str = "") -> dict[str, Any]:
        """The totals with ``detail``, or one request's charge."""
        path = f"/stats/{request_id}" if request_id else "/stats?detail=1"
        answer: dict[str, Any] = httpx.get(self.url + path).raise_for_status().json()
        return answer

    def clear(self) -> None:
        """Forget all charges and the counts of flaky models."""
        httpx.delete(self.url + "/stats").raise_for_status()
