"""Connections to PostgreSQL as the gateway's role: one of one's own, or a few shared by short statements."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from asyncpg.protocol import protocol

STATEMENT_TIMEOUT_S = 10.0

AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    TimeoutError,
)

protocol.IterableABC = (list, tuple)
"""asyncpg asks each element of each array whether it is an Iterable, and abstract classes answer slowly: 8 of the
150 µs of a call went there. We pass lists of plain values alone. Where the name is gone, this changes nothing."""


class Connection:
    """One connection to PostgreSQL as the gateway's role, made anew when it breaks."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._statements: dict[str, Any] = {}

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows of a prepared statement; raises one of AWAY when PostgreSQL is out of reach."""
        if self._connection is None or self._connection.is_closed():
            self._statements.clear()
            self._connection = await connect(self._dsn)
        statement = self._statements.get(query)
        if statement is None:
            statement = self._statements[query] = await self._connection.prepare(query)
        rows: list[Any] = await statement.fetch(*arguments, timeout=STATEMENT_TIMEOUT_S)
        return rows

    async def close(self) -> None:
        """Give the connection back, or drop it when it does not answer."""
        if self._connection is not None:
            try:
                await self._connection.close(timeout=2)
            except AWAY:
                self._connection.terminate()


async def connect(dsn: str) -> asyncpg.Connection:
    """A connection that acts as ``tollgate_gateway``."""
    settings = {"role": "tollgate_gateway", "application_name": "tollgate-gateway"}
    return await asyncpg.connect(unambiguous(dsn), timeout=5, server_settings=settings, statement_cache_size=0)


def unambiguous(dsn: str) -> str:
    """A URL with its host in the query has its port there, too: libpq takes ``@:5433/db?host=/run``, asyncpg not."""
    parts = urlsplit(dsn)
    if parts.hostname or parts.port is None:
        return dsn
    user = parts.netloc.rpartition("@")[0]
    query = f"{parts.query}&port={parts.port}" if parts.query else f"port={parts.port}"
    return f"{parts.scheme}://{user}@{parts.path}?{query}" if user else f"{parts.scheme}://{parts.path}?{query}"


class Connections:
    """At most ``most`` connections, made as they are needed, for statements that depend on no other."""

    def __init__(self, dsn: str, *, most: int) -> None:
        self._all = [Connection(dsn) for _ in range(most)]
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in self._all:
            self._free.put_nowait(connection)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows of a prepared statement; raises one of AWAY when PostgreSQL is out of reach."""
        connection = await self._free.get()
        try:
            return await connection.fetch(query, *arguments)
        except AWAY:
            await connection.close()
            raise
        finally:
            self._free.put_nowait(connection)

    async def close(self) -> None:
        """Give them back."""
        for connection in self._all:
            await connection.close()
