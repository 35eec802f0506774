"""``python -m bench.walk``: CPU µs of our own Python per call, with nothing else about it.

The gateway runs in this process on the ASGI interface; PostgreSQL, Redis and the upstream are stand-ins that answer at
once. The least of many short runs is hardly disturbed by a busy machine, so this is the figure to compare edits by.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import uvloop

from bench import foreign
from bench.wire import PROMPT
from billing.pricing import PriceList, PriceVersion
from portal import key_format
from proxy import journal, rates
from proxy.app import App
from proxy.attempts import Attempts
from proxy.directory import NO_RULES, Catalog, Directory, KeyGrant, ModelEntry, Rates, Route, Span, Target
from proxy.gateway import Gateway, Memory, Options
from proxy.live import LiveStreams
from proxy.sandbox.answers import Call, Envelope, plan
from proxy.sandbox.behaviour import Behaviour

AT_ONCE, CALLS, RUNS = 64, 20, 40
PEPPER = b"p" * 32
DIALECTS = ("openai", "anthropic", "gemini")
FIXED, BURST = "sandbox/fixed-0x20", "sandbox/paced-100x0"


class Upstream:
    """Stands in for proxy.upstream.Clients, a pool and a connection alike; answers at once."""

    status = 200

    def __init__(self, whole: bytes, chunks: list[bytes]) -> None:
        self._whole = whole
        self._chunks = chunks
        self._left = iter(chunks)

    async def send(self, *_: object) -> tuple[Any, Any]:
        """A pool and a connection that holds the head of its answer."""
        answer = Upstream(self._whole, self._chunks)
        return answer, answer

    async def release(self, _: object) -> None:
        return

    def header(self, _: bytes) -> str:
        return "text/event-stream"

    async def whole(self) -> bytes:
        return self._whole

    async def read_chunk(self) -> bytes | None:
        return next(self._left, None)


class Redis:
    """Stands in for redis-py: everything is admitted."""

    async def script_load(self, _: str) -> str:
        return "sha"

    async def execute_command(self, *arguments: Any) -> bytes:
        count = len(msgspec.msgpack.decode(arguments[-1]))
        return msgspec.msgpack.encode([[1, 1000, 999, 60, 1000, 999, 60]] * count)

    async def aclose(self) -> None:
        return


class Postgres:
    """Stands in for asyncpg: everything is admitted and settled."""

    def __init__(self, _dsn: str) -> None: ...

    async def fetch(self, *_: Any) -> list[Any]:
        await asyncio.sleep(0)
        return []

    async def close(self) -> None:
        return


def main(arguments: list[str]) -> int:
    """Print the least and the median for whole answers and for streams of 100 chunks, by the upstream's dialect."""
    sys.stdout.write(f"Python {sys.version.split()[0]} {sys.executable}\n")
    only = arguments[0] if arguments else ""
    for dialect in DIALECTS:
        for kind, model, stream, calls in (("call", FIXED, False, CALLS), ("stream", BURST, True, 2)):
            name = kind if dialect == "openai" else f"{dialect} {kind}"
            if only in ("", name):
                times = uvloop.run(_runs(model, stream, calls, dialect))
                sys.stdout.write(f"{name:<18}{times[0]:8.1f} µs least, {times[len(times) // 2]:.1f} median\n")
    return 0


async def _runs(model: str, stream: bool, calls: int, dialect: str = "openai") -> list[float]:
    """CPU µs per call of each run, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        app, pen, limiter, key = _gateway(Path(folder), dialect)
        scope, message = _request(key, model, stream)
        limiter.start()
        await pen.start()

        async def connection() -> None:
            for _ in range(calls):
                await app(scope, receiver(message), send)

        async def send(event: dict[str, Any]) -> None:
            assert event.get("status", 200) == 200, event

        times = []
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        for _ in range(RUNS):
            before = time.process_time()
            await asyncio.gather(*(connection() for _ in range(AT_ONCE)))
            times.append((time.process_time() - before) / AT_ONCE / calls * 1e6)
        await pen.stop(within_s=2)
        await limiter.stop()
    return sorted(times)


def receiver(message: dict[str, Any]) -> Callable[[], Awaitable[dict[str, Any]]]:
    """One message, and then a client that stays."""
    messages = [message]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else await asyncio.Future()

    return receive


def _request(key: str, model: str, stream: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """What granian would hand over."""
    messages = [{"role": role, "content": content} for role, content in PROMPT]
    document = {"model": model, "stream": stream, "temperature": 0.7, "max_tokens": 256, "messages": messages}
    body = msgspec.json.encode(document)
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer " + key.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": headers}
    return scope, {"type": "http.request", "body": body, "more_body": False}


def _gateway(folder: Path, dialect: str) -> tuple[App, journal.Journal, rates.Limiter, str]:
    journal.Connection = Postgres  # type: ignore[assignment, attr-defined]
    streams = LiveStreams()
    pen = journal.Journal("", folder, delivered=streams.delivered)
    limiter = rates.Limiter(Redis(), processes=1)  # type: ignore[arg-type]
    text = key_format.generate().text
    gateway = Gateway(
        directory=_directory(text.encode(), dialect),
        limiter=limiter,
        journal=pen,
        attempts=Attempts(_upstream(dialect), pen),  # type: ignore[arg-type]
        streams=streams,
        memory=Memory(None, None),  # type: ignore[arg-type]
        options=Options(pepper=PEPPER),
    )
    return App(gateway, None, most_body=50_000_000), pen, limiter, text  # type: ignore[arg-type]


def _upstream(dialect: str) -> Upstream:
    call = Call(model=FIXED, messages=[{"role": "user", "content": "x " * 40}])
    encode = msgspec.json.encode
    envelope = Envelope("chatcmpl-000000000000000000000000", FIXED, 1735689600)
    whole = encode(envelope.whole(plan(call, Behaviour("fixed", 0, 20))))
    frames = envelope.frames(plan(call, Behaviour("paced", 100, 0)), with_usage=True)
    chunks = [b"data: " + encode(frame) + b"\n\n" for frame, _ in frames]
    return Upstream(*foreign.answers(whole, [*chunks, b"data: [DONE]\n\n"])[dialect])


def _directory(key: bytes, dialect: str) -> Directory:
    now = datetime.now(UTC)
    headers = (("authorization", "Bearer x"),)
    target = Target(1, "sandbox", dialect, "http://127.0.0.1:9/v1", headers, NO_RULES, 5, 60, 60, 600, None)
    version = PriceVersion(1, now - timedelta(days=1), None, 150_000, 0, 0, 0, 0, 0, 600_000, 0, 0, 0)
    prices: dict[int | None, PriceList] = {None: PriceList((version,))}
    entries = {
        name: ModelEntry(name, 0, 128000, 4096, NO_RULES, (), (Route(1, target, name, 1, 1),), MappingProxyType(prices))
        for name in (FIXED, BURST)
    }
    limits = tuple(Rates(scope, f"{scope}:1", 10**8, 2 * 10**9, 10**6) for scope in ("api_key", "project", "tenant"))
    span = Span(now - timedelta(days=1), now + timedelta(days=1), "{1,2,3,4}", MappingProxyType({}))
    directory = Directory()
    directory.catalog = Catalog(MappingProxyType(entries), MappingProxyType({}))
    grant = KeyGrant(1, 1, 1, "tg", None, None, limits, (span,), None, True)
    directory.replace_tenant(1, {key_format.digest(key, PEPPER): grant})
    directory.fresh = True
    return directory


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
