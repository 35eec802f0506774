"""Settlements on local disk while PostgreSQL is away: an append-only file per process that the next start replays."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

_encoder = msgspec.json.Encoder()


class Spool:
    """The file of this process, locked while it lives, so that nobody replays what it still holds in memory."""

    def __init__(self, folder: Path, owner: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = folder / f"{owner}.jsonl"
        self._file: IO[bytes] | None = None
        self._written: set[str] = set()

    def writable(self) -> bool:
        """Whether there is room: without it a gateway must not admit."""
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize > 16 * 1024 * 1024

    def write(self, settlements: list[Any]) -> None:
        """Append what is not in the file yet, on disk when this returns."""
        fresh = [row for row in settlements if row.id not in self._written]
        if not fresh:
            return
        if self._file is None:
            self._file = self._locked()
        self._file.write(b"".join(_encoder.encode(row) + b"\n" for row in fresh))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._written.update(row.id for row in fresh)

    def _locked(self) -> IO[bytes]:
        """The file, under its name only once it is locked: a process that starts must not take it for a leftover."""
        nameless = self._path.with_suffix(".new")
        file = nameless.open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        nameless.rename(self._path)
        return file

    def clear(self) -> None:
        """Everything written has been settled."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)
            self._written.clear()

    def leftovers(self) -> list[Leftover]:
        """The spools of processes that are gone. A last line cut off by a crash was never promised and is dropped."""
        found = []
        for path in sorted(self._folder.glob("*.jsonl")):
            file = path.open("rb")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            lines = file.read().split(b"\n")[:-1]
            found.append(Leftover(path, file, [msgspec.json.decode(line) for line in lines]))
        return found


@dataclass(frozen=True, slots=True)
class Leftover:
    """A dead process's spool, locked while it is replayed."""

    path: Path
    file: IO[bytes]
    rows: list[list[Any]]

    def remove(self) -> None:
        """It has been settled."""
        self.path.unlink(missing_ok=True)
        self.file.close()
