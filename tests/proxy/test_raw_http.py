"""Requests byte by byte, as no client library would send them: framing, old versions, odd paths, methods, headers."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.proxy.town import Town, body, receive

pytestmark = pytest.mark.timeout(180)

DATA = json.dumps(body()).encode()
LENGTH = b"content-length: %d\r\n" % len(DATA)
CHUNKED = b"transfer-encoding: chunked\r\n"
HELLO = b'"content":"Hello there"'


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came; ``rest`` is what came after it."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes
    rest: bytes = b""

    @property
    def error(self) -> dict[str, Any]:
        """The error of a refusal in OpenAI's shape."""
        assert self.headers["content-type"] == "application/json", self
        assert self.headers["x-request-id"].startswith("req_")
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        return error


def head(key: str, target: str = "/v1/chat/completions", method: str = "POST", version: str = "1.1") -> bytes:
    return f"{method} {target} HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode("latin-1")


def chunked(data: bytes, size: int) -> bytes:
    parts = (data[start : start + size] for start in range(0, len(data), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def parsed(received: bytes) -> Answer:
    """The first answer of what was received: its body by length, by chunks, or all that follows."""
    top, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    version, status = first.split(" ")[:2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "content-length" in headers:
        size = int(headers["content-length"])
        return Answer(version, int(status), headers, rest[:size], rest[size:])
    if headers.get("transfer-encoding") == "chunked":
        end = rest.index(b"0\r\n\r\n") + 5
        return Answer(version, int(status), headers, rest[:end], rest[end:])
    return Answer(version, int(status), headers, rest)


def ask(town: Town, *sent: bytes) -> Answer:
    """Send, unless the server closes before, read one answer, and close."""
    with socket.create_connection(("127.0.0.1", town.product.options.port), timeout=15) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in sent:
                connection.sendall(part)
        return read(connection)


def read(connection: socket.socket) -> Answer:
    """One answer with a length, or all up to the end of the connection."""
    received = b""
    while True:
        part = connection.recv(65536)
        received += part
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", received.partition(b"\r\n\r\n")[0])
        whole = length and len(received.partition(b"\r\n\r\n")[2]) >= int(length[1])
        if not part or whole:
            return parsed(received)


# -- framing


@pytest.mark.parametrize(
    "framed",
    [
        chunked(DATA, 1) + b"0\r\n\r\n",
        chunked(DATA, 7) + b"0\r\n\r\n",
        b'%X;name="a;b";other\r\n%s\r\n0;last\r\n\r\n' % (len(DATA), DATA),
        b"%x\r\n%s\r\n0\r\nx-checksum: 1\r\nauthorization: Bearer other\r\n\r\n" % (len(DATA), DATA),
        b"00000%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA),
    ],
    ids=["bytes", "sevens", "extensions", "trailers", "zeros"],
)
def test_it_takes_chunked_bodies(town: Town, key: str, framed: bytes) -> None:
    answer = ask(town, head(key) + CHUNKED + b"\r\n", framed)
    assert (answer.status, HELLO in answer.body) == (200, True)


def test_it_takes_a_body_in_packets_of_a_byte(town: Town, key: str) -> None:
    answer = ask(town, *(bytes([byte]) for byte in head(key) + LENGTH + b"\r\n" + DATA))
    assert HELLO in answer.body


@pytest.mark.parametrize("rest", [b"zz\r\nabc", b"-1\r\nabc", b"f" * 20 + b"\r\nabc", b"3\r\nabcdef\r\n"])
def test_it_tells_who_broke_the_body_off(town: Town, key: str, rest: bytes) -> None:
    answer = ask(town, head(key) + CHUNKED + b"\r\n" + rest)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request_body")


@pytest.mark.parametrize("expect", [b"expect: 100-continue\r\n", b"Expect: 100-Continue\r\n"])
def test_it_asks_those_who_wait_for_their_body(town: Town, key: str, expect: bytes) -> None:
    with socket.create_connection(("127.0.0.1", town.product.options.port), timeout=15) as connection:
        connection.sendall(head(key) + LENGTH + expect + b"\r\n")
        assert receive(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(DATA)
        assert HELLO in read(connection).body


@pytest.mark.parametrize(
    ("sent", "status"),
    [(head("sk-tg-none") + LENGTH, 401), (head("") + LENGTH, 401)],
    ids=["wrong key", "no key"],
)
def test_it_refuses_before_the_body_is_sent(town: Town, sent: bytes, status: int) -> None:
    answer = ask(town, sent + b"expect: 100-continue\r\n\r\n")
    assert (answer.status, answer.error["code"]) == (status, "invalid_api_key")


def test_it_refuses_a_large_body_while_it_is_sent(town: Town, key: str) -> None:
    answer = ask(town, head(key) + CHUNKED + b"\r\n", *[b"10000\r\n%s\r\n" % (b" " * 65536)] * 17)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


def test_it_refuses_a_large_body_before_it_is_sent(town: Town, key: str) -> None:
    answer = ask(town, head(key) + b"content-length: 99999999\r\nexpect: 100-continue\r\n\r\n")
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


def test_old_clients_are_answered(town: Town, key: str) -> None:
    """HTTP/1.0: the connection ends with the answer, unless it was to be kept."""
    old = head(key, version="1.0") + LENGTH
    closed = parsed(town.raw(old + b"\r\n" + DATA))
    assert (closed.version, closed.status, HELLO in closed.body) == ("HTTP/1.0", 200, True)
    with socket.create_connection(("127.0.0.1", town.product.options.port), timeout=15) as connection:
        for _ in range(2):
            connection.sendall(old + b"connection: keep-alive\r\n\r\n" + DATA)
            kept = read(connection)
            assert (kept.status, kept.headers["connection"]) == (200, "keep-alive")


@pytest.mark.parametrize("keep", [b"", b"connection: keep-alive\r\n"])
def test_a_stream_to_an_old_client_ends_with_the_connection(town: Town, key: str, keep: bytes) -> None:
    data = json.dumps(body(stream=True)).encode()
    old = parsed(town.raw(head(key, version="1.0") + keep + b"content-length: %d\r\n\r\n" % len(data) + data))
    assert old.body.startswith(b"data: {")
    assert old.body.endswith(b"data: [DONE]\n\n")
    assert "transfer-encoding" not in old.headers


def test_pipelined_requests_are_answered_in_their_order(town: Town, key: str) -> None:
    stream = json.dumps(body(stream=True, text="first")).encode()
    plain = json.dumps(body(text="second")).encode()
    sent = b"".join(head(key) + b"content-length: %d\r\n\r\n" % len(data) + data for data in (stream, plain))
    received = town.raw(sent + b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    first = parsed(received)
    second = parsed(first.rest)
    third = parsed(second.rest)
    assert b"first" in first.body
    assert b"second" in second.body
    assert (first.status, second.status, third.status) == (200, 200, 401)


@pytest.mark.parametrize(
    "lengths",
    [
        b"content-length: -3\r\n",
        b"content-length: +3\r\n",
        b"content-length: 0x3\r\n",
        b"content-length:\r\n",
        b"content-length: 3, 3\r\n",
        b"content-length: 3\r\ncontent-length: 4\r\n",
        b"content-length: " + b"9" * 30 + b"\r\n",
        b"content-length: " + b"9" * 5000 + b"\r\n",
        b"transfer-encoding: identity\r\ncontent-length: 3\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding: chunked, gzip\r\n",
    ],
)
def test_lengths_that_are_none_end_the_connection(town: Town, key: str, lengths: bytes) -> None:
    received = town.raw(head(key) + lengths + b"\r\n" + DATA)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_chunks_win_over_a_length_and_end_the_connection(town: Town, key: str) -> None:
    """RFC 9112, 6.3: nobody between us and the client may see another request in the rest."""
    received = town.raw(head(key) + b"content-length: 5\r\n" + CHUNKED + b"\r\n" + chunked(DATA, 99) + b"0\r\n\r\n")
    answer = parsed(received)
    assert (answer.status, answer.headers["connection"], answer.rest) == (200, "close", b"")


def test_a_body_shorter_than_its_length_is_waited_for_and_refused(town: Town, key: str) -> None:
    before = len(town.events())
    started = time.monotonic()
    answer = ask(town, head(key) + b"content-length: 1000\r\n\r\n" + DATA)
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert 4 < time.monotonic() - started < 12
    assert len(town.events()) == before


def test_a_body_that_drips_is_refused_in_time(town: Town, key: str) -> None:
    with socket.create_connection(("127.0.0.1", town.product.options.port), timeout=0.2) as connection:
        connection.sendall(head(key) + CHUNKED + b"\r\n")
        received = b""
        deadline = time.monotonic() + 12
        while not received and time.monotonic() < deadline:
            connection.sendall(b"1\r\n \r\n")
            try:
                received = connection.recv(65536)
            except TimeoutError:
                continue
        assert parsed(received).error["code"] == "request_timeout"


@pytest.mark.parametrize("length", [b"", b"content-length: 10\r\n"], ids=["none", "short"])
def test_a_body_longer_than_its_length_is_not_read_on(town: Town, key: str, length: bytes) -> None:
    received = town.raw(head(key) + length + b"\r\n" + DATA)
    first = parsed(received)
    assert (first.status, first.error["code"]) == (400, "invalid_json")
    assert first.rest.startswith(b"HTTP/1.1 400 "), "what follows is no request"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-large: " + b"x" * 2**20 + b"\r\n\r\n", 431),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x%d: y\r\n" % i for i in range(200)) + b"\r\n", 431),
        (b"GET /v1/" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /v1/mod\0els HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /v1/models\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /v1/mod els HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx : y\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET /v1/models HTTP/9.9\r\nhost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
    ids=["large", "many", "long", "NUL", "high", "space", "NUL in header", "space in name", "folded", "version", "TLS"],
)
def test_it_survives_requests_that_are_none(town: Town, key: str, sent: bytes, status: int) -> None:
    """The server itself refuses these, with a status and no body, and closes."""
    answer = parsed(town.raw(sent))
    assert (answer.status, answer.body) == (status, b"")
    assert town.post(key).status_code == 200


# -- paths, methods and headers


@pytest.mark.parametrize(
    "target",
    [
        "/v1/v1/chat/completions",
        "/V1/chat/completions",
        "//v1/chat/completions",
        "/v1//chat///completions//",
        "/v1/chat/completions/",
        "/chat/completions",
        "/v1/chat/completions?api-version=2024-02-01",
        "/v1/chat%2Fcompletions",
        "http://elsewhere.example:8000/v1/chat/completions",
        "https://user:password@elsewhere.example/v1/chat/completions?x",
        "/openai/v1/chat/completions",
        "/openai/deployments/talker/chat/completions?api-version=2024-10-21",
        "/openai/deployments/sandbox%2Fecho/chat/completions?api-version=2024-10-21",
        "/openai/deployments/sandbox/echo/chat/completions",
    ],
)
def test_one_endpoint_has_many_addresses(town: Town, key: str, target: str) -> None:
    keyed = head(key, target).replace(b"authorization: Bearer", b"api-key:")
    for sent in (head(key, target), keyed):
        assert HELLO in ask(town, sent + LENGTH + b"\r\n" + DATA).body


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/chat/completions",
        "/API/v1/chat/completions/",
        "/api//v1/chat/completions",
        "//api//v1/v1/chat/completions",
    ],
)
def test_the_envelope_has_some_too(town: Town, key: str, target: str) -> None:
    answer = ask(town, head(key, target) + LENGTH + b"\r\n" + DATA)
    assert json.loads(answer.body)["success"] is True


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "target",
    [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/V1/nothing",
        "/v1x",
        "/v1/%00",
        "/v1/a%0d%0ab",
        "/v1/%ff%fe",
        "/v1/..%2f..%2fadmin",
        "/v1/chat",
        "/openai/nothing",
        "/openai/deployments/talker/nothing",
        "/audio/speech",
        "/files",
        "//nothing",
        "*",
    ],
)
def test_other_paths_are_told_so(town: Town, key: str, method: str, target: str) -> None:
    answer = ask(town, head(key, target, method) + b"content-length: 0\r\n\r\n")
    assert (answer.status, answer.error["code"]) == (404, None)
    assert "location" not in answer.headers
    assert not set(answer.error["message"]) & {"\0", "\r", "\n"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "post", "FETCH"])
