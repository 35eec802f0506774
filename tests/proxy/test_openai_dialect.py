"""The OpenAI dialect: requests, whole answers, failures, and streams split at every byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from billing.meters import NOTHING, Usage
from proxy import chat
from proxy.dialects.failures import bounded
from proxy.dialects.openai import OpenAI
from proxy.dialects.openai_stream import OpenAIStream
from proxy.dialects.shape import Asked, MalformedAnswer
from proxy.errors import GatewayError
from proxy.sse import MOST_PENDING

OURS = "chatcmpl-" + "0" * 24
ASKED = Asked(OURS, "ours/model@2026", include_usage=False, context_window=1_000_000)
WITH_USAGE = Asked(OURS, "ours/model@2026", include_usage=True, context_window=1_000_000)
ID, MODEL = "chatcmpl-THEIRS", "theirs-1"
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
READ = Usage(input=6, cache_read=3, output=3, reasoning=1)


def chunk(delta: dict[str, Any] | None, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {"id": ID, "object": "chat.completion.chunk", "created": 7, "model": MODEL, "choices": choices, **more}


def event(data: Any, end: str = "\n\n") -> bytes:
    return b"data: " + orjson.dumps(data) + end.encode()


DONE = b"data: [DONE]\n\n"
ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, "stop")
TALK = [ROLE, *(chunk({"content": text}) for text in ("Hé", "llo ", "漢字 ", "🎉", "!"))]
USAGE_CHUNK = chunk(None, usage=USAGE)
LITERALS = (
    f'"id":"{ID}" and "model":"{MODEL}", \n\ndata: [DONE]\n\n "usage":{{"prompt_tokens":1}} "error": \u2028\u2029'
)
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}


def tool(arguments: str) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]})


STREAMS: dict[str, bytes] = {
    "plain": b"".join(map(event, [*TALK, STOP, USAGE_CHUNK])) + DONE,
    "usage null on every chunk": b"".join(event({**c, "usage": None}) for c in [*TALK, STOP])
    + event(USAGE_CHUNK)
    + DONE,
    "literals": b"".join(map(event, [ROLE, *[chunk({"content": LITERALS})] * 3, STOP, USAGE_CHUNK])) + DONE,
    "crlf": b"".join(event(c, "\r\n\r\n") for c in [*TALK, STOP, USAGE_CHUNK]) + b"data: [DONE]\r\n\r\n",
    "cr": b"".join(event(c, "\r\r") for c in [*TALK, STOP, USAGE_CHUNK]) + b"data: [DONE]\r\r",
    "comments": b": hi\n\n" + b"".join(b": ping\n\n" + event(c) + b":\n" for c in [*TALK, STOP, USAGE_CHUNK]) + DONE,
    "other fields": b"".join(b"event: x\nid: 7\nretry: 1\n" + event(c) for c in [*TALK, STOP, USAGE_CHUNK]) + DONE,
    "no space": b"".join(event(c).replace(b"data: ", b"data:") for c in [*TALK, STOP, USAGE_CHUNK])
    + b"data:[DONE]\n\n",
    "no done": b"".join(map(event, [*TALK, STOP, USAGE_CHUNK])),
    "no blank line": (b"".join(map(event, [*TALK, STOP, USAGE_CHUNK]))).rstrip(b"\n"),
    "usage in the finish": b"".join(map(event, [*TALK, {**STOP, "usage": USAGE}])) + DONE,
    "usage twice": b"".join(map(event, [*TALK, {**STOP, "usage": {**USAGE, "completion_tokens": 2}}, USAGE_CHUNK]))
    + DONE,
    "cumulative": b"".join(
        event({**c, "usage": {**USAGE, "completion_tokens": n, "completion_tokens_details": {"reasoning_tokens": 0}}})
        for n, c in enumerate([*TALK, STOP])
    )
    + event(USAGE_CHUNK)
    + DONE,
    "tools": b"".join(map(event, [chunk({"role": "assistant", "content": None}), chunk({"tool_calls": [CALL]})]))
    + b"".join(map(event, [tool('{"a'), tool('":1}'), chunk({}, "tool_calls"), USAGE_CHUNK]))
    + DONE,
    "two choices": b"".join(event(chunk({"content": t}, index=i)) for t in "abc" for i in (0, 1))
    + event(chunk({}, "stop"))
    + event(chunk({}, "length", 1))
    + event(USAGE_CHUNK)
    + DONE,
    "odd finish": b"".join(map(event, [*TALK, chunk({}, "end_turn"), USAGE_CHUNK])) + DONE,
    "azure": event(chunk(None, prompt_filter_results=[])) + b"".join(map(event, [*TALK, STOP, USAGE_CHUNK])) + DONE,
    "no delta": event({**chunk({}), "choices": [{"index": 0}]})
    + b"".join(map(event, [*TALK, STOP, USAGE_CHUNK]))
    + DONE,
    "spaced json": b"".join(
        b"data: " + json.dumps(c, ensure_ascii=False).encode() + b"\n\n" for c in [*TALK, STOP, USAGE_CHUNK]
    )
    + DONE,
    "wide json": b"".join(
        b"data: " + json.dumps(c).replace('": ', '":   ').encode() + b"\n\n" for c in [*TALK, STOP, USAGE_CHUNK]
    )
    + DONE,
    "two data lines": b"".join(
        b"data: " + json.dumps(c, indent=1).replace("\n", "\ndata: ").encode() + b"\n\n"
        for c in [*TALK, STOP, USAGE_CHUNK]
    )
    + DONE,
    "lines of no meaning": b"".join(b"data: ping\n\n" + event(c) for c in [*TALK, STOP, USAGE_CHUNK]) + DONE,
    "another model name midway": b"".join(map(event, TALK[:3]))
    + b"".join(map(event, [{**c, "model": "theirs-2", "id": "chatcmpl-2"} for c in [*TALK[3:], STOP, USAGE_CHUNK]]))
    + DONE,
}
"""Streams that end well, all billed as READ."""

BROKEN: dict[str, bytes] = {
    "truncated": b"".join(map(event, TALK)),
    "truncated in an event": b"".join(map(event, TALK)) + event(STOP)[:-20],
    "error chunk": b"".join(map(event, TALK)) + event({"error": {"message": "no more", "type": "server_error"}}),
    "error text": b"".join(map(event, TALK)) + event({"error": "no more"}),
    "error finish": b"".join(map(event, TALK)) + event(chunk({}, "error")),
    "garbage": b"".join(map(event, TALK)) + b"data: {garbage\n\n" + event(STOP) + DONE,
    "garbage without end": b"".join(map(event, TALK)) + b"data: 7\n\n" * 17 + event(STOP) + DONE,
    "a choice that is none": b"".join(map(event, TALK)) + event({**STOP, "choices": [7]}) + DONE,
}


class Read:
    """What a client and the books get of a stream, whatever way its bytes were cut."""

    def __init__(self, pieces: list[bytes], asked: Asked = WITH_USAGE) -> None:
        stream = OpenAIStream(asked)
        outs = [stream.feed(piece) for piece in pieces]
        if not stream.done and stream.failure is None:
            outs.append(stream.close())
        self.out = b"".join(outs)
        self.stream = stream
        self.usage, self.finish, self.failure = stream.usage, stream.finish_reason, stream.failure
        self.delivered = stream.delivered()
        assert all(out == b"" or out.endswith(b"\n\n") for out in outs), "only whole events leave"

    @property
    def events(self) -> list[dict[str, Any]]:
        blocks = self.out.split(b"\n\n")[:-1]
        assert all(block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block for block in blocks)
        return [orjson.loads(block[6:]) for block in blocks]

    @property
    def meaning(self) -> tuple[Any, ...]:
        return self.events, self.usage, self.finish, self.failure and self.failure.message, self.stream.usage_ignored


def every_split(data: bytes) -> Iterator[list[bytes]]:
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
    yield [data[place : place + 1] for place in range(len(data))]
    for width in (2, 3, 7, 64, 200):
        yield [data[place : place + width] for place in range(0, len(data), width)]


@pytest.mark.parametrize("name", STREAMS | BROKEN)
def test_its_streams_mean_the_same_however_they_are_cut(name: str) -> None:
    data = (STREAMS | BROKEN)[name]
    whole = Read([data])
    for pieces in every_split(data):
        assert Read(pieces).meaning == whole.meaning, len(pieces[0])


@pytest.mark.parametrize("name", STREAMS)
def test_its_fast_way_says_what_its_slow_way_says(name: str) -> None:
    data = STREAMS[name]
    slow = Read([data[place : place + 1] for place in range(len(data))])  # one event at a time
    first = data.index(b"\n", 1) + 2 if name != "cr" else len(data)
    for place in range(first, len(data), 11):
        assert Read([data[:first], data[first:place], data[place:]]).meaning == slow.meaning


@pytest.mark.parametrize("name", STREAMS)
def test_it_bills_and_ends_every_good_stream(name: str) -> None:
    read = Read([STREAMS[name]])
    assert read.usage == READ
    assert read.failure is None
    assert read.finish in ("stop", "length", "tool_calls")
    for each in read.events:
        assert (each["id"], each["model"], each["object"]) == (OURS, "ours/model@2026", "chat.completion.chunk")
        assert each["choices"]
        assert all(type(choice["delta"]) is dict for choice in each["choices"])
        assert not each.get("usage")


def test_it_leaves_texts_alone() -> None:
    read = Read([STREAMS["literals"]])
    assert [e["choices"][0]["delta"]["content"] for e in read.events[1:4]] == [LITERALS] * 3


@pytest.mark.parametrize("name", BROKEN)
def test_it_never_ends_a_broken_stream_well(name: str) -> None:
    read = Read([BROKEN[name]])
    assert isinstance(read.failure, GatewayError)
    assert read.failure.status == 502
    assert read.usage is None
    assert read.delivered >= 5


def test_it_strips_the_usage_chunk_unless_it_was_asked_for() -> None:
    plain, told = Read([STREAMS["plain"]], ASKED), Read([STREAMS["plain"]])
    assert plain.stream.tail(NOTHING, {"cost": {"amount": 1}}) == DONE
    assert plain.events == told.events
    tail = told.stream.tail(NOTHING, {"cost": {"amount": 0.5, "currency": "USD"}})
    assert tail.endswith(b"\n\n" + DONE)
    last = orjson.loads(tail.removesuffix(DONE).removeprefix(b"data: "))
    assert (last["choices"], last["usage"], last["cost"]["amount"]) == ([], USAGE, 0.5)
    assert (last["id"], last["model"]) == (OURS, "ours/model@2026")
    assert b"cost" not in told.stream.tail(NOTHING, {})


@pytest.mark.parametrize(
    ("usage", "read", "ignored"),
    [
        (None, None, False),
        ({}, None, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None, False),
        ({"prompt_tokens": None, "completion_tokens": None}, None, None),
        ({"prompt_tokens": 5, "completion_tokens": 0}, Usage(input=5), False),
        ({"prompt_tokens": 5.0, "completion_tokens": 2}, Usage(input=5, output=2), False),
        ({"prompt_tokens": 5, "completion_tokens": -1}, None, True),
        ({"prompt_tokens": 5, "completion_tokens": 10**15}, None, True),
        ({"prompt_tokens": 5, "completion_tokens": "2"}, None, True),
        ({"prompt_tokens": 5, "completion_tokens": True}, None, True),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 6}}, None, True),
        ({"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": None}, Usage(5, output=2), False),
        ("7", None, False),
        ([7], None, False),
    ],
)
def test_it_believes_only_usage_that_can_be_true(usage: Any, read: Usage | None, ignored: bool | None) -> None:
    stream = Read([b"".join(map(event, [*TALK, STOP, chunk(None, usage=usage)])) + DONE])
    assert stream.usage == read
    answer = OpenAI().answer(orjson.dumps({**WHOLE, "usage": usage}), ASKED)
    assert answer.usage == read
    if ignored is not None:
        assert (stream.stream.usage_ignored, answer.usage_ignored) == (ignored, ignored)


def test_the_last_usage_that_can_be_true_wins() -> None:
    later = [chunk(None, usage=USAGE), chunk(None, usage={"prompt_tokens": -1, "completion_tokens": 1})]
    read = Read([b"".join(map(event, [*TALK, STOP, *later])) + DONE])
    assert (read.usage, read.stream.usage_ignored) == (READ, False)


def test_it_takes_a_megabyte_in_one_line() -> None:
    text = "x" * 2**20
    data = b"".join(map(event, [ROLE, chunk({"content": text}), STOP, USAGE_CHUNK])) + DONE
    for width in (4096, 65536, len(data)):
        read = Read([data[place : place + width] for place in range(0, len(data), width)])
        assert read.events[1]["choices"][0]["delta"]["content"] == text
        assert read.usage == READ
        assert read.delivered >= 2**18


def test_it_gives_up_on_an_event_without_end() -> None:
    stream = OpenAIStream(ASKED)
    stream.feed(event(ROLE))
    for _ in range(MOST_PENDING // 2**20 + 2):
        stream.feed(b"data: " + b"x" * 2**20)
    assert stream.failure is not None
    assert stream.failure.status == 502


def test_it_ignores_what_comes_after_the_end_marker() -> None:
    read = Read([STREAMS["plain"] + event(chunk({"content": "more"}))])
    assert read.meaning == Read([STREAMS["plain"]]).meaning


def test_it_estimates_one_token_a_chunk_or_four_bytes_each() -> None:
    many = Read([b"".join(event(chunk({"content": "x"})) for _ in range(50))])
    assert many.delivered == 50
    long = Read([event(ROLE) + event(chunk({"content": "x" * 4000}))])
    assert 950 <= long.delivered <= 1100
    blocks = [event(ROLE), *[event(chunk({"content": "x" * 4000})) for _ in range(10)]]
    assert 9_500 <= Read(blocks).delivered <= 11_000
    assert Read([b""]).delivered == 0


# -- whole answers

WHOLE: dict[str, Any] = {
    "id": ID,
    "object": "chat.completion",
    "created": 7,
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": LITERALS}, "finish_reason": "stop"}],
    "usage": USAGE,
    "x_extra": {"id": ID},
}


def test_it_renames_a_whole_answer_and_nothing_else() -> None:
    answer = OpenAI().answer(orjson.dumps(WHOLE), ASKED)
    assert answer.body == {**WHOLE, "id": OURS, "model": "ours/model@2026"}
    assert (answer.usage, answer.finish_reason) == (READ, "stop")


def test_it_maps_finish_reasons_of_whole_answers() -> None:
    for theirs, ours in (("length", "length"), ("end_turn", "stop"), (None, "stop"), (7, "stop")):
        body = {**WHOLE, "choices": [{"message": {"content": "x"}, "finish_reason": theirs}]}
        answer = OpenAI().answer(orjson.dumps(body), ASKED)
        assert (answer.finish_reason, answer.body["choices"][0]["finish_reason"]) == (ours, ours)
        assert answer.body["choices"][0]["index"] == 0


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>", b"[]", b"7", b"{}", b'{"choices":[]}', b'{"choices":{}}', b'{"choices":[7]}', b'{"choices":[{}]}'],
)
def test_it_knows_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        OpenAI().answer(raw, ASKED)


@pytest.mark.parametrize("error", [{"message": "boom https://10.0.0.1/x sk-abcdefghijk"}, "boom", {"message": 7}, [1]])
def test_it_finds_an_error_in_a_success(error: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        OpenAI().answer(orjson.dumps({"error": error}), ASKED)
    assert caught.value.status == 502
    assert "10.0.0.1" not in caught.value.message
    assert "sk-abc" not in caught.value.message


@pytest.mark.parametrize(
    ("raw", "message", "code"),
    [
        (b'{"error":{"message":"m","code":"c","param":"p"}}', "m", "c"),
        (b'{"error":"m"}', "m", ""),
        (b'{"message":"m"}', "m", ""),
        (b'{"detail":"m"}', "m", ""),
        (b'[{"error":{"message":"m","code":400}}]', "m", ""),
        (b"<html>m</html>", "", ""),
        (b"plain", "", ""),
        (b"", "", ""),
        (b"7", "", ""),
        (b"[]", "", ""),
        (b'{"error":{"message":["m"]}}', '["m"]', ""),
        (b'{"detail":[{"msg":"m"}]}', '[{"msg":"m"}]', ""),
    ],
)
def test_it_reads_failures_of_every_shape(raw: bytes, message: str, code: str) -> None:
    said = OpenAI().failure_message(raw)
    assert (said.message, said.code) == (message, code)


def test_it_bounds_what_an_upstream_says_of_its_failure() -> None:
    said = OpenAI().failure_message(
        orjson.dumps({"error": {"message": "m\0" * 1000, "code": "c\0" * 1000, "param": "p" * 9999}})
    )
    assert len(said.message) <= 400
    assert len(said.code) <= 64
    assert len(said.param or "") <= 64
    assert "\0" not in said.message + said.code
    assert bounded("see https://internal.example:8080/path?key=1 now") == "see … now"


# -- requests


def request(**fields: Any) -> chat.ChatRequest:
    return chat.parse(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}))


def sent(rules: dict[str, Any] | None = None, limit: int = 50, **fields: Any) -> dict[str, Any]:
    call = OpenAI().call(request(**fields), "up/stream", limit, rules or {})
    assert call.path == "/chat/completions"
    body: dict[str, Any] = orjson.loads(call.body)
    return body


def test_its_requests_always_carry_an_output_limit_and_the_upstreams_model() -> None:
    assert sent()["max_tokens"] == 50
    assert sent()["model"] == "up/stream"
    assert sent(max_tokens=10, limit=10)["max_tokens"] == 10
    body = sent(max_completion_tokens=10, max_tokens=99, limit=10)
    assert (body["max_completion_tokens"], "max_tokens" in body) == (10, False)
    assert sent({"max_tokens_param": "max_completion_tokens"}, max_tokens=9)["max_completion_tokens"] == 50


def test_its_requests_always_ask_for_usage_in_streams() -> None:
    for options in ({}, {"include_usage": False}, {"include_usage": True}, {"include_obfuscation": False}):
        body = sent(stream=True, stream_options=options)
        assert body["stream_options"] == {**options, "include_usage": True}
    assert sent(stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent()


def test_its_requests_drop_nulls_and_what_the_upstream_does_not_take() -> None:
    body = sent({"drop": ["seed", "user"]}, seed=1, user="u", stop=None, top_p=0.5)
    assert {"seed", "user", "stop"}.isdisjoint(body)
    assert body["top_p"] == 0.5
