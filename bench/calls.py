"""Calls and streams per second, and the CPU each costs, with a closed loop over N connections."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import wrk
from bench.product import BURST, SETTLE_SECONDS, WHOLE, BenchProblem, Product


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often to measure, in seconds."""

    warm: float = 3
    seconds: float = 6
    times: int = 3


def calls(product: Product, plan: Plan, *, connections: int) -> dict[str, Any]:
    """Whole answers of 20 tokens, sent by the upstream at once."""
    return _measure(product, plan, model=WHOLE, connections=connections, stream=False)


def streams(product: Product, plan: Plan, *, connections: int) -> dict[str, Any]:
    """Streams of 100 chunks, sent by the upstream as fast as they are taken."""
    return _measure(product, plan, model=BURST, connections=connections, stream=True)


def _measure(product: Product, plan: Plan, *, model: str, connections: int, stream: bool) -> dict[str, Any]:
    """The median of each figure over the repetitions, and the range of the gateway's CPU."""
    wrk.run(product, model=model, connections=connections, seconds=plan.warm, stream=stream)
    rows = []
    for _ in range(plan.times):
        settle(product)
        served, before = product.served(), product.meter.read()
        load = wrk.run(product, model=model, connections=connections, seconds=plan.seconds, stream=stream)
        used, count = product.meter.read().since(before), product.served() - served
        figures = {"per_s": load.requests / load.seconds, "p50_ms": load.p50_ms, "p99_ms": load.p99_ms}
        figures |= {f"{part}_us": seconds / count * 1e6 for part, seconds in used.cpu.items()}
        figures["gateway_busy"] = used.cpu["gateway"] / used.at
        rows.append(figures)
    found: dict[str, Any] = {name: median(row[name] for row in rows) for name in rows[0]}
    found["gateway_us_range"] = [min(row["gateway_us"] for row in rows), max(row["gateway_us"] for row in rows)]
    return found


def settle(product: Product) -> None:
    """Wait until no call is open any more."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while product.query("SELECT count(*) FROM billing_usageevent WHERE state = 'open'")[0]:
        if time.monotonic() > deadline:
            raise BenchProblem(f"calls are still open after {SETTLE_SECONDS:.0f} s")
        time.sleep(0.05)
