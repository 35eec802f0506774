"""What is measured, in which order, and what is written down."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench import admission, books, calls, latency, machine, paced, table, wrk
from bench.calls import Plan
from bench.product import BenchProblem, Product, running
from bench.startup import startup

RESULTS = Path(__file__).with_name("results.jsonl")
Measurement = Callable[[Product, Plan], dict[str, Any]]
MEASUREMENTS: dict[str, Measurement] = {
    "memory_idle": lambda product, plan: product.meter.memory("gateway"),
    **{f"calls{n}": partial(calls.calls, connections=n) for n in (1, 16, 64, 256)},
    "streams64": partial(calls.streams, connections=64),
    "paced200": partial(paced.paced, count=200),
    "held": paced.held,
    "added": latency.added,
    "memory_loaded": lambda product, plan: product.meter.memory("gateway"),
    "admission": admission.admissions,
}
STARTUP = "startup"


def main(arguments: list[str]) -> int:
    """0 when everything was measured and the books are right; 1 with a sentence if not."""
    options = _options(arguments)
    names = options.only.split(",") if options.only else [STARTUP, *MEASUREMENTS]
    unknown = set(names) - {STARTUP, *MEASUREMENTS}
    if unknown:
        sys.stderr.write(f"There is no measurement {', '.join(sorted(unknown))}.\n")
        return 2
    plan = Plan(1, 2, 1) if options.quick else Plan(options.warm, options.seconds, options.times)
    try:
        rows = _measure(names, plan, jobs=options.jobs)
    except BenchProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    print(table.text(rows))
    if not options.quick and not options.dry:
        with RESULTS.open("a") as results:
            results.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


def _measure(names: list[str], plan: Plan, *, jobs: bool) -> list[dict[str, Any]]:
    """One row per measurement."""
    cores = machine.cores()
    about = {
        "commit": machine.commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.described(),
        "pinned": str(cores),
        "load": wrk.version(),
        "jobs": jobs,
        "plan": [plan.warm, plan.seconds, plan.times],
    }
    rows = []

    def take(name: str, work: Callable[[], dict[str, Any]]) -> None:
        began = time.monotonic()
        rows.append({"measure": name, **_rounded(work()), **about})
        sys.stderr.write(f"  {name:<14} {time.monotonic() - began:6.1f} s\n")

    if STARTUP in names:
        take(STARTUP, startup)
    if set(names) - {STARTUP}:
        with running(cores, jobs=jobs) as product:
            for name in [name for name in names if name != STARTUP]:
                take(name, partial(MEASUREMENTS[name], product, plan))
                rows[-1]["rows"] = books.compare(product)
            take("books", lambda: books.balance(product))
    return rows


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def _options(arguments: list[str]) -> argparse.Namespace:
    plan = Plan()
    names = ", ".join([STARTUP, *MEASUREMENTS])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="A,B", help=f"some of {names}")
    parser.add_argument("--quick", action="store_true", help="once and briefly, writing no results: does it work?")
    parser.add_argument("--dry", action="store_true", help="write no results")
    parser.add_argument("--jobs", action="store_true", help="run Celery and beat beside the gateway")
    parser.add_argument("--warm", type=float, default=plan.warm, metavar="S", help="load before the first repetition")
    parser.add_argument("--seconds", type=float, default=plan.seconds, metavar="S", help="length of one repetition")
    parser.add_argument("--times", type=int, default=plan.times, metavar="N", help="repetitions; the median counts")
    return parser.parse_args(arguments)
