"""Loads the directory's snapshot from PostgreSQL and keeps it fresh: a trigger announces every edit at its commit.

Notices come over LISTEN, so an edit and its notice commit together and losing Redis delays nothing. A probe every
second bounds staleness: when it fails, or the connection breaks, the snapshot no longer counts and admission refuses.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from proxy import snapshot
from proxy.addresses import AddressProblem, Unresolvable
from proxy.credentials import CredentialProblem
from proxy.directory import Catalog, Directory, KeyGrant
from proxy.postgres import AWAY, connect

logger = logging.getLogger(__name__)

PROBE_S = 1.0
PROBE_TIMEOUT_S = 3.0
RELOAD_S = 300.0
RETRY_S = 10.0
RESOLVE_S = 1.0
QUERY_TIMEOUT_S = 30.0


class Refresher:
    """The only writer of a directory."""

    def __init__(
        self,
        dsn: str,
        directory: Directory,
        *,
        unseal: Callable[[int, str, bytes], str],
        check_address: Callable[[str], None],
        on_revoked: Callable[[int, bool], None],
    ) -> None:
        """``unseal`` opens a credential, ``check_address`` raises for a base URL that must not be called, and
        ``on_revoked`` is told each key id that stopped working, and whether its running streams are to be cut."""
        self._dsn = dsn
        self._directory = directory
        self._unseal = unseal
        self._check_address = check_address
        self._on_revoked = on_revoked
        self._notices: set[str] = set()
        self._noticed = asyncio.Event()
        self._called: set[str] = set()
        self._reload_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.loaded = asyncio.Event()

    def start(self) -> None:
        """Start loading; ``loaded`` is set after the first time."""
        self._task = asyncio.create_task(self._run(), name="refresh")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            connection = None
            try:
                connection = await connect(self._dsn)
                await self._follow(connection)
            except AWAY as error:
                logger.warning("the snapshot is stale, PostgreSQL is away: %s", error)
            except Exception:
                logger.exception("loading the snapshot failed")
            finally:
                self._directory.fresh = False
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(0.3)

    async def _follow(self, connection: asyncpg.Connection) -> None:
        """Listen first, load then: an edit in between is loaded twice rather than missed."""
        self._notices.clear()
        await connection.add_listener("tollgate", self._notice)
        await self._load_everything(connection)
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(PROBE_S):
                    await self._noticed.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=PROBE_TIMEOUT_S)
            else:  # a load that takes too long must not pass for silence: its notices would be lost
                self._noticed.clear()
                notices, self._notices = self._notices, set()
                await self._load(connection, notices)
            if loop.time() > self._reload_at:
                await self._load_everything(connection)

    def _notice(self, *told: object) -> None:
        """What a trigger said; the same thing said often is loaded once."""
        self._notices.add(str(told[3]))
        self._noticed.set()

    async def _load_everything(self, connection: asyncpg.Connection) -> None:
        self._directory.catalog = await self._catalog(connection)
        grants = await self._grants(connection, None)
        for tenant_id in set(self._directory.tenants()) | set(grants):
            self._swap(tenant_id, grants.get(tenant_id, {}))
        self._directory.fresh = True
        self.loaded.set()

    async def _load(self, connection: asyncpg.Connection, notices: set[str]) -> None:
        if "catalog" in notices:
            self._directory.catalog = await self._catalog(connection)
        tenants = [int(notice.partition(":")[2]) for notice in notices if notice.startswith("tenant:")]
        if tenants or "catalog" in notices:
            # Allow-lists name models through aliases, and price books belong to tenants: both hang on the catalog.
            wanted = None if "catalog" in notices else tenants
            grants = await self._grants(connection, wanted)
            for tenant_id in self._directory.tenants() if wanted is None else tenants:
                self._swap(tenant_id, grants.pop(tenant_id, {}))
            for tenant_id, fresh in grants.items():
                self._swap(tenant_id, fresh)

    def _swap(self, tenant_id: int, grants: dict[bytes, KeyGrant]) -> None:
        """Replace a tenant's grants and tell of keys that stopped working."""
        live = {digest: grant for digest, grant in grants.items() if not grant.revoked}
        before = self._directory.replace_tenant(tenant_id, live)
        cut = {grant.api_key_id for grant in grants.values() if grant.revoked and grant.cut_streams}
        for digest in before.keys() - live.keys():
            self._on_revoked(before[digest].api_key_id, before[digest].api_key_id in cut)

    async def _catalog(self, connection: asyncpg.Connection) -> Catalog:
        """Everything sold. An upstream whose address or credential is no good is left out, and said so."""
        tables = {}
        for name, query in snapshot.CATALOG_QUERIES.items():
            tables[name] = await connection.fetch(query, timeout=QUERY_TIMEOUT_S)
        refused = await self.refused_upstreams(tables["upstreams"])
        for name in snapshot.all_disabled(tables):
            logger.warning("upstream %s is not called: all its credentials are disabled", name)
        return snapshot.build_catalog(tables, unseal=self._unseal_or_none, refused=refused)

    async def refused_upstreams(self, upstreams: list[Any]) -> set[int]:
        """The ids of upstreams that must not be called.

        All names are resolved at once and within a bound, since notices of revoked keys wait behind this. One that
        does not resolve now stays as it was: called if it was called before; else it is tried again soon.
        """
        self._reload_at = asyncio.get_running_loop().time() + RELOAD_S
        verdicts = await asyncio.gather(*(self._may_be_called(row["name"], row["base_url"]) for row in upstreams))
        return {row["id"] for row, fine in zip(upstreams, verdicts, strict=True) if not fine}

    async def _may_be_called(self, name: str, base_url: str) -> bool:
        try:
            async with asyncio.timeout(RESOLVE_S):
                await asyncio.to_thread(self._check_address, base_url)
        except (Unresolvable, TimeoutError) as error:
            called = base_url in self._called
            logger.warning("upstream %s cannot be resolved (called: %s): %s", name, called, error)
            self._reload_at = asyncio.get_running_loop().time() + RETRY_S
            return called
        except (AddressProblem, OSError) as error:
            logger.error("upstream %s is not called: %s", name, error)
            self._called.discard(base_url)
            return False
        self._called.add(base_url)
        return True

    def _unseal_or_none(self, upstream_id: int, name: str, sealed: bytes) -> str | None:
        try:
            return self._unseal(upstream_id, name, sealed)
        except CredentialProblem as error:
            logger.error("%s", error)
            return None

    async def _grants(
        self, connection: asyncpg.Connection, tenants: list[int] | None
    ) -> dict[int, dict[bytes, KeyGrant]]:
        """Grants by tenant; all tenants where ``tenants`` is None."""
        fetch: Callable[..., Awaitable[Any]] = connection.fetch
        rows = {}
        for name, query in snapshot.GRANT_QUERIES.items():
            rows[name] = await fetch(query, tenants, timeout=QUERY_TIMEOUT_S)
        grants: dict[int, dict[bytes, KeyGrant]] = defaultdict(dict)
        for digest, grant in snapshot.build_grants(rows, self._directory.catalog):
            grants[grant.tenant_id][digest] = grant
        return grants
