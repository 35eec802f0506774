"""Runs pytest in forks of one process that has loaded everything but our own code: a change is tried in half the time.

``python -m tests.mutation.forks <socket> <arguments of pytest>`` serves; ``client(socket)`` asks for one run.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

SECONDS = 60
LOADED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""What is loaded before pytest starts is not rewritten by it, and need not be."""
NEEDS_NO_SETTINGS = (
    "pytest", "_pytest", "hypothesis", "psycopg", "lxml", "jinja2", "django.db.models.",
    "django.db.backends.postgresql", "django.template.", "django.forms.",
)  # fmt: skip
"""Of what a run loads, what can be loaded before Django is set up."""
CLIENT = """
import socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect(sys.argv[1])
said = b""
while part := asked.recv(65536):
    said += part
sys.stdout.write(said[:-4].decode(errors="replace"))
sys.exit(int(said[-4:] or b"   1"))
"""
"""Waits for the end of a run; the last four bytes are its exit status."""


def client(path: Path) -> list[str]:
    """The command that asks for one run and ends as it did."""
    return [sys.executable, "-I", "-S", "-c", CLIENT, str(path)]


def main(path: str, arguments: list[str]) -> None:
    """Serve until killed."""
    warm_up(arguments)
    sys.dont_write_bytecode = True
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    while True:
        asked, _address = listening.accept()
        with asked:
            asked.sendall(f"{run(asked, [*LOADED, *arguments]):4d}".encode())


def warm_up(arguments: list[str]) -> None:
    """Load what one run loads and is not ours; that run leaves byte code of the tests behind."""
    code = "import sys, pytest; pytest.main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    for name in done.stderr.splitlines()[-1].split():
        if name.startswith(NEEDS_NO_SETTINGS):
            importlib.import_module(name)


def run(asked: socket.socket, arguments: list[str]) -> int:
    """One run in a fork; 1 too if it took too long, which it then says."""
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            asked.sendall(b"timeout")
        return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1
    signal.alarm(SECONDS)
    for stream in (1, 2):
        os.dup2(asked.fileno(), stream)
    import pytest

    os._exit(pytest.main(arguments))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
