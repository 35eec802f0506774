"""Admission: from a call's body being read to its row and holds being committed, rates asked in between."""

from __future__ import annotations

import http.client
import json
from typing import Any

from bench import latency, wrk
from bench.calls import Plan, settle
from bench.product import SLOW, WHOLE, Product
from bench.quantiles import quantile
from bench.traced import PATH
from bench.wire import target


def admissions(product: Product, plan: Plan) -> dict[str, Any]:
    """Milliseconds at p50 and p99, at 100 calls a second and at 64 connections, of a gateway started with a watch."""
    product.stop_gateway()
    product.start_gateway("-m", "bench.traced")
    wrk.run(product, model=WHOLE, connections=16, seconds=plan.warm)
    _taken(product)
    latency.measured(product, target(product.url, product.key, SLOW), plan.seconds + 4, seed=0)
    calm = _taken(product)
    wrk.run(product, model=WHOLE, connections=64, seconds=plan.seconds)
    busy = _taken(product)
    settle(product)
    product.stop_gateway()
    product.start_gateway()
    return {
        "calm_p50_ms": quantile(calm, 0.5) * 1000,
        "calm_p99_ms": quantile(calm, 0.99) * 1000,
        "busy_p50_ms": quantile(busy, 0.5) * 1000,
        "busy_p99_ms": quantile(busy, 0.99) * 1000,
    }


def _taken(product: Product) -> list[float]:
    connection = http.client.HTTPConnection(product.options.host, product.options.port, timeout=10)
    try:
        connection.request("GET", PATH)
        times: list[float] = json.loads(connection.getresponse().read())
        return times
    finally:
        connection.close()
