"""Named points at which tests let this process die as by a power cut: ``CRASH_AT=<point>``. Else nothing happens."""

from __future__ import annotations

import os
import signal

POINTS = (
    "before_open_commit",
    "after_open_commit",
    "before_upstream",
    "after_upstream",
    "before_settle",
    "before_settle_commit",
    "after_settle_commit",
)

AT = os.environ.get("CRASH_AT", "")


def here(point: str) -> None:
    """Die if this is the point."""
    if point == AT:
        os.kill(os.getpid(), signal.SIGKILL)
