"""Calls that go on until they are stopped, from a thread of their own, and what became of each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass

import httpx

from tests.proxy.town import Town, bearer, body


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call: status (0 where the connection failed), id, when it began and ended, Retry-After, and its text."""

    status: int
    request_id: str
    began: float
    ended: float
    retry_after: str
    text: str


class Load:
    """``callers`` call one after the other; ``once`` makes each call only once."""

    def __init__(self, town: Town, key: str, *, callers: int, once: bool = False, **fields: object) -> None:
        self.town, self.key, self.callers, self.once = town, key, callers, once
        self.sent = body(**fields)  # type: ignore[arg-type]
        self.outcomes: list[Outcome] = []
        self.chunks: Counter[int] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Until every caller is done."""
        self._thread.join(90)
        assert not self._thread.is_alive()

    def statuses(self, since: float = 0.0) -> Counter[int]:
        """How many calls that began after a moment ended with which status."""
        return Counter(outcome.status for outcome in self.outcomes if outcome.began >= since)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=self.callers)
        async with httpx.AsyncClient(base_url=self.town.product.base_url, limits=limits, timeout=60) as client:
            await asyncio.gather(*(self._call_on(client, number) for number in range(self.callers)))

    async def _call_on(self, client: httpx.AsyncClient, number: int) -> None:
        while not self._stop.is_set():
            outcome = await self._call(client, number)
            self.outcomes.append(outcome)
            if self.once:
                return
            if outcome.status != 200:
                await asyncio.sleep(0.05)  # a client that is refused does not hammer

    async def _call(self, client: httpx.AsyncClient, number: int) -> Outcome:
        began, status, request_id, retry_after, parts = time.monotonic(), 0, "", "", []
        try:
            async with client.stream("POST", "/chat/completions", json=self.sent, headers=bearer(self.key)) as answer:
                request_id = answer.headers.get("x-request-id", "")
                retry_after = answer.headers.get("retry-after", "")
                async for part in answer.aiter_text():
                    parts.append(part)
                    self.chunks[number] += 1
                status = answer.status_code
        except httpx.HTTPError:
            pass
        return Outcome(status, request_id, began, time.monotonic(), retry_after, "".join(parts))
