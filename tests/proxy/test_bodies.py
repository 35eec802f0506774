"""Bodies and bytes: compressed, chunked, too large, never complete, and requests that are none."""

from __future__ import annotations

import json
import socket
import zlib

import pytest

from tests.proxy.refusals import refused
from tests.proxy.town import Town, bearer, body

pytestmark = pytest.mark.timeout(180)
COMPLETIONS = "/v1/chat/completions"


def packed(data: bytes, window: int = 31) -> bytes:
    stream = zlib.compressobj(wbits=window)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15), ("deflate", -15), ("GZIP", 31)])
def test_it_takes_compressed_bodies(town: Town, key: str, encoding: str, window: int) -> None:
    data = packed(json.dumps(body()).encode(), window)
    answer = town.http.post(COMPLETIONS, content=data, headers=bearer(key) | {"content-encoding": encoding})
    assert answer.json()["choices"][0]["message"]["content"] == "Hello there"


@pytest.mark.parametrize(
    ("encoding", "data", "status", "code"),
    [
        ("snappy", b"x", 415, "unsupported_content_encoding"),
        ("gzip, gzip", b"x", 415, "unsupported_content_encoding"),
        ("gzip", b"no gzip at all", 400, "invalid_content_encoding"),
        ("gzip", packed(b'{"a":1}')[:-9], 400, "invalid_content_encoding"),
        ("gzip", packed(b"\0" * 50_000_000), 413, "request_too_large"),
        ("gzip", packed(b" " * 900_000), 413, "request_too_large"),
    ],
)
def test_it_bounds_compressed_bodies(town: Town, key: str, encoding: str, data: bytes, status: int, code: str) -> None:
    answer = town.http.post(COMPLETIONS, content=data, headers=bearer(key) | {"content-encoding": encoding})
    refused(answer, status, "invalid_request_error", code)


def test_it_refuses_bodies_over_the_limit_whatever_their_length_says(town: Town, key: str) -> None:
    large = json.dumps(body(text="x" * 2**20)).encode()
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode()
    told = town.raw(head + b"content-length: 99999999\r\n\r\n", until_end=b"request_too_large")
    assert told.startswith(b"HTTP/1.1 413 ")
    pieces = [b"10000\r\n" + large[:65536] + b"\r\n"] * 20
    chunked = town.raw(head + b"transfer-encoding: chunked\r\n\r\n", *pieces, until_end=b"request_too_large")
    assert chunked.startswith(b"HTTP/1.1 413 ")
    refused(
        town.http.post(COMPLETIONS, content=large, headers=bearer(key)),
        413,
        "invalid_request_error",
        "request_too_large",
    )


@pytest.mark.parametrize("rest", [b"transfer-encoding: chunked\r\n\r\nzz\r\nabc"])
def test_it_tells_who_broke_the_body_off(town: Town, key: str, rest: bytes) -> None:
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode()
    answer = town.raw(head + rest, until_end=b"invalid_request_body")
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_it_takes_chunked_expecting_old_and_pipelined_requests(town: Town, key: str) -> None:
    data = json.dumps(body()).encode()
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode()
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:9], data[9:])) + b"0\r\n\r\n"
    assert b'"Hello there"' in town.raw(head + b"transfer-encoding: chunked\r\n\r\n" + pieces, until_end=b'"cost"')
    sized = b"content-length: %d\r\n" % len(data)
    expecting = town.raw(head + sized + b"expect: 100-continue\r\n\r\n", data, until_end=b'"cost"')
    assert b"HTTP/1.1 200 OK" in expecting
    old = town.raw(head.replace(b"HTTP/1.1", b"HTTP/1.0") + sized + b"\r\n" + data)
    assert old.startswith(b"HTTP/1.0 200 ")
    assert b'"Hello there"' in old
    two = town.raw(
        (head + sized + b"\r\n" + data) * 2 + b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert (two.count(b"HTTP/1.1 200 OK"), two.count(b"HTTP/1.1 401 ")) == (2, 1)


def test_a_stream_to_an_old_client_ends_with_the_connection(town: Town, key: str) -> None:
    data = json.dumps(body(stream=True)).encode()
    head = f"POST {COMPLETIONS} HTTP/1.0\r\nauthorization: Bearer {key}\r\ncontent-length: {len(data)}\r\n\r\n"
    old = town.raw(head.encode() + data)
    assert old.endswith(b"data: [DONE]\n\n")
    assert b"transfer-encoding" not in old.lower()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-large: " + b"x" * 2**20 + b"\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"GET /v1/mod\0els HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["large headers", "two lengths", "negative length", "NUL in the path", "NUL in a header", "TLS"],
)
def test_it_survives_requests_that_are_none(town: Town, key: str, request_bytes: bytes) -> None:
    answer = town.raw(request_bytes)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"401", b"404", b"431")
    assert town.post(key).status_code == 200


def test_a_body_that_never_comes_holds_nothing(town: Town, key: str) -> None:
    before = len(town.events())
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n"
    with pytest.raises(TimeoutError):
        slow_read(town, head.encode() + b'{"model"')
    assert len(town.events()) == before


def slow_read(town: Town, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", town.product.options.port), timeout=0.5) as connection:
        connection.sendall(sent)
        return connection.recv(100)
