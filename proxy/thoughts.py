"""Reasoning kept for an hour by the tool call it led to, for clients that do not send it back themselves.

An aid, never an obstacle: it fails open. What Redis does not take or give is counted and lost, and upstreams that
insist on their reasoning are then asked without it. Nothing here is readable in Redis: AES-256-GCM, bound to the
tenant and the call.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Iterable
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.exceptions import RedisError

from billing.sealing import derive

logger = logging.getLogger(__name__)

KEPT_S = 3600
TIMEOUT_S = 0.25
REST_S = 5.0
"""How long Redis is left alone after it failed: nobody waits for it call after call."""
MOST_BYTES = 256 * 1024
MOST_IDS = 256
MOST_WAITING = 1_000
MOST_WAITING_BYTES = 16 * 1024 * 1024
MOST_IN_BATCH = 64

_VERSION = b"\x01"
_NONCE = 12

Details = list[dict[str, Any]]


def key_from(master_key: str) -> bytes:
    """The key for this purpose alone."""
    return derive(master_key, b"tollgate thoughts", 32)


class Thoughts:
    """The store of one process. ``lost`` counts what could not be kept or found for a reason of ours."""

    def __init__(self, redis: Redis, key: bytes) -> None:
        self.lost = 0
        self._redis = redis
        self._box = AESGCM(key)
        self._waiting: dict[str, bytes] = {}
        self._size = 0
        self._rests_until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def written(self) -> None:
        """Wait until what was remembered is written, or lost, but for a second at most."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=1.0)

    async def stop(self) -> None:
        """Write what waits and close the connections."""
        await self.written()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._redis.aclose()

    async def recall(self, tenant_id: int, ids: Iterable[str]) -> dict[str, Details]:
        """The reasoning of the newest of these calls, as far as it is known."""
        wanted = list(dict.fromkeys(ids))[-MOST_IDS:]
        if not wanted or time.monotonic() < self._rests_until:
            return {}
        names = [_name(tenant_id, identifier) for identifier in wanted]
        boxes: list[Any] = [self._waiting.get(name) for name in names]
        if not all(boxes):
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    kept = await self._redis.mget(names)
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error, len(wanted))
                kept = [None] * len(names)
            boxes = [box or found for box, found in zip(boxes, kept, strict=True)]
        opened = {one: self._open(tenant_id, one, box) for one, box in zip(wanted, boxes, strict=True) if box}
        return {identifier: details for identifier, details in opened.items() if details}

    def remember(self, tenant_id: int, thoughts: dict[str, Details]) -> None:
        """Keep the reasoning of some calls; returns at once, it is written in the background."""
        for identifier, details in thoughts.items():
            text = orjson.dumps(details)
            full = len(self._waiting) >= MOST_WAITING or self._size + len(text) > MOST_WAITING_BYTES
            if len(text) > MOST_BYTES or full:
                self.lost += 1
                continue
            nonce = os.urandom(_NONCE)
            box = _VERSION + nonce + self._box.encrypt(nonce, text, _associated(tenant_id, identifier))
            name = _name(tenant_id, identifier)
            self._size += len(box) - len(self._waiting.get(name, b""))
            self._waiting[name] = box
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write(), name="thoughts")

    async def _write(self) -> None:
        while self._waiting:
            batch = dict(list(self._waiting.items())[:MOST_IN_BATCH])
            if time.monotonic() < self._rests_until:
                self.lost += len(batch)
            else:
                await self._write_batch(batch)
            for name, box in batch.items():
                if self._waiting.get(name) is box:
                    self._size -= len(self._waiting.pop(name))

    async def _write_batch(self, batch: dict[str, bytes]) -> None:
        try:
            async with asyncio.timeout(4 * TIMEOUT_S), self._redis.pipeline(transaction=False) as pipeline:
                for name, box in batch.items():
                    pipeline.set(name, box, ex=KEPT_S)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error, len(batch))

    def _failed(self, error: Exception, number: int) -> None:
        self.lost += number
        self._rests_until = time.monotonic() + REST_S
        logger.warning("reasoning of %d calls is lost (%d so far): %s", number, self.lost, error)

    def _open(self, tenant_id: int, identifier: str, box: bytes) -> Details:
        """What is in a box; nothing where another key, tenant or call sealed it."""
        nonce = box[1 : 1 + _NONCE]
        try:
            text = self._box.decrypt(nonce, box[1 + _NONCE :], _associated(tenant_id, identifier))
        except (InvalidTag, ValueError):
            self.lost += 1
            return []
        details: Details = orjson.loads(text)
        return details


def _name(tenant_id: int, identifier: str) -> str:
    """The name in Redis: the tenant's slot, and nothing of the client's own text."""
    return f"thought:{{{tenant_id}}}:{hashlib.sha256(identifier.encode()).hexdigest()[:32]}"


def _associated(tenant_id: int, identifier: str) -> bytes:
    return f"tenant:{tenant_id}:call:{identifier}".encode()
