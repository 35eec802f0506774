"""Anthropic's Messages passed on to Anthropic: bodies, whole answers, and streams split at every byte."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from proxy.chat import ChatRequest
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Asked
from proxy.surfaces import messages_request
from tests.proxy.test_anthropic_dialect import (
    DEEP,
    ERRORS,
    READ,
    STOP,
    STREAMS,
    TALK,
    TEXTS,
    error_body,
    event,
    message,
)

NATIVE = DIALECTS["messages", "anthropic"]
OURS = "msg_" + "0" * 24
ASKED = Asked(OURS, "ours/claude", include_usage=False, context_window=200_000)
HELLO = {"role": "user", "content": "Hello"}
BODY: dict[str, Any] = {"model": "ours/claude", "max_tokens": 500, "messages": [HELLO]}
CLAUDE_CODE: dict[str, Any] = {
    "model": "ours/claude",
    "max_tokens": 32_000,
    "stream": True,
    "temperature": 1,
    "system": [
        {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}],
    "tools": [{"name": "Bash", "description": "Runs.", "input_schema": {"type": "object", "properties": {}}}],
    "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "medium"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "something_new": {"a": 1},
}


def parsed(**body: Any) -> ChatRequest:
    return messages_request.parse(orjson.dumps({**BODY, **body}))


def sent(rules: dict[str, Any] | None = None, *, limit: int = 400, **body: Any) -> tuple[dict[str, Any], Any]:
    call = NATIVE.call(parsed(**body), "claude-theirs", limit, rules or {})
    return json.loads(call.body), call.dropped


def test_it_passes_the_body_under_the_upstreams_model_and_our_limit() -> None:
    body, dropped = sent(limit=31_999, **CLAUDE_CODE)
    assert body == {**CLAUDE_CODE, "model": "claude-theirs", "max_tokens": 31_999}
    assert dropped == ()


def test_it_passes_the_betas_the_client_wants() -> None:
    chat = parsed()
    chat.native_headers = messages_request.native_headers({b"anthropic-beta": b"a-2026-01-01,b", b"cookie": b"no"})
    call = NATIVE.call(chat, "claude-theirs", 400, {})
    assert call.path == "/v1/messages"
    assert call.headers == (("anthropic-version", "2023-06-01"), ("anthropic-beta", "a-2026-01-01,b"))
    assert messages_request.native_headers({b"anthropic-beta": b"a\r\nx-api-key: b"}) == ()
    assert messages_request.native_headers({}) == ()


def test_it_keeps_a_thinking_budget_below_a_lower_limit() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5000}
    body, dropped = sent(limit=2000, thinking=thinking)
    assert (body["thinking"]["budget_tokens"], dropped) == (1999, ())
    body, dropped = sent(limit=1000, thinking=thinking)
    assert ("thinking" in body, dropped) == (False, ("thinking",))


def test_it_follows_the_rules_of_the_model() -> None:
    rules = {"sampling": False, "forced_tool_choice": False, "drop": ["metadata"]}
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    body, dropped = sent(rules, temperature=0.5, metadata={"user_id": "u"}, tools=tools, tool_choice={"type": "any"})
    assert body["tool_choice"] == {"type": "auto"}
    assert dropped == ("metadata", "temperature", "tool_choice")


def test_it_leaves_out_thinking_that_others_sealed() -> None:
    chat = messages_request.parse(
        orjson.dumps(
            {
                **BODY,
                "messages": [
                    HELLO,
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "Hm.", "signature": ""},
                            {"type": "redacted_thinking", "data": "tollgate.e30="},
                            {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                        ],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]},
                ],
                "thinking": {"type": "enabled", "budget_tokens": 1024},
            }
        )
    )
    body = json.loads(NATIVE.call(chat, "claude-theirs", 2000, {}).body)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert "thinking" not in body


def test_it_reads_a_whole_message() -> None:
    content = [{"type": "text", "text": "Hé"}]
    answer = NATIVE.answer(message(content, "max_tokens"), ASKED)
    assert (answer.body["id"], answer.body["model"], answer.body["content"]) == (OURS, "ours/claude", content)
    assert answer.body["usage"]["input_tokens"] == 6
    assert (answer.usage, answer.finish_reason, answer.speaks) == (READ, "length", "anthropic")
    assert (answer.reported_model, answer.service_tier) == ("claude-theirs", "priority")


def events(raw: bytes) -> list[dict[str, Any]]:
    """The events of a stream as a client reads them, each under its own name."""
    found = []
    for one in raw.split(b"\n\n")[:-1]:
        name, data = one.split(b"\n")
        found.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    return found


@pytest.mark.parametrize("case", STREAMS)
def test_it_passes_streams_split_anywhere(case: str) -> None:
    raw = STREAMS[case]
    for size in (1, 2, 3, 7, 50, 300, 1_000_000):
        stream = NATIVE.stream(ASKED)
        out = b"".join(stream.feed(raw[at : at + size]) for at in range(0, len(raw), size)) + stream.close()
        assert (stream.usage, stream.failure, stream.finish_reason) == (READ, None, "stop")
        assert (stream.reported_model, stream.service_tier, stream.complete()) == ("claude-theirs", "priority", True)
        found = events(out + stream.tail(READ, {"cost": 1}))
        assert (found[0]["message"]["id"], found[0]["message"]["model"]) == (OURS, "ours/claude")
        assert "".join(e["delta"]["text"] for e in found if e["type"] == "content_block_delta") == "".join(TEXTS)
        assert found[-1] == STOP
        escapes = 16
        assert 0 <= stream.said() - len("".join(TEXTS).encode()) <= escapes


def test_it_changes_nothing_of_a_stream_but_its_id_and_model() -> None:
    raw = b"".join(map(event, DEEP))
    stream = NATIVE.stream(ASKED)
    out = stream.feed(raw) + stream.close() + stream.tail(READ, {})
    theirs = events(raw)
    theirs[0]["message"] |= {"id": OURS, "model": "ours/claude"}
    assert events(out) == theirs


def test_it_passes_plain_deltas_as_the_bytes_they_are() -> None:
    stream = NATIVE.stream(ASKED)
    stream.feed(b"".join(map(event, TALK[:4])))
    odd = b'event: content_block_delta\ndata: { "type" :"content_block_delta","delta":{"text":"x"} }\n\n'
    assert stream.feed(odd * 3) == odd * 3
    assert stream.delivered() >= 4


@pytest.mark.parametrize("kind", ERRORS)
def test_it_maps_errors(kind: str) -> None:
    stream = NATIVE.stream(ASKED)
    stream.feed(b"".join(map(event, TALK[:5])) + event(error_body(kind)))
    assert stream.failure is not None
    assert (stream.failure.status, stream.failure.code) == ERRORS[kind]


@pytest.mark.parametrize("kept", range(1, len(TALK) - 2))
def test_it_knows_a_stream_that_ends_too_soon(kept: int) -> None:
    stream = NATIVE.stream(ASKED)
    stream.feed(b"".join(map(event, TALK[:kept])))
    stream.close()
    assert stream.failure is not None
    assert stream.usage is not None


def test_it_gives_up_on_garbage() -> None:
    stream = NATIVE.stream(ASKED)
    stream.feed(b"".join(map(event, TALK[:4])) + b"data: nonsense\n\n" * 16)
    assert stream.failure is None
    stream.feed(b"data: 7\n\n")
    assert stream.failure is not None


def test_a_broken_event_breaks_the_stream_as_a_part_of_the_answer_is_lost() -> None:
    stream = NATIVE.stream(ASKED)
    stream.feed(b"".join(map(event, TALK[:4])) + b"data: {nonsense\n\n")
    assert stream.failure is not None


def test_it_says_what_was_booked_where_the_upstreams_counts_cannot_be_true() -> None:
    stream = NATIVE.stream(ASKED)
    untrue = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": -7}}
    started = {"type": "message_start", "message": {"id": "m", "type": "message", "model": "x", "content": []}}
    stream.feed(event(started) + event(untrue) + event({"type": "message_stop"}))
    ending = events(stream.tail(READ, {"cost": 1}))[0]
    assert ending["usage"]["output_tokens"] == READ.completion_tokens
    assert ending["cost"] == 1
