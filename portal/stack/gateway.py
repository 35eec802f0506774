"""``python -m portal.stack gateway``: granian with the settings Tollgate needs, in as many processes as are asked for.

It is what ``make up`` starts; where PostgreSQL and Redis run elsewhere it is started by itself, once per machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from portal import environment

APPLICATION = "proxy.asgi:application"
MOST_WORKERS = 256
BACKLOG = 4096
STREAMS_PER_WORKER = 16384
#: Granian has one clock for slow headers and for idle connections, and clients expect those to live 75 s.
IDLE_MILLISECONDS = 80_000
#: Running answers get this long after SIGTERM; then the processes are killed.
DRAIN_SECONDS = 30
RESPAWN_SECONDS = 1.0
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen, and with how many processes."""

    bind: str
    port: int
    workers: int

    @property
    def host(self) -> str:
        """An address to reach it at from this machine."""
        return _ALL_ADDRESSES.get(self.bind, self.bind)

    @property
    def web_url(self) -> str:
        """The address to open."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The same as environment of a process."""
        values = {"BIND": self.bind, "PORT": str(self.port), "WORKERS": str(self.workers)}
        return {f"TOLLGATE_{name}": value for name, value in values.items()}


def options() -> Options:
    """From ``TOLLGATE_BIND``, ``TOLLGATE_PORT`` and ``TOLLGATE_WORKERS`` (one per core, at most two)."""
    return Options(
        bind=os.environ.get("TOLLGATE_BIND") or "127.0.0.1",
        port=environment.integer("TOLLGATE_PORT", 8000, least=1, most=65535),
        workers=environment.integer("TOLLGATE_WORKERS", min(os.cpu_count() or 1, 2), least=1, most=MOST_WORKERS),
    )


def serve(options: Options, application: str = APPLICATION) -> None:
    """Serve until SIGINT or SIGTERM; processes that die are replaced."""
    Granian(
        application,
        address=options.bind,
        port=options.port,
        workers=options.workers,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=STREAMS_PER_WORKER,
        http1_settings=HTTP1Settings(header_read_timeout=IDLE_MILLISECONDS),
        respawn_failed_workers=True,
        respawn_interval=RESPAWN_SECONDS,
        workers_kill_timeout=DRAIN_SECONDS,
    ).serve()


def gateway() -> int:
    """Serve as the environment says; the processes learn how many they are, to share limits while Redis is away."""
    chosen = options()
    os.environ.update(chosen.variables)
    serve(chosen)
    return 0
