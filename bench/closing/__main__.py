"""``python -m bench.closing --events 1,3,10`` closes a month of so many million calls of a thousand tenants.

The calls are made by SQL in a database of its own; everything measured is the product's own: posting to roll-ups and
ledger, one invoice for each tenant, and the check of the books. Every size starts from an empty database, so that the
figures side by side show how time grows.
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
from pathlib import Path
from typing import Any

from portal.environment import ROOT
from portal.stack.home import Home, write_private
from portal.stack.postgres import EmbeddedPostgres

COLUMNS = ("fill", "post", "close", "check")


def main(arguments: list[str]) -> int:
    """Measure each size in a process of its own, and print one table."""
    options = _options(arguments)
    rows = []
    for millions in options.events:
        with _server() as environment:
            command = [
                sys.executable,
                "-m",
                "bench.closing.month",
                str(int(millions * 1_000_000)),
                str(options.tenants),
            ]
            subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True, env=environment)
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return done.returncode
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    sys.stdout.write(table(rows))
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """One line per size; the first step makes the calls and is no part of the product."""
    heads = (("", 14), ("calls made", 20), ("posted", 20), ("closed", 22), ("books checked", 16), ("ours", 14))
    lines = ["".join(f"{head:>{width}}" for head, width in heads) + f"{'PostgreSQL':>12}"]
    for row in rows:
        lines.append(
            f"{row['events']:>10,} ev."
            f"{row['fill_s']:>9.1f} s {row['events'] / row['fill_s']:>7,.0f}/s"
            f"{row['post_s']:>9.1f} s {row['events'] / row['post_s']:>7,.0f}/s"
            f"{row['close_s']:>8.1f} s {row['invoices'] / row['close_s']:>6.1f} inv./s"
            f"{row['check_s']:>14.1f} s{row['our_mib']:>10.0f} MiB{row['postgres_mib']:>8.0f} MiB"
        )
    return "\n".join(lines) + "\n"


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
    return parser.parse_args(arguments)


def _millions(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
