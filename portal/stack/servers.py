"""PostgreSQL and Redis for a home: the embedded ones, unless the environment names others."""

from __future__ import annotations

import os
from collections.abc import Callable

from portal.stack.home import Home, write_private
from portal.stack.postgres import EmbeddedPostgres
from portal.stack.redis import EmbeddedRedis
from portal.stack.supervisor import Supervisor


def start_servers(home: Home, supervisor: Supervisor, timed: Callable[[str, Callable[[], None]], None]) -> None:
    """Start what ``DATABASE_URL`` and ``REDIS_URL`` do not replace, and write the addresses to ``runtime.json``."""
    home.runtime.unlink(missing_ok=True)
    addresses = {}
    if not os.environ.get("DATABASE_URL"):
        postgres = EmbeddedPostgres(home.path / "postgres", home.log("postgres"))
        supervisor.add(postgres)
        timed("PostgreSQL", lambda: postgres.start(supervisor.check))
        addresses["database_url"] = postgres.url()
    if not os.environ.get("REDIS_URL"):
        redis = EmbeddedRedis(home.path / "redis", home.log("redis"))
        supervisor.add(redis)
        timed("Redis", lambda: redis.start(supervisor.check))
        addresses["redis_url"] = redis.url()
    write_private(home.runtime, addresses)
