"""The composition root: builds the gateway, runs its lifespan, and hands every other path to Django."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from datetime import UTC, datetime, timedelta
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

django_application: Any = get_asgi_application()  # loads the models that the imports below define

from redis.asyncio import Redis

from billing import budgets
from portal import environment, tenancy
from proxy import addresses, credentials, receipts, thoughts
from proxy.app import App
from proxy.attempts import Attempts
from proxy.directory import Directory
from proxy.exchange import Receive, Send
from proxy.gateway import Gateway, Memory, Options
from proxy.health import Health
from proxy.idempotency import Idempotency
from proxy.inquiries import Inquiries
from proxy.journal import Journal
from proxy.live import LiveStreams
from proxy.postgres import AWAY, Connection
from proxy.rates import Limiter
from proxy.records import Reader
from proxy.refresh import Refresher
from proxy.shutdown import Termination
from proxy.thoughts import Thoughts
from proxy.upstream import Clients

logger = logging.getLogger(__name__)

UPKEEP_S = 600.0
DRAIN_S = 20.0
SETTLE_S = 5.0
ENSURE_PARTITION = "SELECT ensure_usage_partition($1)"


class Application:
    """One process: the gateway's parts, and Django beside them."""

    def __init__(self) -> None:
        self._django = django_application
        self._termination = Termination()
        self._termination.install()
        self._app: App | None = None
        self._draining = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """ASGI: the lifespan, the API's paths, readiness, and the rest to Django."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is not None and self._app.takes(scope["path"]):
            await self._app(scope, receive, send)
        elif scope["path"] == "/readyz":
            await self._readiness(send)
        else:
            await self._django(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:
            logger.exception("the gateway cannot start")
            await send({"type": "lifespan.startup.failed", "message": f"The gateway cannot start: {error!r}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        """Build every part, and serve as soon as the first snapshot is there."""
        self._directory = Directory()
        self._streams = LiveStreams()
        self._clients = Clients(check_peer=check_peer)
        self._journal = Journal(settings.DATABASE_URL, environment.home() / "spool", delivered=self._streams.delivered)
        self._health = Health(settings.DATABASE_URL)
        self._limiter = Limiter(
            redis(),
            processes=settings.GATEWAY_PROCESSES,
        )
        self._refresher = Refresher(
            settings.DATABASE_URL,
            self._directory,
            unseal=unseal,
            check_address=check_address,
            on_revoked=self._revoked,
        )
        self._memory = Memory(
            Idempotency(settings.DATABASE_URL, owner=self._journal.owner, master_key=settings.MASTER_KEY),
            Thoughts(redis(), thoughts.key_from(settings.MASTER_KEY)),
        )
        gateway = Gateway(
            directory=self._directory,
            limiter=self._limiter,
            journal=self._journal,
            attempts=Attempts(self._clients, self._journal, self._health),
            streams=self._streams,
            memory=self._memory,
            options=Options(settings.ANSWER_ID_PREFIX, settings.SHOW_COST, settings.KEY_PEPPER.encode()),
        )
        await asyncio.to_thread(ensure_windows)
        await self._journal.start()
        self._health.start()
        self._limiter.start()
        self._streams.start()
        self._refresher.start()
        await asyncio.wait_for(self._refresher.loaded.wait(), 30)
        self._upkeep = asyncio.create_task(self._keep_up(), name="upkeep")
        self._reader = Reader(settings.DATABASE_URL)
        inquiries = Inquiries(gateway, self._reader, receipts.signing_key(settings.MASTER_KEY))
        self._app = App(gateway, inquiries, most_body=settings.MOST_BODY_BYTES, body_s=settings.BODY_SECONDS)
        self._termination.begin = self._drain
        gc.collect()
        gc.freeze()  # what start-up made lives for ever: no collection needs to look at it again
        gc.set_threshold(50_000, 20, 20)

    async def _stop(self) -> None:
        """Settle everything, then close what was opened, in the reverse order."""
        self._upkeep.cancel()
        await self._refresher.stop()
        await self._streams.stop()
        await self._journal.stop(within_s=SETTLE_S)
        await self._health.stop()
        await self._limiter.stop()
        await self._reader.close()
        await self._memory.idempotency.close()
        await self._memory.thoughts.stop()
        await self._clients.close()

    def _drain(self) -> None:
        """Asked to stop: not ready any more, and streams that do not end by themselves are ended."""
        self._draining = True
        asyncio.get_running_loop().call_later(DRAIN_S, self._streams.cut_all)

    def _revoked(self, api_key_id: int, cut_streams: bool) -> None:
        if cut_streams:
            self._streams.cut_key(api_key_id)

    async def _readiness(self, send: Send) -> None:
        """Ready to take calls: snapshot fresh, room for the spool, not stopping."""
        ready = self._directory.fresh and not self._draining and self._journal.spool_writable()
        body = b'{"ready":true}' if ready else b'{"ready":false}'
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200 if ready else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _keep_up(self) -> None:
        """Make the windows and partitions of tomorrow, should the scheduler not have."""
        connection = Connection(settings.DATABASE_URL)
        while True:
            try:
                now = datetime.now(UTC)
                for moment in (now, now + timedelta(days=7)):
                    await connection.fetch(ENSURE_PARTITION, moment)
                await asyncio.to_thread(ensure_windows)
            except AWAY as error:
                logger.warning("upkeep waits: %s", error)
            except Exception:
                logger.exception("upkeep failed")
            await asyncio.sleep(UPKEEP_S)


def redis() -> Redis:
    """A client of its own, that gives up after a second."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def ensure_windows() -> None:
    """The current and next allowance of every budget."""
    with tenancy.as_operator():
        budgets.ensure_windows(now=datetime.now(UTC))


def unseal(upstream_id: int, name: str, sealed: bytes) -> str:
    """An upstream's API key."""
    return credentials.open(master_key=settings.MASTER_KEY, upstream_id=upstream_id, name=name, sealed=sealed)


def check_address(base_url: str) -> None:
    """Raise for a base URL that must not be called."""
    addresses.check(base_url, allow_private=settings.ALLOW_PRIVATE_UPSTREAMS, sandbox_url=settings.SANDBOX_URL)


def check_peer(base_url: str, address: str) -> None:
    """Raise for a connection that ended up at an address nobody may call: names change between checks."""
    if not settings.ALLOW_PRIVATE_UPSTREAMS and not addresses.is_sandbox(base_url, settings.SANDBOX_URL):
        addresses.refuse_private(base_url, [address])


application = Application()
