"""What the gateway adds to a call: 100 calls a second, whenever they fall due, to an upstream that takes 50 ms."""

from __future__ import annotations

import asyncio
import gc
import random
from statistics import median
from typing import Any

import uvloop

from bench.calls import Plan, settle
from bench.product import SLOW, Product
from bench.quantiles import quantile
from bench.wire import Line, Target, target

PER_SECOND = 100
LINES = 64
SHARES = {"p50": 0.5, "p99": 0.99}


def added(product: Product, plan: Plan) -> dict[str, Any]:
    """Milliseconds at p50 and p99: with the gateway, without, and the difference; medians of the repetitions."""
    rows = []
    for repetition in range(plan.times):
        seconds = plan.seconds + 4
        with product.directly():
            direct = measured(product, target(product.sandbox_url, "none", SLOW), seconds, seed=repetition)
        through = measured(product, target(product.url, product.key, SLOW), seconds, seed=repetition)
        row = {f"direct_{share}_ms": quantile(direct, at) * 1000 for share, at in SHARES.items()}
        row |= {f"gateway_{share}_ms": quantile(through, at) * 1000 for share, at in SHARES.items()}
        row |= {f"added_{share}_ms": row[f"gateway_{share}_ms"] - row[f"direct_{share}_ms"] for share in SHARES}
        rows.append(row)
        settle(product)
    return {name: median(row[name] for row in rows) for name in rows[0]}


def measured(product: Product, to: Target, seconds: float, *, seed: int) -> list[float]:
    """Seconds from when each call fell due to its whole answer. The gaps between calls are random, as of many users."""
    gc.collect()
    gc.disable()
    try:
        with product.on_rest():
            return uvloop.run(_open_loop(to, seconds, random.Random(seed)))
    finally:
        gc.enable()


async def _open_loop(to: Target, seconds: float, dice: random.Random) -> list[float]:
    """A call waits for no other; its time runs from when it was due, even if it could not be sent at once."""
    loop = asyncio.get_running_loop()
    lines = [(await loop.create_connection(Line, to.host, to.port))[1] for _ in range(LINES)]
    for line in lines:
        await line.call(to.data)
    times: list[float] = []
    tasks: list[asyncio.Task[None]] = []
    due = began = loop.time()

    async def call(due: float) -> None:
        line = lines.pop() if lines else (await loop.create_connection(Line, to.host, to.port))[1]
        await line.call(to.data)
        times.append(loop.time() - due)
        lines.append(line)

    while due < began + seconds:
        due += dice.expovariate(PER_SECOND)
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.create_task(call(due)))
    await asyncio.gather(*tasks)
    for line in lines:
        line.transport.close()
    return times
