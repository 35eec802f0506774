"""Compressed request bodies: gzip, deflate, brotli and zstd, undone within a bound. Pure.

Each call of a decompressor is told the most it may make, so that a bomb stops at the bound and not in memory.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_RATIO = 200
LEAST_BOUND = 64 * 1024
"""What a body may always grow to: small ones can be far denser than any ratio."""
MOST_LAYERS = 3
MOST_MEMBERS = 32
"""Frames of one zstd, members of one gzip body. Each copies what is left of the body once."""
STEP = 256 * 1024
ZSTD = {int(zstd.DecompressionParameter.window_log_max): 23}  # 8 MB, the most RFC 9659 allows on HTTP
TAKEN = "gzip, deflate, br and zstd"

Pieces = Iterator[bytes]


class UnknownEncoding(Exception):
    """An encoding that is none of ours, or too many of them on one another."""


class BrokenEncoding(Exception):
    """The bytes are not what the header says, end too early, or go on after their end."""


class TooMuch(Exception):
    """The plain body is larger than the bound."""


def plain(body: bytes, header: bytes, *, most: int) -> bytes:
    """The body without its encodings (RFC 9110, 8.4: listed in the order they were applied).

    At most ``most`` bytes, and at most MOST_RATIO times what was sent; that also bounds what is between two encodings.
    Raises UnknownEncoding, BrokenEncoding, TooMuch.
    """
    layers = [name for part in header.lower().split(b",") if (name := part.strip()) not in (b"", b"identity")]
    if len(layers) > MOST_LAYERS or any(name not in DECODERS for name in layers):
        raise UnknownEncoding
    most = min(most, max(len(body) * MOST_RATIO, LEAST_BOUND))
    for name in reversed(layers):
        body = _within(DECODERS[name](body, most), most)
    return body


def _within(pieces: Pieces, most: int) -> bytes:
    """The pieces as one, unless they are more than ``most`` bytes."""
    made: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            if size > most:
                raise TooMuch
            made.append(piece)
    except (zlib.error, brotli.error, zstd.ZstdError):
        raise BrokenEncoding from None
    return made[0] if len(made) == 1 else b"".join(made)


def _members(body: bytes, most: int, decompressor: Callable[[], Any]) -> Pieces:
    """Members one after the other, as gzip and zstd allow; nothing may be left over."""
    for _ in range(MOST_MEMBERS):
        stream = decompressor()
        yield stream.decompress(body, most + 1)
        if not stream.eof:
            raise BrokenEncoding
        body = stream.unused_data
        if not body:
            return
    raise BrokenEncoding


def _gzip(body: bytes, most: int) -> Pieces:
    return _members(body, most, lambda: zlib.decompressobj(31))


def _zstd(body: bytes, most: int) -> Pieces:
    return _members(body, most, lambda: zstd.ZstdDecompressor(options=ZSTD))


def _deflate(body: bytes, most: int) -> Pieces:
    """A zlib stream as the RFC says, or a bare one, as some clients have it."""
    bare = bool(body) and (body[0] & 0x0F) != 8
    stream = zlib.decompressobj(-15 if bare else 15)
    yield stream.decompress(body, most + 1)
    if not stream.eof or stream.unused_data:
        raise BrokenEncoding


def _brotli(body: bytes, most: int) -> Pieces:
    """Brotli may overshoot the size it is given, so it is given small ones."""
    stream = brotli.Decompressor()
    piece = stream.process(body, output_buffer_limit=STEP)
    yield piece
    while not stream.is_finished():
        if not piece and stream.can_accept_more_data():
            raise BrokenEncoding
        piece = stream.process(b"", output_buffer_limit=STEP)
        yield piece


DECODERS: dict[bytes, Callable[[bytes, int], Pieces]] = {
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _deflate,
    b"br": _brotli,
    b"zstd": _zstd,
}
