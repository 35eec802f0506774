"""Child processes: started in groups of their own, logged to files, stopped politely and then surely.

On Linux a child is also told to stop when the thread that started it ends, so that nothing outlives a killed parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from portal.environment import ROOT

POLL_SECONDS = 0.02
LOG_BYTES_KEPT = 10 * 1024 * 1024
TAIL_LINES = 20
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ProcessProblem(Exception):
    """A process did not start, or ended with an error; the message has its last log lines."""


@dataclass(frozen=True, slots=True)
class Account:
    """A system user a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. ``variables`` are added to our environment; ``stop_seconds`` pass before the child is killed.

    What it prints goes to ``log``, or its standard output to ``output``, a file nobody else can read.
    """

    name: str
    arguments: Sequence[str]
    log: Path
    variables: Mapping[str, str] | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    output: Path | None = None


class Child:
    """A running process and its group."""

    def __init__(self, command: Command) -> None:
        self.command = command
        command.log.parent.mkdir(parents=True, exist_ok=True)
        if command.log.exists() and command.log.stat().st_size > LOG_BYTES_KEPT:
            command.log.replace(command.log.with_suffix(".log.1"))
        account = command.account
        with contextlib.ExitStack() as files:
            log = files.enter_context(command.log.open("ab"))
            output = log if command.output is None else files.enter_context(_open_private(command.output))
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                list(command.arguments),
                cwd=ROOT if account is None else "/",
                env={**os.environ, **(command.variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
                preexec_fn=_stop_with_parent(command.stop_signal),
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )

    @property
    def name(self) -> str:
        """What it is called in messages and in the name of its log."""
        return self.command.name

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self.running:
            self.process.send_signal(number)

    def stop(self) -> None:
        """Ask it to stop, wait, and kill what is left of its group."""
        self.signal(self.command.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self.command.stop_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL for the whole group."""
        # The group may be empty, or its number belong to somebody else by now.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self) -> str:
        """The last lines it logged."""
        with self.command.log.open("rb") as log:
            log.seek(self.log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])

    def problem(self, what: str) -> ProcessProblem:
        """An error that says what happened to this child and shows its last lines."""
        return ProcessProblem(f"{self.name} {what}; the end of {self.command.log}:\n{self.tail()}")

    def wait_until(self, ready: Callable[[], bool], check: Callable[[], None], *, seconds: float) -> None:
        """Poll until ``ready``; a problem if the child ends before, or the time is over. ``check`` may raise."""
        deadline = time.monotonic() + seconds
        while not ready():
            check()
            if not self.running:
                raise self.problem(f"ended with code {self.process.returncode} while it started")
            if time.monotonic() > deadline:
                raise self.problem(f"was not ready within {seconds:.0f} s")
            time.sleep(POLL_SECONDS)


def never() -> None:
    """A check that never interrupts."""


def run(command: Command, check: Callable[[], None] = never, *, seconds: float = 300.0) -> None:
    """Run a command to its end; a problem if it fails or takes longer. It is stopped if ``check`` raises."""
    child = Child(command)
    try:
        deadline = time.monotonic() + seconds
        while child.running:
            check()
            if time.monotonic() > deadline:
                raise child.problem(f"took longer than {seconds:.0f} s")
            time.sleep(POLL_SECONDS)
    finally:
        child.stop()
    if child.process.returncode:
        raise child.problem(f"failed with code {child.process.returncode}")


def _open_private(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _stop_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Code for the child before it executes its program: have the kernel send ``number`` when we end."""
    if _libc is None:
        return None
    libc, value = _libc, int(number)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, value)

    return ask
