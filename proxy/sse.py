"""Server-sent events, sans I/O: bytes in, the data of whole events out. WHATWG HTML §9.2.6, for hostile senders."""

from __future__ import annotations

KEEPALIVE = b": keepalive\n\n"
MOST_PENDING = 32 * 1024 * 1024


class TooLong(Exception):
    """One event is larger than any upstream has reason to send."""


class EventDecoder:
    """Splits on LF, CR and CRLF in bytes, never inside a UTF-8 character; joins several data lines by LF.

    Comments and the fields ``event``, ``id`` and ``retry`` carry nothing for us and are dropped.
    """

    __slots__ = ("_data", "_line", "_size", "_skip_lf")

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._skip_lf = False

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._line or self._data or self._skip_lf)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that ``chunk`` completes."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if not chunk:
            return []
        if len(self._line) + self._size > MOST_PENDING:
            raise TooLong
        if b"\n" not in chunk and b"\r" not in chunk:
            self._line += chunk
            return []
        self._skip_lf = chunk[-1:] == b"\r"
        if self._line:
            chunk = bytes(self._line) + chunk
            self._line.clear()
        lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._line += lines.pop()
        events = []
        for line in lines:
            event = self._take(line)
            if event is not None:
                events.append(event)
        return events

    def flush(self) -> list[bytes]:
        """The last event, where the sender forgot its blank line."""
        lines = [bytes(self._line), b""]
        self._line.clear()
        return [event for event in map(self._take, lines) if event is not None]

    def _take(self, line: bytes) -> bytes | None:
        """One whole line; a blank one ends the event."""
        if line.startswith(b"data:"):
            self._size += len(line)
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"\xef\xbb\xbfdata:"):
            return self._take(line[3:])
        elif not line and self._data:
            data = b"\n".join(self._data)
            self._data = []
            self._size = 0
            return data if data.strip() else None
        return None
