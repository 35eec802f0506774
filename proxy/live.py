"""The streams that are running: keep-alives in silence, deadlines, revoked keys, drain after a hang-up, shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from proxy import estimator
from proxy.dialects.shape import UNBOUNDED, AnswerStream
from proxy.errors import GatewayError, Unauthorized, Unavailable
from proxy.factors import USUAL
from proxy.sse import KEEPALIVE

KEEPALIVE_S = 10.0
TICK_S = 0.5
MOST_DRAINING = 200
DRAIN_S = 120.0
SEND_S = 60.0

Send = Callable[[dict[str, Any]], Awaitable[None]]


class LiveStream:
    """One stream under way. ``reason`` is why it is being cut; with ``tell_on`` it is sent to nobody, too.

    ``most_output`` are the tokens it may bring, which no estimate exceeds.
    """

    __slots__ = (
        "api_key_id",
        "client_gone_at",
        "drain",
        "id",
        "idle_timeout_s",
        "keepalive",
        "most_output",
        "output_factor",
        "reason",
        "send",
        "sending_since",
        "spoke_at",
        "started",
        "task",
        "tell_on",
        "tenant_id",
        "translator",
        "upstream_at",
    )

    def __init__(
        self,
        *,
        id: str,
        tenant_id: int,
        api_key_id: int,
        drain: bool,
        idle_timeout_s: int,
        send: Send,
        translator: AnswerStream,
    ) -> None:
        self.id = id
        self.tenant_id = tenant_id
        self.api_key_id = api_key_id
        self.drain = drain
        self.idle_timeout_s = idle_timeout_s
        self.send = send
        self.translator = translator
        self.keepalive = KEEPALIVE
        self.output_factor = USUAL
        self.most_output = UNBOUNDED
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.started = False
        self.tell_on = False
        self.client_gone_at = 0.0
        self.sending_since = 0.0
        self.reason: GatewayError | None = None
        self.spoke_at = self.upstream_at = asyncio.get_running_loop().time()

    def cut(self, reason: GatewayError) -> None:
        """End it: its task is cancelled, and shows ``reason`` to the client if it is still there."""
        if self.reason is None:
            self.reason = reason
            if self.task is not None:
                self.task.cancel()


class ClientGone(GatewayError):
    """The client hung up, and policy says not to read on."""

    status = 499
    type = "client_error"

    def __init__(self) -> None:
        super().__init__("The client hung up.", "client_gone")


class LiveStreams:
    """All running streams of this process, looked after by one task rather than a timer each."""

    def __init__(self) -> None:
        self._streams: dict[str, LiveStream] = {}
        self._keepalives: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def start(self) -> None:
        """Start looking after them."""
        self._task = asyncio.create_task(self._run(), name="live streams")

    async def stop(self) -> None:
        """Stop looking."""
        for keepalive in self._keepalives:
            keepalive.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, stream: LiveStream) -> None:
        """A stream begins."""
        self._streams[stream.id] = stream

    def remove(self, stream: LiveStream) -> None:
        """A stream has ended."""
        self._streams.pop(stream.id, None)

    def delivered(self) -> list[tuple[str, int, int]]:
        """Output tokens so far, as (id, tenant, tokens), for the checkpoints."""
        return [
            (
                stream.id,
                stream.tenant_id,
                estimator.delivered(stream.translator, stream.output_factor, stream.most_output),
            )
            for stream in self._streams.values()
        ]

    def cut_key(self, api_key_id: int) -> None:
        """Cut the running streams of a revoked key."""
        for stream in list(self._streams.values()):
            if stream.api_key_id == api_key_id:
                stream.cut(Unauthorized())

    def cut_all(self) -> None:
        """The process is going away."""
        for stream in list(self._streams.values()):
            stream.cut(Unavailable(503, "The gateway is shutting down.", "shutting_down"))

    def client_gone(self, stream: LiveStream) -> None:
        """The client hung up: read on to the exact usage where policy and bounds allow, else cut."""
        if stream.client_gone_at:
            return
        stream.client_gone_at = asyncio.get_running_loop().time()
        draining = sum(1 for other in self._streams.values() if other.client_gone_at)
        if not stream.drain or draining > MOST_DRAINING:
            stream.cut(ClientGone())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            for stream in list(self._streams.values()):
                await self._look_after(stream, now)

    async def _look_after(self, stream: LiveStream, now: float) -> None:
        if stream.client_gone_at:
            if now - stream.client_gone_at > DRAIN_S:
                stream.cut(ClientGone())
        elif stream.sending_since and now - stream.sending_since > SEND_S:
            stream.client_gone_at = now  # connected, but it has stopped reading
            stream.cut(ClientGone())
            return
        if stream.started and not stream.sending_since and now - stream.upstream_at > stream.idle_timeout_s:
            stream.cut(Unavailable(504, "The upstream fell silent.", "timeout"))
        elif stream.started and not stream.sending_since and now - stream.spoke_at > KEEPALIVE_S:
            stream.spoke_at = stream.sending_since = now
            keepalive = asyncio.create_task(self._keep_alive(stream))  # a client that does not read delays no other
            self._keepalives.add(keepalive)
            keepalive.add_done_callback(self._keepalives.discard)

    async def _keep_alive(self, stream: LiveStream) -> None:
        since = stream.sending_since
        await stream.send({"type": "http.response.body", "body": stream.keepalive, "more_body": True})
        if stream.sending_since == since:
            stream.sending_since = 0.0
