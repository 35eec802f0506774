"""How long ``make up`` takes to be ready: in a new home, and again in the same one."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from portal.stack.processes import Child, Command, never
from portal.stack.sockets import free_port

READY = "Tollgate is ready at"
MOST_SECONDS = 180.0


def startup() -> dict[str, Any]:
    """Seconds; nothing is pinned, as for those who type it. Packages are installed before."""
    home = Path(tempfile.mkdtemp(prefix="tollgate-bench-up-", dir="/var/tmp"))
    try:
        return {"cold_s": _up(home), "warm_s": _up(home)}
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _up(home: Path) -> float:
    variables = {"TOLLGATE_HOME": str(home), "TOLLGATE_PORT": str(free_port()), "PYTHONUNBUFFERED": "1"}
    for name in ("DATABASE_URL", "REDIS_URL", "TOLLGATE_ROLE", "DJANGO_SETTINGS_MODULE"):
        os.environ.pop(name, None)
    began = time.monotonic()
    command = [sys.executable, "-m", "portal.stack", "up"]
    child = Child(Command("up", command, home.with_suffix(".log"), variables=variables, stop_seconds=60))
    try:
        child.wait_until(lambda: READY in child.tail(), never, seconds=MOST_SECONDS)
        return time.monotonic() - began
    finally:
        child.stop()
        home.with_suffix(".log").unlink(missing_ok=True)
