"""``python -m bench.profile [calls|streams]``: where the gateway's CPU goes, by thread, library and function.

Threads are read from /proc; functions are sampled by py-spy (Python and native) and, where it works, libraries by perf.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from bench import machine, wrk
from bench.product import BURST, WHOLE, BenchProblem, Product, running

MISSING = "py-spy is not on the PATH: uv tool install py-spy, or pipx install py-spy."


def main(arguments: list[str]) -> int:
    """Print the three tables; the stacks stay in ``--out`` as a collapsed file for flame graphs."""
    options = _options(arguments)
    if shutil.which("py-spy") is None:
        sys.stderr.write(MISSING + "\n")
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    model, stream = (BURST, True) if options.kind == "streams" else (WHOLE, False)
    try:
        with running(machine.cores(), jobs=False) as product:
            wrk.run(product, model=model, connections=options.connections, seconds=3, stream=stream)
            seconds = options.seconds * 2 + 4
            load = threading.Thread(
                target=wrk.run,
                args=(product,),
                kwargs={"model": model, "connections": options.connections, "seconds": seconds, "stream": stream},
            )
            load.start()
            time.sleep(1)
            _profile(product, options.seconds, options.out / options.kind)
            load.join()
    except BenchProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def _profile(product: Product, seconds: int, out: Path) -> None:
    worker = max(psutil.Process(product.pid).children(recursive=True), key=lambda one: sum(one.cpu_times()[:2]))
    before, served = _threads(worker.pid), product.served()
    perf = ["perf", "record", "-q", "-F", "499", "-p", str(worker.pid), "-o", f"{out}.perf", "--", "sleep"]
    subprocess.run([*perf, str(seconds)], check=False)
    calls = product.served() - served
    spent = {name: used - before.get(name, 0.0) for name, used in _threads(worker.pid).items()}
    _print("CPU µs per call by thread", Counter({name: used / calls * 1e6 for name, used in spent.items()}))
    collapsed = out.with_suffix(".collapsed")
    spy = ["py-spy", "record", "--nonblocking", "--format", "raw", "--rate", "200", "--duration"]
    with product.on_rest():
        subprocess.run([*spy, str(seconds), "--pid", str(worker.pid), "-o", str(collapsed)], check=False)
    own, all_ = _functions(collapsed)
    _print("Python functions by their own time, native calls among it (samples)", own, 40)
    _print("Python functions with what they call (samples)", all_, 45)


def _functions(collapsed: Path) -> tuple[Counter[str], Counter[str]]:
    """Samples by function: of the innermost, and of all on the stack."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in collapsed.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] or frame for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        whole.update({frame: int(count) for frame in set(frames)})
    return own, whole


def _threads(pid: int) -> Counter[str]:
    """CPU seconds of the threads of a process, by name; threads of the same name count together."""
    used: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        used[name] += float((task / "schedstat").read_text().split()[0]) / 1e9  # type: ignore[assignment]
    return used


def _print(title: str, shares: Counter[str], most: int = 25) -> None:
    total = sum(shares.values()) or 1.0
    print(f"\n{title} (total {total:.1f})")
    for name, share in shares.most_common(most):
        print(f"  {share:9.1f}  {share / total:6.1%}  {name}")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=("calls", "streams"), default="calls")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("/tmp/tollgate-profile"))  # noqa: S108
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
