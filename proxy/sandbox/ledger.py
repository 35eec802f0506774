"""What the sandbox charged, per request id, in a file that outlives every process.

One line of JSON per change of an attempt; the last line of an attempt counts, and a new start keeps only that. Changes
are gathered for 20 ms, written with one call, and fsynced in a thread, so a killed sandbox loses at most that much.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

GATHER_SECONDS = 0.02
RUNNING, ENDED, ABORTED, REFUSED = "running", "ended", "aborted", "refused"
COUNTERS = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "web_searches",
    "images",
    "chunks",
)


class Entry(msgspec.Struct):
    """One attempt at one request. Prompt and completion are totals, as OpenAI counts; the rest are parts of them."""

    request_id: str
    attempt: int
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    web_searches: int = 0
    images: int = 0
    chunks: int = 0
    state: str = RUNNING
    status: int = 200


class Charge(msgspec.Struct):
    """All attempts of one request id together; ``state`` and ``model`` are the newest attempt's."""

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    web_searches: int = 0
    images: int = 0
    chunks: int = 0
    state: str = RUNNING
    model: str = ""


class Ledger:
    """The attempts of all requests, in memory and in ``path``; with no path in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.attempts: dict[str, list[Entry]] = {}
        self.redirected = 0
        self._changed: dict[int, Entry] = {}
        self._file = -1
        self._timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._sync_again = False
        if path is not None:
            self._load(path)

    def open(self, request_id: str, model: str) -> Entry:
        """A new attempt at a request, running and with nothing charged."""
        attempts = self.attempts.setdefault(request_id, [])
        entry = Entry(request_id, len(attempts) + 1, model)
        attempts.append(entry)
        return entry

    def changed(self, entry: Entry) -> None:
        """Write this attempt's present state soon."""
        if self.path is None:
            return
        self._changed[id(entry)] = entry
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what changed now, and have it fsynced."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._changed:
            return
        self._write()
        self._sync()

    def clear(self) -> None:
        """Forget everything, in the file as well."""
        self.attempts.clear()
        self._changed.clear()
        self.redirected = 0
        if self.path is not None:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Write what is left."""
        self._write()
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)

    def charge(self, request_id: str) -> Charge | None:
        """What one request was charged over all its attempts."""
        attempts = self.attempts.get(request_id)
        return None if attempts is None else _together(attempts)

    def totals(self) -> dict[str, int]:
        """Sums over every request: ``requests``, ``attempts``, the counters, and attempts by state."""
        totals = dict.fromkeys(("requests", "attempts", *COUNTERS, RUNNING, ENDED, ABORTED, REFUSED), 0)
        totals["requests"] = len(self.attempts)
        totals["redirected"] = self.redirected
        for attempts in self.attempts.values():
            for entry in attempts:
                totals["attempts"] += 1
                totals[entry.state] += 1
                for counter in COUNTERS:
                    totals[counter] += getattr(entry, counter)
        return totals

    def _sync(self) -> None:
        """Fsync in a thread; what was written while one runs is synced by the next."""
        self._sync_again = self._syncing is not None
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().run_in_executor(None, os.fsync, self._file)
            self._syncing.add_done_callback(self._synced)

    def _synced(self, syncing: asyncio.Future[None]) -> None:
        self._syncing = None
        if self._sync_again and not syncing.cancelled():
            self._sync()

    def _write(self) -> None:
        """Append the changes; a full disk may take only a part of them at once."""
        lines = memoryview(msgspec.json.Encoder().encode_lines(list(self._changed.values())))
        self._changed.clear()
        while lines:
            lines = lines[os.write(self._file, lines) :]

    def _load(self, path: Path) -> None:
        """Read what an earlier process wrote; what it left running was aborted by its end."""
        path.parent.mkdir(parents=True, exist_ok=True)
        latest: dict[tuple[str, int], Entry] = {}
        for entry in _entries(path.read_bytes().splitlines() if path.exists() else []):
            latest[entry.request_id, entry.attempt] = entry
        for entry in latest.values():
            if entry.state == RUNNING:
                entry.state = ABORTED
            self.attempts.setdefault(entry.request_id, []).append(entry)
        self._file = _rewrite(path, list(latest.values()))


def _rewrite(path: Path, entries: list[Entry]) -> int:
    """Replace the file by one line per attempt, all or nothing; returns it open for appending."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(msgspec.json.Encoder().encode_lines(entries))
    os.fsync(descriptor)
    temporary.replace(path)
    return descriptor


def _entries(lines: Iterable[bytes]) -> Iterable[Entry]:
    """Entries of the readable lines: the last line of a killed process may be cut."""
    decoder = msgspec.json.Decoder(Entry)
    for line in lines:
        try:
            yield decoder.decode(line)
        except msgspec.MsgspecError:
            continue


def _together(attempts: list[Entry]) -> Charge:
    charge = Charge(attempts=len(attempts), state=attempts[-1].state, model=attempts[-1].model)
    for entry in attempts:
        for counter in COUNTERS:
            setattr(charge, counter, getattr(charge, counter) + getattr(entry, counter))
    return charge
