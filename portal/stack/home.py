"""The home folder while something runs on it: the lock, the servers' addresses, and what was done to which database."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class HomeProblem(Exception):
    """The home cannot be used; the message says what to do."""


class Home:
    """``$TOLLGATE_HOME`` and the files the stack keeps in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runtime = path / "runtime.json"
        self.demo = path / "demo.json"
        self.done = path / "done.json"
        self.logs = path / "logs"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home alone; a problem if somebody else holds it. The lock ends with the process, however it ends."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeProblem(f"TOLLGATE_HOME={self.path} cannot be used: {error.strerror}.") from error
        with os.fdopen(descriptor, "r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = lock.read().strip() or "unknown"
                raise HomeProblem(
                    f"Tollgate already runs on {self.path} (process {holder}). "
                    "Stop it first, or give this one a TOLLGATE_HOME of its own."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def log(self, name: str) -> Path:
        """Where a service logs."""
        return self.logs / f"{name}.log"

    def recall(self, what: str) -> Any:
        """What was remembered under a name, or None."""
        return _read(self.done).get(what)

    def remember(self, what: str, value: Any) -> None:
        """Keep a value for the next start."""
        write_private(self.done, {**_read(self.done), what: value})


def write_private(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file, mode 0600, all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of ours; one that is missing or cut counts as empty."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
