"""Running the JavaScript clients: whether Node is here, their packages, and scripts that print JSON."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "node"
OLDEST = 20
SECONDS = 90


def _present() -> bool:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = told.stdout.strip().removeprefix("v").partition(".")[0]
    return major.isdecimal() and int(major) >= OLDEST


PRESENT = _present()
"""Whether Node and npm are here, and new enough for the clients."""


def install() -> None:
    """Install the locked packages, unless they are; one process at a time. Quiet unless it fails."""
    wanted, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".installed"
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed.exists() and installed.read_bytes() == wanted.read_bytes():
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}\n{done.stderr}"
        installed.write_bytes(wanted.read_bytes())


def run(script: str, base_url: str, key: str, scenes: dict[str, Any]) -> dict[str, Any]:
    """Run a script of the folder; returns what each of its cases came to, by scene."""
    command = ["node", script, base_url, key, json.dumps(scenes)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    told: dict[str, Any] = json.loads(done.stdout)
    return told
