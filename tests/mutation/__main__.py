"""Changes the code that makes money in small ways, one at a time, and shows which changes no test notices.

``python -m tests.mutation [--again] [module …]``: all modules of ``modules.toml``, or some. Works on a clone of what is
committed, in ``$TOLLGATE_MUTATION`` or a folder of its own, and goes on where it was stopped. ``--again`` tries the
changes once more that survived, after tests were added.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.deadline import until
from tests.mutation import forks
from tests.servers import TestServers

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Path(__file__).with_name("modules.toml")
PURE = ("--noconftest", "-p", "no:django")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--again", action="store_true", help="try again what survived")
    arguments = parser.parse_args()
    chosen = tomllib.loads(SETTINGS.read_text())
    folder = Path(os.environ.get("TOLLGATE_MUTATION") or tempfile.mkdtemp(prefix="tollgate-mutation-"))
    tree = clone(folder)
    for name in arguments.modules or chosen["modules"]:
        try_out(name, chosen, tree, again=arguments.again)


def clone(folder: Path) -> Path:
    """What is committed, in a tree where it may be changed."""
    tree = folder / "tree"
    if not tree.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tree)], check=True)
    subprocess.run(["git", "-C", str(tree), "fetch", "--quiet", str(ROOT), "HEAD"], check=True)
    subprocess.run(["git", "-C", str(tree), "reset", "--quiet", "--hard", "FETCH_HEAD"], check=True)
    return tree


def try_out(name: str, chosen: dict[str, Any], tree: Path, *, again: bool) -> None:
    """One module: make its changes, run its tests against each, and say how it went."""
    session, settings = tree.parent / f"{name}.sqlite", tree.parent / f"{name}.toml"
    path = tree.parent / f"{name}.socket"
    settings.write_text(configuration(name, chosen, path))
    run = Runner(["uvx", "--from", f"cosmic-ray=={chosen['cosmic_ray']}"], tree)
    if not session.exists():
        run("cosmic-ray", "init", str(settings), str(session))
        run("cr-filter-operators", str(session), str(settings))
    elif again:
        forget_survivors(session)
    module = chosen["modules"][name]
    with servers(module.get("database", False)), runs(arguments_of(module), name, path, tree):
        subprocess.run(forks.client(path), check=True)  # what was changed in no way passes
        run("cosmic-ray", "exec", str(settings), str(session))
    report(name, run("cosmic-ray", "dump", str(session)))


def configuration(name: str, chosen: dict[str, Any], path: Path) -> str:
    """What cosmic-ray reads for a module; TOML takes the texts of JSON."""
    return (
        "[cosmic-ray]\n"
        f"module-path = {json.dumps(f'billing/{name}.py')}\n"
        f"timeout = {forks.SECONDS + 10}.0\n"
        "excluded-modules = []\n"
        f"test-command = {json.dumps(shlex.join(forks.client(path)))}\n"
        'distributor = {name = "local"}\n'
        "[cosmic-ray.filters.operators-filter]\n"
        f"exclude-operators = {json.dumps(chosen['left_out'])}\n"
    )


def arguments_of(module: dict[str, Any]) -> list[str]:
    """pytest's, for the tests of a module; the same examples are tried every time."""
    always = ["-x", "-q", "-p", "no:xdist", "--hypothesis-seed=0"]
    return [*always, *(() if module.get("database") else PURE), *module.get("options", ()), *module["tests"]]


@contextmanager
def runs(arguments: list[str], name: str, path: Path, tree: Path) -> Iterator[None]:
    """The process whose forks run the tests."""
    path.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-m", "tests.mutation.forks", str(path), *arguments], cwd=tree)
    try:
        until(lambda: path.exists() or process.poll() is not None, seconds=300)
        for stale in (tree / "billing" / "__pycache__").glob(f"{name}.*"):
            stale.unlink()
        yield
    finally:
        process.kill()
        process.wait()


class Runner:
    """Runs cosmic-ray's commands in a tree; it is no dependency of the project, so it comes by uvx."""

    def __init__(self, before: list[str], tree: Path) -> None:
        self.before, self.tree = before, tree

    def __call__(self, *command: str) -> str:
        """What a command says; its failure is raised."""
        places = os.pathsep.join([str(ROOT / ".uv" / "bin"), os.environ.get("PATH", "")])
        values = {**os.environ, "PATH": places}
        done = subprocess.run(
            [*self.before, *command], cwd=self.tree, env=values, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout


@contextmanager
def servers(wanted: bool) -> Iterator[None]:
    """PostgreSQL and Redis for all runs of a module, found through the environment; none if no test needs them."""
    if not wanted:
        yield
        return
    started = TestServers()
    try:
        if started.owner:
            started.start()
        started.wait_for_template()
        yield
    finally:
        if started.owner:
            started.stop()


def forget_survivors(session: Path) -> None:
    """Make cosmic-ray try again what no test noticed."""
    with closing(sqlite3.connect(session)) as database, database:
        database.execute("DELETE FROM work_results WHERE test_outcome = 'SURVIVED'")


def report(name: str, dumped: str) -> None:
    """Counts, and each change that survived."""
    rows = [json.loads(line) for line in dumped.splitlines()]
    outcomes = [outcome(result) for _item, result in rows]
    counts = Counter(outcomes)
    made = len(rows) - counts["left out"]
    print(f"{name}: {made} made, " + ", ".join(f"{counts[key]} {key}" for key in ("killed", "timed out", "survived")))
    for (_item, result), how in zip(rows, outcomes, strict=True):
        if how == "survived":
            print("\n".join(line for line in result["diff"].splitlines()[2:] if line[:1] in "-+@"))
    sys.stdout.flush()


def outcome(result: dict[str, Any] | None) -> str:
    """How a change fared."""
    if result is None:
        return "not tried"
    if result["worker_outcome"] == "skipped":
        return "left out"
    if "timeout" in (result["output"] or "")[:40].lower():
        return "timed out"
    return str(result["test_outcome"]).lower()


if __name__ == "__main__":
    main()
