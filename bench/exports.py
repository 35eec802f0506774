"""``python -m bench.exports --rows 1000000`` writes exports of so many calls: rows a second and the most memory.

The calls are made by SQL in a PostgreSQL of its own, all of one tenant, and posted. Each file is written by a process
of its own (``bench.export_one``), page by page as the command and the job write it, to a disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import machine
from portal.environment import ROOT
from portal.stack.home import Home, write_private
from portal.stack.postgres import EmbeddedPostgres

FILES = ("calls.csv", "calls.parquet", "usage.csv", "focus.csv", "focus.parquet", "focus-hourly.csv")


def main(arguments: list[str]) -> int:
    """Measure each size in an empty database; prints a line for each file."""
    parser = argparse.ArgumentParser(prog="python -m bench.exports", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000], help="calls")
    for rows in parser.parse_args(arguments).rows:
        sys.stdout.write(f"{rows:,} calls; commit {machine.commit()}; {machine.described()}\n")
        with _database() as environment, tempfile.TemporaryDirectory(prefix="tollgate-exports-") as folder:
            subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True, env=environment)
            _one(["fill", str(rows)], environment)
            for name in FILES:
                sys.stdout.write(_one(["write", str(Path(folder) / name)], environment))
                sys.stdout.flush()
    return 0


def _one(arguments: list[str], environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "bench.export_one", *arguments]
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def _database() -> Iterator[dict[str, str]]:
    """An empty PostgreSQL, and the environment of processes that use it."""
    with tempfile.TemporaryDirectory(prefix="tollgate-exports-") as folder:
        home = Home(Path(folder))
        server = EmbeddedPostgres(home.path / "postgres", home.log("postgres"))
        server.start()
        try:
            addresses = {"database_url": server.url(), "redis_url": "redis://127.0.0.1:1/0"}
            write_private(home.path / "runtime.json", addresses)
            yield {
                **os.environ, "TOLLGATE_HOME": folder, "DJANGO_SETTINGS_MODULE": "portal.settings",
                "TOLLGATE_ROLE": "owner", "PYTHONPATH": str(ROOT),
            }  # fmt: skip
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
