"""Compressed bodies, undone within bounds: every encoding, cut, extended and blown up."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.content_encoding import (
    MOST_MEMBERS,
    MOST_RATIO,
    BrokenEncoding,
    TooMuch,
    UnknownEncoding,
    plain,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST = 4 * 2**20


def bare_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def quick_brotli(data: bytes) -> bytes:
    return bytes(brotli.compress(data, quality=4))


ENCODERS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"x-gzip", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "bare deflate": (b"deflate", bare_deflate),
    "br": (b"br", quick_brotli),
    "zstd": (b"zstd", zstd.compress),
}
each_encoding = pytest.mark.parametrize(("name", "packed"), ENCODERS.values(), ids=ENCODERS)


@each_encoding
@given(data=st.binary(max_size=2000))
def test_it_undoes_what_was_done(name: bytes, packed: Callable[[bytes], bytes], data: bytes) -> None:
    assert plain(packed(data), name, most=MOST) == data


@each_encoding
def test_it_undoes_large_bodies(name: bytes, packed: Callable[[bytes], bytes]) -> None:
    data = b"".join(b'{"line":%d,"text":"%x"}' % (i, i * i * i) for i in range(100_000))
    assert plain(packed(data), name, most=MOST) == data


@each_encoding
def test_it_tells_every_cut(name: bytes, packed: Callable[[bytes], bytes]) -> None:
    body = packed(b'{"model":"talker","messages":[{"role":"user","content":"Hello there"}]}')
    for end in range(len(body)):
        with pytest.raises(BrokenEncoding):
            plain(body[:end], name, most=MOST)


@each_encoding
@pytest.mark.parametrize("rest", [b"\0", b"junk", b'{"model":"x"}'])
def test_nothing_may_follow_the_end(name: bytes, packed: Callable[[bytes], bytes], rest: bytes) -> None:
    for data in (b'{"model":"talker"}', bytes(range(256)) * 200):
        with pytest.raises(BrokenEncoding):
            plain(packed(data) + rest, name, most=MOST)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_members_are_joined_up_to_a_number(name: str) -> None:
    header, packed = ENCODERS[name]
    assert plain(packed(b"one") + packed(b"") + packed(b"two"), header, most=MOST) == b"onetwo"
    assert plain(packed(b"") * MOST_MEMBERS, header, most=MOST) == b""
    with pytest.raises(BrokenEncoding):
        plain(packed(b"") * (MOST_MEMBERS + 1), header, most=MOST)


def test_encodings_are_undone_in_reverse() -> None:
    stacked = zstd.compress(gzip.compress(b"twice"))
    assert plain(stacked, b"gzip, zstd", most=MOST) == b"twice"
    assert plain(stacked, b" GZip ,identity,, ZSTD", most=MOST) == b"twice"
    with pytest.raises(BrokenEncoding):
        plain(stacked, b"zstd, gzip", most=MOST)


@pytest.mark.parametrize(
    "header", [b"snappy", b"gzip, lz4", b"gzip,gzip,gzip,gzip", b"gzip;q=1", b"\xff", b"zstd gzip"]
)
def test_it_knows_its_encodings(header: bytes) -> None:
    with pytest.raises(UnknownEncoding):
        plain(b"", header, most=MOST)


@pytest.mark.parametrize("header", [b"identity", b"", b" , "])
def test_a_plain_body_stays(header: bytes) -> None:
    assert plain(b"as it is", header, most=MOST) == b"as it is"


@each_encoding
def test_it_keeps_to_the_ratio_and_to_the_limit(name: bytes, packed: Callable[[bytes], bytes]) -> None:
    assert plain(packed(b"\0" * 64 * 1024), name, most=MOST) == b"\0" * 64 * 1024, "small ones may be dense"
    dense = packed(b"\0" * 2**20)
    assert len(dense) * MOST_RATIO < 2**20 or name in (b"gzip", b"x-gzip", b"deflate")
    with pytest.raises(TooMuch):
        plain(packed(bytes(range(256)) * 4096), name, most=2**20 - 1)


@each_encoding
def test_a_bomb_stops_at_the_bound(name: bytes, packed: Callable[[bytes], bytes]) -> None:
    bomb = packed(b"\0" * 256 * 2**20)
    tracemalloc.start()
    try:
        with pytest.raises(TooMuch):
            plain(bomb, name, most=MOST)
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST
    finally:
        tracemalloc.stop()


def test_a_bomb_within_a_bomb_stops_too() -> None:
    twice = zstd.compress(gzip.compress(b"\0" * 64 * 2**20))
    with pytest.raises(TooMuch):
        plain(twice, b"gzip, zstd", most=MOST)


def test_a_zstd_window_beyond_what_http_allows_is_refused() -> None:
    window = {int(zstd.CompressionParameter.window_log): 25, int(zstd.CompressionParameter.content_size_flag): 0}
    stream = zstd.ZstdCompressor(options=window)
    body = stream.compress(bytes(range(256)) * 100) + stream.flush()
    with pytest.raises(BrokenEncoding):
        plain(body, b"zstd", most=MOST)


@each_encoding
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(name: bytes, packed: Callable[[bytes], bytes], data: bytes) -> None:
    for body in (data, packed(b"")[:4] + data):
        try:
            plain(body, name, most=MOST)
        except (BrokenEncoding, TooMuch):
            continue