def test_other_methods_are_told_which_is_allowed(town: Town, key: str, method: str) -> None:
    answer = parsed(town.raw(head(key, method=method) + b"origin: https://a.example\r\nconnection: close\r\n\r\n"))
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert (answer.body == b"") if method == "HEAD" else answer.error["code"] == "method_not_supported"


@pytest.mark.parametrize(
    "target", ["/v1/chat/completions", "/v1/nothing", "/api/v1/chat/completions", "/v1/models", "*"]
)
def test_preflights_need_no_key(town: Town, target: str) -> None:
    wanted = b"access-control-request-headers: x-stainless-lang, authorization\r\n"
    sent = head("", target, "OPTIONS") + b"origin: https://a.example\r\n" + wanted + b"connection: close\r\n\r\n"
    answer = parsed(town.raw(sent))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "x-stainless-lang, authorization"


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"content-type: text/plain\r\n",
        b"content-type: application/x-www-form-urlencoded\r\n",
        b"content-type: multipart/form-data\r\n",
        b"content-type: \xff\xfe\r\n",
        b"content-type: application/json; charset=utf-16\r\ncontent-type: text/html\r\n",
        b"accept: text/html\r\naccept-encoding: \x80\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        b"x-request-id: \xf0\x9f\x98\x80\r\ncookie: a=\xff\r\n",
        b"host: second\r\n",
        b"x-forwarded-for: 1.2.3.4, \xc3\xa9\r\nforwarded: for=_x\r\n",
        b"content-encoding:\r\n",
        b"expect: the-unexpected\r\n",
    ],
)
def test_odd_headers_change_nothing(town: Town, key: str, lines: bytes) -> None:
    assert HELLO in ask(town, head(key) + lines + LENGTH + b"\r\n" + DATA).body


