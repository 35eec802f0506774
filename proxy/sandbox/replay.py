"""Answers replayed byte by byte from a folder: what upstreams were seen to send, cut where a seed says.

The folder has one folder per dialect; a case is ``<name>.sse`` (a stream) or ``<name>.txt`` (a whole answer) beside
``<name>.json``, which tells what is in it: ``usage`` in the gateway's token classes, and ``fill``, a mark in the bytes
and the text and times that stand there. A model ``replay-<name>`` or ``replay-<name>.<seed>`` gets it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from proxy.sandbox.ledger import Entry

MOST_CUTS = 16
READ = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "input_image")
WRITTEN = ("output", "reasoning", "output_audio", "output_image")
NAMES = {
    "cache_read": "cached_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "input_audio": "input_audio_tokens",
    "input_image": "input_image_tokens",
    "reasoning": "reasoning_tokens",
    "output_audio": "output_audio_tokens",
    "output_image": "output_image_tokens",
    "web_searches": "web_searches",
    "images": "images",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its bytes, and what its sidecar tells."""

    name: str
    data: bytes
    streamed: bool
    told: dict[str, Any]

    def charge(self, entry: Entry) -> None:
        """Write the case's true usage into a ledger's entry; a case that tells none charges nothing."""
        usage = self.told.get("usage")
        if type(usage) is not dict:
            return
        entry.prompt_tokens = sum(usage.get(name, 0) for name in READ)
        entry.completion_tokens = sum(usage.get(name, 0) for name in WRITTEN)
        for name, counter in NAMES.items():
            setattr(entry, counter, usage.get(name, 0))


def load(path: Path) -> Case:
    """The case of a ``.sse`` or ``.txt`` file."""
    told: dict[str, Any] = msgspec.json.decode(path.with_suffix(".json").read_bytes())
    data = path.read_bytes()
    for mark, (text, times) in told.get("fill", {}).items():
        data = data.replace(mark.encode(), text.encode() * times)
    return Case(path.stem, data, path.suffix == ".sse", told)


def find(folder: Path, name: str) -> Case | None:
    """The case of a name, in whichever dialect; None where there is none."""
    found = [path for path in folder.glob(f"*/{name}.*") if path.suffix in (".sse", ".txt")]
    return load(found[0]) if found else None


def cut(data: bytes, seed: int) -> Iterator[bytes]:
    """The bytes in parts: all at once for seed 0, else cut at up to MOST_CUTS places that the seed decides."""
    places = random.Random(seed).sample(range(len(data)), min(MOST_CUTS, len(data))) if seed else []
    start = 0
    for end in [*sorted(places), len(data)]:
        if end > start:
            yield data[start:end]
            start = end
