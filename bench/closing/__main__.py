"""``python -m bench.closing --events 1,3,10`` closes a month of so many million calls of a thousand tenants.

The calls are made by SQL in a database of its own; everything else is the product's own: posting to roll-ups and
ledger, draft, check, evidence and number of one invoice for each tenant, and the check of all books. Every size starts
from an empty database, so that the figures side by side show how time grows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine
from portal.environment import ROOT
from portal.stack.home import Home, write_private
from portal.stack.postgres import EmbeddedPostgres

RESULTS = ROOT / "bench" / "closing.jsonl"
STEPS = {
    "load": "calls made (SQL)", "post": "posted", "draft": "drafted", "check": "checked each", "seal": "packs sealed",
    "finalise": "numbered", "books": "all books checked", "pdf": "PDF of 500 lines",
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Measure each size in a process of its own, keep what was measured, and print one table."""
    options = _options(arguments)
    rows = []
    for millions in options.events:
        events = int(millions * 1_000_000)
        row = None if options.again else _kept(events, options)
        if row is None:
            row = _measured(events, options)
            if row is None:
                return 1
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
        rows.append(row)
    sys.stdout.write(table(rows))
    return 0


def _measured(events: int, options: argparse.Namespace) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "bench.closing.month", str(events), str(options.tenants), options.spread]
    with _server() as environment:
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True, env=environment)
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{events:,} calls: something is missing or does not balance\n{done.stdout}")
        return None
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {**figures, "commit": machine.commit(), "date": date, "machine": machine.described()}


def _kept(events: int, options: argparse.Namespace) -> dict[str, Any] | None:
    """What was measured of this size with this commit: an interrupted series goes on where it was."""
    if not RESULTS.exists():
        return None
    now = machine.commit()
    for line in reversed(RESULTS.read_text().splitlines()):
        row: dict[str, Any] = json.loads(line)
        wanted = {"events": events, "tenants": options.tenants, "spread": options.spread, "commit": now}
        if not now.endswith("+") and wanted.items() <= row.items():
            return row
    return None


def table(rows: list[dict[str, Any]]) -> str:
    """A block per size, a line per step; the first step is no part of the product."""
    lines = []
    for row in rows:
        lines.append(
            f"{row['events']:,} calls of {row['tenants']:,} tenants ({row['spread']}), {row['transfers']:,} transfers, "
            f"{row['rollups']:,} roll-ups, {row['database_mib']:,} MiB; commit {row['commit']}"
        )
        lines.append(f"{'':20}{'seconds':>9}{'calls/s':>11}{'CPU µs/call':>13}{'PostgreSQL':>13}{'a worker':>11}")
        for name, said in STEPS.items():
            step = row["steps"][name]
            rate = "" if name == "pdf" else f"{row['events'] / max(step['seconds'], 0.01):,.0f}"
            cpu = step["postgres_cpu_s"] + step["worker_cpu_s"]
            each = "" if name == "pdf" else f"{cpu / row['events'] * 1e6:.1f}"
            lines.append(
                f"{said:20}{step['seconds']:>9.1f}{rate:>11}{each:>13}"
                f"{step['postgres_mib']:>9,} MiB{step['worker_mib']:>7,} MiB"
            )
        closed = sum(row["steps"][name]["seconds"] for name in STEPS if name not in ("load", "books", "pdf"))
        lines.append(f"{'posted and closed':20}{closed:>9.1f}{row['events'] / closed:>11,.0f}  {closed / 60:.1f} min\n")
    return "\n".join(lines)


@contextmanager
def _server() -> Iterator[dict[str, str]]:
    """An empty, durable PostgreSQL, and the environment of processes that use it."""
    with tempfile.TemporaryDirectory(prefix="tollgate-closing-") as folder:
        home = Home(Path(folder))
        server = EmbeddedPostgres(home.path / "postgres", home.log("postgres"))
        server.start()
        try:
            write_private(
                home.path / "runtime.json", {"database_url": server.url(), "redis_url": "redis://127.0.0.1:1/0"}
            )
            yield {
                **os.environ, "TOLLGATE_HOME": folder, "DJANGO_SETTINGS_MODULE": "portal.settings",
                "TOLLGATE_ROLE": "owner", "PYTHONPATH": str(ROOT),
            }  # fmt: skip
        finally:
            server.stop()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.closing", description=__doc__)
    parser.add_argument("--events", type=_millions, default=[1.0, 3.0, 10.0], help="millions of calls, such as 1,3,10")
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--spread", choices=("rank", "even"), default="rank", help="whose the calls are")
    parser.add_argument("--again", action="store_true", help="measure also what this commit was measured with")
    return parser.parse_args(arguments)


def _millions(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
