"""Keeps a set of services together: if one ends or we are told to stop, all stop, the newest first."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Protocol

from portal.stack.processes import Child

POLL_SECONDS = 0.2
IMPATIENT_SECONDS = 1.5


class Stopped(Exception):
    """SIGINT or SIGTERM arrived; raised at the next check."""


class Service(Protocol):
    """What the supervisor needs of a server: ``child`` is set while it is started."""

    @property
    def child(self) -> Child | None: ...

    def stop(self) -> None: ...


class Process:
    """A service that is one command, started by making it."""

    def __init__(self, child: Child) -> None:
        self.child: Child | None = child

    def stop(self) -> None:
        """Stop the process and its group."""
        if self.child is not None:
            self.child.stop()


class Supervisor:
    """Holds services in the order they were started. Signals are taken while it is entered (``with``)."""

    def __init__(self) -> None:
        self.services: list[Service] = []
        self.asked = threading.Event()
        self.asked_at = 0.0
        self.before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Supervisor:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        for number, handler in self.before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def add(self, service: Service) -> None:
        """Take a service into care; before it starts, so that a failed start is stopped too."""
        self.services.append(service)

    def check(self) -> None:
        """Raise ``Stopped`` if we were told to stop, or the problem of a service that ended."""
        if self.asked.is_set():
            raise Stopped
        for service in self.services:
            child = service.child
            if child is not None and not child.running:
                raise child.problem(f"stopped by itself with code {child.process.returncode}")

    def watch(self) -> None:
        """Wait until a signal (then return) or until a service ends (then its problem is raised)."""
        try:
            while True:
                self.check()
                self.asked.wait(POLL_SECONDS)
        except Stopped:
            return

    def stop(self) -> None:
        """Stop all services, the newest first."""
        while self.services:
            self.services.pop().stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks; one that comes later, while things stop, kills what is left.

        A terminal and ``make`` may both pass on the same signal, so one that follows at once is the first again.
        """
        now = time.monotonic()
        if self.asked.is_set() and now - self.asked_at > IMPATIENT_SECONDS:
            for service in reversed(self.services):
                if service.child is not None:
                    os.killpg(service.child.process.pid, signal.SIGKILL)
        elif not self.asked.is_set():
            self.asked_at = now
            self.asked.set()
