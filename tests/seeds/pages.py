"""Running what provider pages print: their curl commands as typed, and a check of answers against their examples."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.shop import Shop, spoken

#: model → its aliases, the dialect it is sold through where the gateway speaks it, and the sandbox's model.
CATALOGUE: dict[str, tuple[tuple[str, ...], str, str]] = {
    "claude-sonnet-4-6": ((), "anthropic", "tools"),
    "claude-sonnet-4-5": (("claude-sonnet-4-5@20250929",), "anthropic", "echo"),
    "claude-sonnet-4": (("claude-sonnet-4-20250514",), "anthropic", "echo"),
    "claude-opus-4-1": (("claude-opus-4-1@20250805",), "anthropic", "echo"),
    "claude-opus-4": ((), "anthropic", "echo"),
    "claude-3-7-sonnet": ((), "anthropic", "echo"),
    "claude-3-5-haiku@20241022": ((), "anthropic", "echo"),
    "claude-3-haiku@20240307": ((), "anthropic", "echo"),
    "gemini-2.5-pro": ((), "gemini", "echo"),
    "gemini-2.5-flash": ((), "gemini", "echo"),
    "gemini-2.5-flash-image-preview": ((), "gemini", "image"),
    "gemini-2.5-flash-lite": ((), "gemini", "echo"),
    "gemini-2.0-flash": ((), "gemini", "echo"),
    "gemini-2.0-flash-lite": ((), "gemini", "echo"),
    "deepseek-ai/deepseek-r1-0528-maas": ((), "openai", "reasoning"),
    "gpt-4o-mini": ((), "openai", "tools"),
    "gpt-3.5-turbo": ((), "openai", "echo"),
    "openai/gpt-4o-mini": ((), "openai", "echo"),
    "anthropic/claude-sonnet-4": ((), "anthropic", "echo"),
}


class Market(Shop):
    """A shop that sells what the pages name, through the sandbox."""

    def furnish(self) -> Market:
        """Offer the pages' models besides the shop's."""
        super().furnish()
        parts = []
        for name, (aliases, wanted, kind) in CATALOGUE.items():
            dialect = wanted if wanted in spoken() else "openai"
            parts.append(self.model(dialect, kind, name=name, aliases=json.dumps(aliases)))
        for dialect in spoken():
            heard = '{ input = ["text", "audio"] }'
            parts.append(self.model(dialect, "echo", name=f"{dialect}/hears", capabilities=heard))
        self.apply("\n".join(parts))
        return self


@dataclass(frozen=True)
class Page:
    """A page's own address and key, and what stands in for them."""

    origin: str
    key: str
    our_origin: str
    our_key: str

    def ours(self, text: str) -> str:
        """The page's text with our base URL and key in it, and nothing else changed."""
        return text.replace(self.origin, self.our_origin).replace(self.key, self.our_key)

    def curl(self, command: str, folder: Path) -> Typed:
        """Run a curl command of the page in a shell; what to show besides the body is in curl's settings file."""
        if shutil.which("curl") is None:
            pytest.fail("The pages' examples need curl: apt-get install curl.")
        (folder / ".curlrc").write_text("silent\nshow-error\ninclude\nmax-time = 30\n")
        typed = self.ours(command)
        assert typed != command
        done = subprocess.run(
            ["bash", "-c", typed], env={**os.environ, "CURL_HOME": str(folder)}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return Typed(int(status.split()[1]), {name.lower(): value for name, value in pairs}, body.decode())


@dataclass(frozen=True)
class Typed:
    """What curl showed."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def events(self) -> list[dict[str, Any]]:
        """The chunks of a stream that is written exactly as pages show it, and ends with ``[DONE]``."""
        return events(self.body)


def events(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream: ``data:`` lines with an empty line after each, comments, and ``[DONE]`` last."""
    *blocks, end = text.split("\n\n")
    assert end == ""
    assert all("\n" not in block for block in blocks)
    data = [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]
    assert data.pop() == "[DONE]"
    return [json.loads(one) for one in data]


def like(answer: Any, example: Any, where: str = "answer") -> None:
    """Every member of the example is in the answer, with a value of the same type; null stands for itself."""
    if isinstance(example, dict):
        assert isinstance(answer, dict), where
        for name, value in example.items():
            assert name in answer, f"{where}.{name} is missing"
            like(answer[name], value, f"{where}.{name}")
    elif isinstance(example, list):
        assert isinstance(answer, list), where
        assert answer, where
        for one in answer:
            like(one, example[0], f"{where}[]")
    elif isinstance(example, float | int) and not isinstance(example, bool):
        assert isinstance(answer, float | int), where
        assert not isinstance(answer, bool), where
    else:
        assert type(answer) is type(example), where