# -- JSON


def posted(town: Town, key: str, data: bytes) -> Answer:
    return ask(town, head(key) + b"content-length: %d\r\n\r\n" % len(data) + data)


@pytest.mark.parametrize(
    "member",
    [
        b'"temperature":NaN',
        b'"temperature":Infinity',
        b'"temperature":-Infinity',
        b'"temperature":1e400',
        b'"seed":' + b"1" * 5000,
        b'"x":' + b"[" * 5000 + b"]" * 5000,
        b'"x":' + b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'"x":' + b"[" * 100_000,
        b'"x":"\xff"',
        b'"x":"\n"',
        b'"x":1,',
        b"'x':1",
    ],
)
def test_json_that_is_none_is_refused(town: Town, key: str, member: bytes) -> None:
    answer = posted(town, key, DATA[:-1] + b"," + member + b"}")
    assert (answer.status, answer.error["code"]) == (400, "invalid_json")


def test_half_a_character_becomes_the_sign_for_none(town: Town, key: str) -> None:
    data = json.dumps(body(text="a half \ud83d of it")).encode()
    answer = posted(town, key, data)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "a half � of it"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"user": "a\0b"}, "user"),
        ({"model": "sandbox/echo\0"}, "model"),
        ({"safety_identifier": "\0"}, "safety_identifier"),
        ({"prompt_cache_key": "\0"}, "prompt_cache_key"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "call\0", "type": "function", "function": {}}]}]},
            "messages[0].tool_calls[0].id",
        ),
    ],
)
def test_names_and_ids_have_no_nul(town: Town, key: str, members: dict[str, Any], param: str) -> None:
    answer = posted(town, key, json.dumps(body() | members).encode())
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_value", param)


def test_only_assistants_call_tools(town: Town, key: str) -> None:
    """An upstream that stumbles over them would count as broken, for everybody."""
    answer = posted(
        town,
        key,
        json.dumps(body() | {"messages": [{"role": "user", "content": "x", "tool_calls": {"a": 1}}]}).encode(),
    )
    assert (answer.status, answer.error["param"]) == (400, "messages[0].tool_calls")


def test_an_azure_path_names_the_model_where_the_body_does_not(town: Town, key: str) -> None:
    path = "/openai/deployments/sandbox%2Fecho/chat/completions?api-version=2024-10-21"
    asked = {"messages": [{"role": "user", "content": "one two"}]}
    answer = town.http.post(path, json=asked, headers={"api-key": key})
    assert (answer.status_code, answer.json()["model"]) == (200, "sandbox/echo")
    named = town.http.post(path, json={**asked, "model": "sandbox/fixed"}, headers={"api-key": key})
    assert named.json()["model"] == "sandbox/fixed"
    assert town.http.post(path, json={}, headers={"api-key": key}).json()["error"]["param"] == "messages"
