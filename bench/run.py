"""What is measured, in which order, and what is written down."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from bench import calls, machine, wrk
from bench.calls import Plan
from bench.product import BenchProblem, Product, running

Measurement = Callable[[Product, Plan], dict[str, Any]]
MEASUREMENTS: dict[str, Measurement] = {
    **{f"calls{n}": partial(calls.calls, connections=n) for n in (1, 16, 64, 256)},
    "streams64": partial(calls.streams, connections=64),
}


def main(arguments: list[str]) -> int:
    """0 when everything was measured and the books are right."""
    options = _options(arguments)
    names = options.only.split(",") if options.only else list(MEASUREMENTS)
    plan = Plan(1, 2, 1) if options.quick else Plan(options.warm, options.seconds, options.times)
    try:
        print(wrk.version(), machine.cores(), sep="; ", flush=True)
        with running(machine.cores(), jobs=options.jobs) as product:
            for name in names:
                print(name, MEASUREMENTS[name](product, plan), flush=True)
    except BenchProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="A,B", help=f"some of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--quick", action="store_true", help="once and briefly: to see that it works")
    parser.add_argument("--jobs", action="store_true", help="run Celery and beat beside the gateway")
    parser.add_argument("--warm", type=float, default=3, metavar="S")
    parser.add_argument("--seconds", type=float, default=6, metavar="S", help="length of one repetition")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="repetitions; the median counts")
    return parser.parse_args(arguments)
