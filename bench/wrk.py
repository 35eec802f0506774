"""wrk, the load generator of closed loops: each of N connections sends its next call when it has the answer."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.product import BenchProblem, Product

SCRIPT = Path(__file__).with_name("wrk.lua")
MISSING = "wrk is not on the PATH: install it (Debian and Ubuntu: apt-get install wrk; macOS: brew install wrk)."


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. ``requests`` are answers, whatever their status; ``refused`` those with 400 or above."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int
    late: int


def version() -> str:
    """``wrk 4.1.0``; raises BenchProblem where there is none."""
    if shutil.which("wrk") is None:
        raise BenchProblem(MISSING)
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    return " ".join(said.split()[:2])


def run(product: Product, *, model: str, connections: int, seconds: float, stream: bool = False) -> Load:
    """Load the gateway; every answer must be a 200."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "10s", "-s", str(SCRIPT)]
    command += [product.url + "/v1/chat/completions", "--", product.key, model, "true" if stream else "false"]
    with product.on_rest():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchProblem(f"wrk failed: {done.stderr or done.stdout}")
    load = Load(**json.loads(done.stdout.strip().splitlines()[-1]))
    if load.refused or load.broken or load.late or not load.requests:
        raise BenchProblem(f"not every call was answered with 200: {load}")
    return load
