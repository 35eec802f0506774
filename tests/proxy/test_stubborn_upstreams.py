"""Upstreams that say more than they may, or what nobody can read: nobody pays for what was never allowed unawares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from billing.meters import Usage
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Asked
from proxy.dialects.tool_indexes import ToolIndexes
from proxy.json_bounds import laborious
from tests.deadline import until
from tests.proxy.stubborn import DONE, USAGE, Stubborn, chunk, counted, whole
from tests.proxy.town import Town, bearer

TEXTS = {
    "anthropic": b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word "}}\n\n',
    "gemini": b'data: {"candidates": [{"content": {"parts": [{"text": "word "}], "role": "model"}}]}\n\n',
}
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stubborn() -> Iterator[Stubborn]:
    upstream = Stubborn()
    yield upstream
    upstream.close()


def ready(town: Town, key: str, model: str) -> str:
    """The model, once every gateway process sells it."""
    until(lambda: all(town.fresh_get(f"/v1/models/{model}", key).status_code == 200 for _ in range(8)))
    return model


@pytest.mark.parametrize("stream", [False, True])
def test_an_estimate_is_never_more_than_the_output_limit(
    town: Town, key: str, stubborn: Stubborn, stream: bool
) -> None:
    text = [chunk(""), chunk("x" * 900), chunk(None, "stop"), DONE]
    model = stubborn.offer(town, f"untold-{stream}", lambda asked: text if asked else [whole("x" * 9000)], limit=20)
    answer = town.post(key, ready(town, key, model), stream=stream, n=2)
    event = town.event(answer.headers["x-request-id"])
    assert (event["basis"], event["output"]) == ("estimated", 40)
    assert event["cost"] <= event["hold"]


def endless(text: str, usage: bool = False) -> Iterator[bytes]:
    yield chunk("")
    for _ in range(3000):
        yield chunk(text) * 100
    yield chunk(None, "stop")
    yield from [counted({"prompt_tokens": 10, "completion_tokens": 300_000, "total_tokens": 300_010})] if usage else []
    yield DONE


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_stream_that_says_more_than_it_may_is_cut(town: Town, key: str, stubborn: Stubborn, path: str) -> None:
    name = path.replace("/", "-")
    model = stubborn.offer(town, name, lambda _: endless("word ", usage=True), limit=4096)
    asked = {"model": ready(town, key, model), "stream": True, "max_tokens": 1000}
    said = {"input": "Hello"} if "responses" in path else {"messages": [{"role": "user", "content": "Hello"}]}
    answer = town.http.post(path, json={**asked, **said}, headers={**bearer(key), "x-max-cost": "0.0005"})
    event = town.event(answer.headers["x-request-id"])
    assert (event["finish_reason"], event["basis"]) == ("length", "estimated")
    assert event["cost"] <= event["hold"] <= 500_000_000
    assert len(answer.content) < 1_000_000
    assert any(end in answer.content for end in (b'"length"', b'"max_tokens"', b"response.incomplete"))
    until(lambda: name in stubborn.broken_off)


@pytest.mark.parametrize(
    ("delta", "members"),
    [
        ({"content": "abc "}, {"logprobs": {"content": [{"token": "abc ", "logprob": -1.5, "bytes": [97, 98] * 40}]}}),
        ({"content": "你\n"}, {}),
        ({"tool_calls": [{"index": 0, "type": "function", "function": {"arguments": '{"'}}]}, {}),
    ],
)
def test_a_stream_within_its_limit_is_not_cut_whatever_is_around_its_words(
    delta: dict[str, Any], members: dict[str, Any]
) -> None:
    stream = DIALECTS["chat", "openai"].stream(Asked("chatcmpl-1", "m", False, 128_000))
    stream.most_bytes = 4000 * 8
    stream.feed(chunk(""))
    choice = {"index": 0, "delta": delta, "finish_reason": None, **members}
    said = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    event = b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n"
    for _ in range(40):
        stream.feed(event * 100)
    assert stream.feed(event)
    out = b"".join(stream.feed(event * 100) for _ in range(400))
    assert out.count(b'"finish_reason":"length"') == 1


@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
def test_a_stream_of_every_dialect_is_cut(dialect: str) -> None:
    stream = DIALECTS["chat", dialect].stream(Asked("chatcmpl-1", "m", False, 128_000))
    stream.most_bytes = 1000
    out = b"".join(stream.feed(TEXTS[dialect]) for _ in range(300))
    assert out.count(b'"content":"word "') == 201
    assert out.count(b'"finish_reason":"length"') == 1
    assert stream.done


def test_a_native_stream_is_cut_within_its_block() -> None:
    stream = DIALECTS["messages", "anthropic"].stream(Asked("msg_1", "m", False, 128_000))
    stream.most_bytes = 1000
    out = b"".join(stream.feed(TEXTS["anthropic"]) for _ in range(1000))
    assert 200 < out.count(b"word ") < 450
    assert out.count(b'{"type":"content_block_stop","index":0}') == 1
    assert b'"stop_reason":"max_tokens"' in stream.tail(Usage(output=1), {})


def test_tool_calls_without_indexes_are_numbered_in_time() -> None:
    numbering = ToolIndexes()
    for number in range(50_000):  # took minutes when each new call looked at all before it
        delta: dict[str, Any] = {"tool_calls": [{"id": f"call_{number}", "function": {"name": "f", "arguments": "{}"}}]}
        numbering.repair(delta)
        assert delta["tool_calls"][0]["index"] == number


def test_an_answer_of_very_many_values_is_refused_and_holds_nobody_up(town: Town, key: str, stubborn: Stubborn) -> None:
    model = stubborn.offer(town, "many", lambda _: [b'{"zz":[' + b"[]," * 20_000_000 + b'0],"choices":[]}'])
    answer = town.post(key, ready(town, key, model))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_gateway")
    assert "too many values" in answer.json()["error"]["message"]
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["cost"]) == ("voided", 0)


def test_large_answers_are_read() -> None:
    vectors = b'{"data":[' + (b'{"embedding":[' + b"0.123," * 3071 + b"0]},") * 2047 + b'{"embedding":[0]}]}'
    odds = b'{"content":[' + (b'{"token":"a","logprob":-1.2,"bytes":[97,98,99]},' * 21) * 20_000 + b"0]}"
    assert not laborious(vectors)
    assert not laborious(odds)
    assert not laborious(b'{"content":"' + b"x,y," * 8_000_000 + b'"}')
    assert laborious(b"[" + b"[]," * 1_000_001)
    assert laborious(b"[" + b"0," * 7_000_001)


def event_of(said: bytes, *, compact: bool) -> bytes:
    return chunk("SAID", compact=compact).replace(b"SAID", said)


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("said", [rb"\ud83d", rb"x\uDE00", b"\xff\xfe", rb"\ud83d!"])
def test_a_broken_character_in_a_stream_is_mended(said: bytes, compact: bool) -> None:
    stream = DIALECTS["chat", "openai"].stream(Asked("chatcmpl-1", "m", False, 1000))
    stream.feed(chunk("", compact=compact))
    stream.feed(event_of(b"one", compact=compact))
    out = stream.feed(event_of(said, compact=compact))
    assert stream.failure is None
    told = json.loads(out.removeprefix(b"data: "))["choices"][0]["delta"]["content"]
    assert "\ufffd" in told
    assert told.encode() in orjson.dumps(told)
    assert stream.feed(event_of(rb"\ud83d\ude00 \u00e9", compact=compact))
    assert stream.failure is None


@pytest.mark.parametrize("said", [rb"\ud83d", b"\xff"])
def test_a_broken_character_is_mended_in_every_other_answer(said: bytes) -> None:
    native = DIALECTS["messages", "anthropic"].stream(Asked("msg_1", "m", False, 1000))
    for _ in range(2):
        out = native.feed(TEXTS["anthropic"].replace(b"word ", said))
        assert "\ufffd" in json.loads(out.split(b"data: ")[1])["delta"]["text"]
    gemini = DIALECTS["chat", "gemini"].stream(Asked("chatcmpl-1", "m", False, 1000))
    assert "\ufffd".encode() in gemini.feed(TEXTS["gemini"].replace(b"word ", said))
    answer = DIALECTS["chat", "openai"].answer(whole("SAID").replace(b"SAID", said), Asked("c", "m", False, 1000))
    assert answer.body["choices"][0]["message"]["content"] == "\ufffd"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/completions"])
def test_an_answer_too_deep_to_be_told_costs_nothing(town: Town, key: str, stubborn: Stubborn, path: str) -> None:
    deep = json.loads("[" * 253 + "]" * 253)
    model = stubborn.offer(town, "deep" + path.replace("/", "-"), lambda _: [whole("x", zz=deep, usage=USAGE)])
    asked = {"model": ready(town, key, model), "messages": [{"role": "user", "content": "Hello"}]}
    answer = town.http.post(path, json=asked, headers=bearer(key))
    assert answer.status_code == 502
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["cost"]) == ("voided", 0)


def test_what_an_upstream_used_beyond_its_limit_is_charged_shown_and_told(
    town: Town, key: str, stubborn: Stubborn
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 50_000, "total_tokens": 50_010}
    model = stubborn.offer(town, "greedy", lambda _: [whole("y" * 200_000, usage=usage)])
    answer = town.post(key, ready(town, key, model))
    event = town.event(answer.headers["x-request-id"])
    assert (event["basis"], event["cost"]) == ("exact", 50_010 * 10**6)
    assert event["cost"] > event["hold"]
    findings = "SELECT after, times FROM proxy_finding WHERE kind = 'overrun' AND subject LIKE '%%greedy%%'"
    for _ in range(2):  # what was told once is not told again
        run = "from django.utils.timezone import now; from proxy import overruns; overruns.find(now=now())"
        town.product.manage("shell", "-c", run)
        ((after, times),) = town.product.query(findings)
        assert times == 1
        assert after.startswith("1 calls, by up to 0.0")
