"""Streams of 200 chunks a second: what a chunk costs, and how late chunks come when many streams run at once."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import uvloop

from bench.calls import Plan, settle
from bench.meter import Reading
from bench.product import PACED, Product
from bench.quantiles import quantile
from bench.wire import Stream, Target, target

PERIOD_S = 0.005
RAMP_S = 1.0
#: From the first stream's start, in seconds: all streams run.
WINDOW = (1.5, 7.0)
HELD_MS = 20.0


def held(product: Product, plan: Plan) -> dict[str, Any]:
    """For rising numbers of streams the p99 delay of a chunk; how many were held; and one row of direct ones."""
    found: dict[str, Any] = {"held": 0, "p99_ms": {}}
    with product.directly():
        direct = _run(product, target(product.sandbox_url, "none", PACED, stream=True), 200)
    found["direct_p99_ms"] = direct["p99_ms"]
    for count in (100, 200, 300, 400, 600):
        row = paced(product, plan, count=count)
        found["p99_ms"][str(count)] = row["p99_ms"]
        if row["p99_ms"] >= HELD_MS:
            break
        found["held"] = count
    return found


def paced(product: Product, plan: Plan, *, count: int) -> dict[str, Any]:
    """CPU per chunk, and the delay of chunks against the pace of their stream."""
    row = _run(product, target(product.url, product.key, PACED, stream=True), count)
    settle(product)
    return row


def _run(product: Product, to: Target, count: int) -> dict[str, Any]:
    gc.collect()
    gc.disable()
    try:
        with product.on_rest():
            return uvloop.run(_streams(product, to, count))
    finally:
        gc.enable()


async def _streams(product: Product, to: Target, count: int) -> dict[str, Any]:
    """Start the streams over the ramp, read CPU at both ends of the window, and wait for their ends."""
    loop = asyncio.get_running_loop()
    readings: list[tuple[Reading, int]] = []
    streams: list[Stream] = []

    def read() -> None:
        readings.append((product.meter.read(), sum(stream.ticks for stream in streams)))

    began = loop.time()
    for moment in WINDOW:
        loop.call_at(began + moment, read)
    for place in range(count):
        await asyncio.sleep(began + RAMP_S * place / count - loop.time())
        _, stream = await loop.create_connection(lambda: Stream(to.data), to.host, to.port)
        streams.append(stream)
    await asyncio.gather(*(stream.ended for stream in streams))
    (before, ticks), (after, more) = readings
    used, chunks = after.since(before), more - ticks
    delays = [delay * 1000 for stream in streams for delay in _delays(stream)]
    return {
        "chunks_per_s": chunks / used.at,
        "p50_ms": quantile(delays, 0.5),
        "p99_ms": quantile(delays, 0.99),
        **{f"{part}_us": seconds / chunks * 1e6 for part, seconds in used.cpu.items()},
        "gateway_busy": used.cpu["gateway"] / used.at,
    }


def _delays(stream: Stream) -> list[float]:
    """Seconds each chunk came after its turn, where the chunk that came with the least delay sets the pace."""
    times = []
    seen = 0
    for moment, ticks in stream.arrivals:
        times += [moment - PERIOD_S * place for place in range(seen, ticks)]
        seen = ticks
    least = min(times)
    return [moment - least for moment in times]
