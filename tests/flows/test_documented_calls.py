"""The examples of the guide and of the README, run as they are printed, on what ``make up`` offers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from portal.environment import ROOT
from tests.product import Product

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
USED = re.compile(r"\$TOLLGATE(?!_)|\$KEY|environ\[|open\(")
"""What marks an example as one to run, against the one that sets the two variables."""
ELLIPSIS = "…"


def examples(file: str) -> list[tuple[str, str]]:
    """Language and code of each example that calls."""
    found = BLOCK.findall((ROOT / file).read_text(encoding="utf-8"))
    return [(kind, code) for kind, code in found if USED.search(code) and ELLIPSIS not in code]


@pytest.fixture(scope="module")
def surroundings(running: Product) -> dict[str, str]:
    told = json.loads(running.manage("seed_demo", "--sandbox-url", running.sandbox.url, "--json"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TOLLGATE": running.web_url, "KEY": told["api_key"]}


PAGES: tuple[str, ...] = (
    "quick-start",
    "authentication",
    "streaming",
    "tools",
    "images-and-embeddings",
    "idempotency",
    "runs",
)
PAGES += ("pricing", "receipts", "model-verification", "from-openai")
FILES = [("README.md", 3), *((f"docs/guide/{page}.md", 1) for page in PAGES)]


def test_no_example_is_left_out() -> None:
    guide = ROOT / "docs" / "guide"
    assert {f"docs/guide/{page.name}" for page in guide.glob("*.md") if examples(f"docs/guide/{page.name}")} == {
        file for file, _least in FILES[1:]
    }


@pytest.mark.parametrize(("file", "least"), FILES)
def test_it_runs_what_is_printed(file: str, least: int, surroundings: dict[str, str], tmp_path: Path) -> None:
    """One folder for a file: its examples build on one another."""
    found = examples(file)
    assert len(found) >= least
    for kind, code in found:
        command = ["bash", "-euo", "pipefail", "-c"] if kind == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, code], env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        assert done.stdout or ">" in code, code
        assert '"error"' not in done.stdout, done.stdout
