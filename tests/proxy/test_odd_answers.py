"""Answers whose JSON has a shape that nobody foresaw: an error of the upstream's, told as such, and no key in it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest

from billing.meters import Usage
from proxy import chat, relay
from proxy.dialects import DIALECTS, failures
from proxy.dialects.shape import Answer, Asked, MalformedAnswer
from proxy.errors import GatewayError, Unavailable
from proxy.http_client import Pool
from proxy.live import LiveStream
from proxy.surfaces import SURFACES
from proxy.upstream import TROUBLE, Kind, failure_of, judge
from tests.proxy.test_http_client import CHUNKED, REQUEST, saying, use

DEEP: Any = json.loads("[" * 300 + "]" * 300)
CHAT = chat.parse(b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}')
KEYS = [
    "0123456789abcdef0123456789abcdef",
    "xai-" + "aB3" * 20,
    "gsk_" + "Zz9" * 17,
    "sk-ant-api03-abcdef",
]


def answer(message: dict[str, Any], **members: Any) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x", **message}, "finish_reason": "stop"}
    body = {"id": "resp_1", "created": 1, "choices": [choice], "usage": None, **members}
    return Answer(body, Usage(input=1, output=1), False, "stop")


@pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/responses"])
@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_details": [{"data": "d", "format": "f", "type": DEEP}]},
        {"reasoning_details": -1},
        {"tool_calls": "call"},
        {"tool_calls": [{"id": "t", "function": 5}]},
        {"content": DEEP},
    ],
)
def test_what_cannot_be_told_is_the_upstreams_fault(path: str, message: dict[str, Any]) -> None:
    with contextlib.suppress(Unavailable):  # some surfaces have no use for what is odd
        orjson.loads(SURFACES[path].answer(CHAT, answer(message), Usage(input=1, output=1), {}))


def test_a_member_nested_too_deep_to_be_written_is_the_upstreams_fault() -> None:
    with pytest.raises(Unavailable):
        SURFACES["/chat/completions"].answer(CHAT, answer({}, extra=DEEP), Usage(input=1, output=1), {})


@pytest.mark.parametrize("error", [TypeError("int is not iterable"), KeyError("x"), MalformedAnswer("x")])
def test_an_answer_that_trips_its_reader_is_an_attempt_that_failed(error: Exception) -> None:
    assert isinstance(error, TROUBLE)
    failure = failure_of(error)
    assert (failure.error.status, failure.kind, failure.next_route) == (502, Kind.BROKEN, True)


@pytest.mark.parametrize("key", KEYS)
def test_no_key_shows_in_what_an_upstream_says(key: str) -> None:
    said = {"message": f"Incorrect: '{key}'.", "code": key, "param": key}
    found = failures.message_of(orjson.dumps({"error": said}))
    assert key not in f"{found.message}{found.code}{found.param}"
    assert found.message == "Incorrect: '…'."
    shown: GatewayError = failures.embedded({"error": said})
    assert key not in shown.message


def test_what_clients_know_by_name_stays_in_what_an_upstream_says() -> None:
    said = "No answer to call_a1B2c3D4e5F6g7H8i9J0k1L2 by accounts/acme/models/llama-v3p1-405b-instruct, messages[2]."
    assert failures.bounded(said) == said


def test_an_error_whose_message_is_nested_too_deep_says_nothing() -> None:
    assert failures.message_of(b'{"error": {"message": %s}}' % json.dumps(DEEP).encode()).message == ""


def test_a_wrong_key_is_the_operators_whatever_the_status() -> None:
    said = failures.message_of(b'{"code": "Invalid argument", "error": "Incorrect API key provided: xa***yz."}')
    failure = judge(400, said, None)
    assert (failure.error.status, failure.kind, failure.certain) == (502, Kind.AUTH, True)
    assert "xa***yz" not in failure.error.message


async def test_a_chunk_that_trips_its_reader_ends_the_stream_with_an_error() -> None:
    plain = b'{"id": "x", "model": "m", "created": 1, "choices": [{"index": 0, "delta": {"content": "Hi"}}]%s}'
    odd = plain % (b', "odd": ' + json.dumps(DEEP).encode())
    first, second = (b"data: %s\n\n" % chunk for chunk in (plain % b"", odd))
    sent: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["body"])

    async def work(pool: Pool) -> None:
        translator = DIALECTS["chat", "openai"].stream(Asked("chatcmpl-1", "m", False, 1000))
        live = LiveStream(
            id="1", tenant_id=1, api_key_id=1, drain=False, idle_timeout_s=5, send=send, translator=translator
        )
        connection = await pool.send(REQUEST, 10)
        await relay.pump(translator.feed(first), connection, translator, live)
        assert translator.failure is not None
        assert translator.failure.status == 502
        pool.drop(connection)

    await use(saying(CHUNKED + b"%x\r\n%s\r\n" % (len(second), second)), work)
    assert b"Hi" in sent[0]
