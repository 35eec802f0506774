"""How long bodies may take to arrive: one clock for all that are on their way, as a timer for each costs every call."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

BODY_S = 60.0
MOST_BETWEEN_S = 1.0


class Late(Protocol):
    """Something that is being read, and learns that it took too long."""

    late: bool


class Patience:
    """Cancels the task that reads a body when ``seconds`` are over, a second more at most, and marks it ``late``."""

    def __init__(self, seconds: float = BODY_S) -> None:
        self._seconds = seconds
        self._every = min(seconds / 4, MOST_BETWEEN_S)
        self._reading: dict[Late, tuple[float, asyncio.Task[object] | None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, body: Late) -> None:
        """The current task begins to read."""
        self._reading[body] = (time.monotonic(), asyncio.current_task())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._look)

    def end(self, body: Late) -> None:
        """It has been read, or given up."""
        self._reading.pop(body, None)

    def _look(self) -> None:
        """Give up on those that are overdue; the dict is in order of their beginnings."""
        before = time.monotonic() - self._seconds
        for body, (since, task) in list(self._reading.items()):
            if since > before:
                break
            del self._reading[body]
            body.late = True
            if task is not None:
                task.cancel()
        again = asyncio.get_running_loop().call_later(self._every, self._look) if self._reading else None
        self._timer = again
