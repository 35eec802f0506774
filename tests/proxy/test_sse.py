"""The event decoder: any cut of the bytes gives the same events."""

from __future__ import annotations

import pytest

from proxy.sse import MOST_PENDING, EventDecoder, TooLong

TEXTS = {
    "lf": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "cr": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed": (b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\r", [b"a", b"b", b"c"]),
    "several data lines": (b"data: a\ndata:b\ndata:  c\n\n", [b"a\nb\n c"]),
    "comments and fields": (b": x\nid: 1\nevent: y\nretry: 3\ndata: a\n\n:\n\nevent: ping\n\n", [b"a"]),
    "empty data": (b"data:\n\ndata: \n\ndata\n\ndata: a\n\n", [b"a"]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "unicode line ends in a text": (
        "data: a\u2028b\u2029c\x85d\x0be\n\n".encode(),
        ["a\u2028b\u2029c\x85d\x0be".encode()],
    ),
    "characters of many bytes": ("data: é漢🎉\n\n".encode(), ["é漢🎉".encode()]),
    "no final blank line": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "no final line end": (b"data: a\n\ndata: b\n", [b"a", b"b"]),
    "blank lines": (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
}


def events(pieces: list[bytes]) -> list[bytes]:
    decoder = EventDecoder()
    found = [each for piece in pieces for each in decoder.feed(piece)]
    return found + decoder.flush()


@pytest.mark.parametrize("name", TEXTS)
def test_it_finds_the_same_events_at_every_cut(name: str) -> None:
    data, expected = TEXTS[name]
    assert events([data]) == expected
    assert events([data[place : place + 1] for place in range(len(data))]) == expected
    for first in range(len(data) + 1):
        assert events([data[:first], data[first:]]) == expected
        for second in range(first, len(data) + 1, 3):
            assert events([data[:first], b"", data[first:second], data[second:]]) == expected


def test_it_knows_whether_an_event_is_under_way() -> None:
    decoder = EventDecoder()
    pending = []
    for piece in (b"data: a", b"\n", b"\n"):
        decoder.feed(piece)
        pending.append(decoder.pending)
    assert pending == [True, True, False]


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["a line", "an event of many lines"])
def test_it_bounds_what_has_no_end(end: bytes) -> None:
    decoder = EventDecoder()
    for _ in range(MOST_PENDING // 2**20):
        decoder.feed(b"data: " + b"x" * 2**20 + end)
    with pytest.raises(TooLong):
        decoder.feed(b"x")


def test_it_takes_a_long_line_in_small_pieces_in_time() -> None:
    decoder = EventDecoder()
    decoder.feed(b"data: ")
    for _ in range(1024):
        decoder.feed(b"x" * 1024)
    assert len(decoder.feed(b"\n\n")[0]) == 2**20
