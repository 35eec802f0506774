"""Bodies: compressed in every way, too large, and full of values."""

from __future__ import annotations

import json
import sys
import zlib

import brotli
import pytest

from tests.proxy.refusals import refused
from tests.proxy.town import Town, bearer, body

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.timeout(180)
COMPLETIONS = "/v1/chat/completions"


def packed(data: bytes, window: int = 31) -> bytes:
    stream = zlib.compressobj(wbits=window)
    return stream.compress(data) + stream.flush()


DATA = json.dumps(body()).encode()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", packed(DATA)),
        ("GZIP", packed(DATA)),
        ("deflate", packed(DATA, 15)),
        ("deflate", packed(DATA, -15)),
        ("br", brotli.compress(DATA)),
        ("zstd", zstd.compress(DATA)),
        ("gzip, zstd", zstd.compress(packed(DATA))),
        ("identity", DATA),
    ],
    ids=["gzip", "upper case", "deflate", "bare deflate", "br", "zstd", "two", "none"],
)
def test_it_takes_compressed_bodies(town: Town, key: str, encoding: str, data: bytes) -> None:
    answer = town.http.post(COMPLETIONS, content=data, headers=bearer(key) | {"content-encoding": encoding})
    assert answer.json()["choices"][0]["message"]["content"] == "Hello there"


def test_it_takes_large_compressed_bodies(town: Town, key: str) -> None:
    large = json.dumps(body(text="".join(f"{number} little words, " for number in range(40_000)))).encode()
    for encoding, data in (("zstd", zstd.compress(large)), ("br", brotli.compress(large, quality=4))):
        answer = town.http.post(COMPLETIONS, content=data, headers=bearer(key) | {"content-encoding": encoding})
        assert answer.status_code == 200
        assert "999 little words" in answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("encoding", "data", "status", "code"),
    [
        ("snappy", b"x", 415, "unsupported_content_encoding"),
        ("gzip, lz4", b"x", 415, "unsupported_content_encoding"),
        ("gzip, gzip", b"x", 400, "invalid_content_encoding"),
        ("gzip", b"no gzip at all", 400, "invalid_content_encoding"),
        ("zstd", b"no zstd at all", 400, "invalid_content_encoding"),
        ("br", b"no brotli at all", 400, "invalid_content_encoding"),
        ("gzip", packed(b'{"a":1}')[:-9], 400, "invalid_content_encoding"),
        ("zstd", zstd.compress(b'{"a":1}') + b"junk", 400, "invalid_content_encoding"),
        ("gzip", packed(b"\0" * 50_000_000), 413, "request_too_large"),
        ("zstd", zstd.compress(b"\0" * 50_000_000), 413, "request_too_large"),
        ("br", brotli.compress(b"\0" * 50_000_000, quality=4), 413, "request_too_large"),
        ("gzip", packed(b" " * 900_000), 413, "request_too_large"),
    ],
)
def test_it_bounds_compressed_bodies(town: Town, key: str, encoding: str, data: bytes, status: int, code: str) -> None:
    answer = town.http.post(COMPLETIONS, content=data, headers=bearer(key) | {"content-encoding": encoding})
    refused(answer, status, "invalid_request_error", code)


def test_it_refuses_bodies_over_the_limit(town: Town, key: str) -> None:
    large = json.dumps(body(text="x" * 2**20)).encode()
    refused(
        town.http.post(COMPLETIONS, content=large, headers=bearer(key)),
        413,
        "invalid_request_error",
        "request_too_large",
    )


def test_it_refuses_bodies_of_too_many_values(town: Town, key: str) -> None:
    bomb = b'{"model":"sandbox/echo","metadata":[%s]}' % b",".join([b"{}"] * 250_000)
    answer = town.http.post(COMPLETIONS, content=bomb, headers=bearer(key))
    refused(answer, 400, "invalid_request_error", "invalid_json")
    assert "values" in answer.json()["error"]["message"]
