"""A sandbox upstream as a real process for one test or many, with its stats."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from portal.environment import ROOT

READY = "sandbox listening on "


class SandboxProcess:
    """``python -m proxy.sandbox`` on a port of its own; ``start`` after ``kill`` keeps port and state."""

    def __init__(self, state: Path, *flags: str) -> None:
        self.state = state
        self.flags = flags
        self.url = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> SandboxProcess:
        """Start it and wait until it listens."""
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "proxy.sandbox", "--port", port, "--state", str(self.state), *self.flags]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(READY), line
        self.url = line.removeprefix(READY).strip()
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM."""
        self._end(signal.SIGTERM)

    def stats(self, request_id: str = "") -> dict[str, Any]:
        """The totals with ``detail``, or one request's charge."""
        path = f"/stats/{request_id}" if request_id else "/stats?detail=1"
        answer: dict[str, Any] = httpx.get(self.url + path).raise_for_status().json()
        return answer

    def clear(self) -> None:
        """Forget all charges and the counts of flaky models."""
        httpx.delete(self.url + "/stats").raise_for_status()

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None
