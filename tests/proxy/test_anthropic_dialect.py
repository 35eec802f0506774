"""The Anthropic dialect: requests by table, whole answers, failures, and streams split at every byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from billing.meters import Usage
from proxy import chat
from proxy.dialects import DIALECTS, anthropic_thinking
from proxy.dialects.shape import AnswerStream, Asked, MalformedAnswer
from proxy.errors import BadRequest, GatewayError

DIALECT = DIALECTS["chat", "anthropic"]
OURS = "chatcmpl-" + "0" * 24
ASKED = Asked(OURS, "ours/claude", include_usage=True, context_window=200_000, created=7)
MODEL = "claude-sonnet-4-6"
OLD = "claude-sonnet-4-5-20250929"
NEW = "claude-opus-4-8"
HELLO = {"role": "user", "content": "Hello"}
SAID = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
FORMAT = "anthropic-claude-v1"
PIXEL = "iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": {"properties": {}}}}
TOOL_THERE = {"name": "f", "description": "Does f.", "input_schema": {"type": "object", "properties": {}}}
BARE = {"type": "function", "function": {"name": "g"}}
BARE_THERE = {"name": "g", "input_schema": {"type": "object", "properties": {}}}
SIGNED = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": FORMAT, "index": 0}
SEALED = {"type": "reasoning.encrypted", "data": "c2VhbGVk", "format": FORMAT, "index": 1}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "c2VhbGVk"}
ON = {"type": "adaptive", "display": "summarized"}


def call_of(identifier: str, arguments: str = '{"a":1}', name: str = "f") -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def used(identifier: str, given: Any = None, name: str = "f") -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": name, "input": {"a": 1} if given is None else given}


def result(identifier: str, text: str = "") -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": identifier}
    return {**block, "content": [{"type": "text", "text": text}]} if text else block


def request(**body: Any) -> chat.ChatRequest:
    return chat.parse(orjson.dumps({"model": "ours/claude", "messages": [HELLO], **body}))


def sent(
    given: dict[str, Any], *, model: str = MODEL, rules: dict[str, Any] | None = None, limit: int = 20_000
) -> tuple[dict[str, Any], tuple[str, ...]]:
    call = DIALECT.call(request(**given), model, limit, rules or {})
    return json.loads(call.body), call.dropped


MESSAGES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "a text": ([HELLO], {"messages": [SAID]}),
    "system and developer become the system prompt": (
        [{"role": "system", "content": "S"}, HELLO, {"role": "developer", "content": [{"type": "text", "text": "D"}]}],
        {"system": [{"type": "text", "text": "S"}, {"type": "text", "text": "D"}], "messages": [SAID]},
    ),
    "neighbours of one role merge": (
        [HELLO, {"role": "user", "content": "there"}],
        {"messages": [{"role": "user", "content": [*SAID["content"], {"type": "text", "text": "there"}]}]},
    ),
    "the first is the user's": (
        [{"role": "assistant", "content": "Hi"}, HELLO],
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Continue."}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
                SAID,
            ]
        },
    ),
    "empty texts are left out": (
        [{"role": "user", "content": [{"type": "text", "text": " \n"}, {"type": "text", "text": "Hello"}]},
         {"role": "assistant", "content": ""}, {"role": "user", "content": ""}],
        {"messages": [SAID]},
    ),
    "words for the assistant do not end in white space": (
        [HELLO, {"role": "assistant", "content": "Well, \n"}],
        {"messages": [SAID, {"role": "assistant", "content": [{"type": "text", "text": "Well,"}]}]},
    ),
    "images by data and by URL": (
        [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{PIXEL}", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}],
        {"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PIXEL}},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}]}]},
    ),
    "files": (
        [{"role": "user", "content": [
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}}]}],
        {"messages": [{"role": "user", "content": [
            {"type": "document", "title": "a.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}}]}]},
    ),
    "cache marks stay where they are": (
        [{"role": "system", "content": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]},
         {**HELLO, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        {"system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
         "messages": [{"role": "user", "content": [
             {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]},
    ),
    "calls and their results, in one message after them": (
        [HELLO, {"role": "assistant", "content": "See:", "tool_calls": [call_of("a"), call_of("b!", "nonsense")]},
         {"role": "tool", "tool_call_id": "a", "content": "one"},
         {"role": "tool", "tool_call_id": "b!", "content": ""}, {"role": "user", "content": "And?"}],
        {"messages": [SAID,
            {"role": "assistant", "content": [{"type": "text", "text": "See:"}, used("a"), used("b_", {})]},
            {"role": "user", "content": [result("a", "one"), result("b_"), {"type": "text", "text": "And?"}]}],
         "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
         "tool_choice": {"type": "none"}},
    ),
    "the older function calls": (
        [HELLO, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
         {"role": "function", "name": "f", "content": "one"}],
        {"messages": [SAID,
            {"role": "assistant", "content": [used("call_messages_1_", {})]},
            {"role": "user", "content": [result("call_messages_1_", "one")]}],
         "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
         "tool_choice": {"type": "none"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MESSAGES)
def test_it_says_messages_in_anthropics_words(case: str) -> None:
    messages, expected = MESSAGES[case]
    body, dropped = sent({"messages": messages})
    assert body == {"model": MODEL, "max_tokens": 20_000, **expected}
    assert dropped == ()


TOOLS = {"tools": [TOOL]}
PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "a stream": ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}, ()),
    "temperature is capped": ({"temperature": 1.7}, {"temperature": 1}, ()),
    "sampling": ({"temperature": 0.3, "top_k": 5}, {"temperature": 0.3, "top_k": 5}, ()),
    "top_p alone": ({"top_p": 0.5}, {"top_p": 0.5}, ()),
    "top_p is not taken beside temperature": ({"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ("top_p",)),
    "the limit is ours": ({"max_tokens": 7, "max_completion_tokens": 9}, {}, ()),
    "stop": ({"stop": "END"}, {"stop_sequences": ["END"]}, ()),
    "stops of nothing but white space are left out": ({"stop": ["\n", "a"]}, {"stop_sequences": ["a"]}, ()),
    "no stop is left": ({"stop": "\n"}, {}, ()),
    "user": ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}, ()),
    "a user that says who it is": ({"user": "a@example.org"}, {}, ("user",)),
    "cache_control": ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}, ()),
    "what it has no word for": (
        {"logprobs": True, "logit_bias": {"1": 1}, "presence_penalty": 1, "frequency_penalty": 1, "seed": 1, "odd": 1},
        {},
        ("logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "seed", "odd"),
    ),
    "tools": ({"tools": [TOOL, BARE]}, {"tools": [TOOL_THERE, BARE_THERE]}, ()),
    "a tool's cache mark": (
        {"tools": [{**BARE, "cache_control": {"type": "ephemeral"}}]},
        {"tools": [{**BARE_THERE, "cache_control": {"type": "ephemeral"}}]},
        (),
    ),
    "functions": (
        {"functions": [BARE["function"]], "function_call": {"name": "g"}},
        {"tools": [BARE_THERE], "tool_choice": {"type": "tool", "name": "g"}},
        (),
    ),
    "choice auto": ({**TOOLS, "tool_choice": "auto"}, {"tools": [TOOL_THERE], "tool_choice": {"type": "auto"}}, ()),
    "choice required": (
        {**TOOLS, "tool_choice": "required"}, {"tools": [TOOL_THERE], "tool_choice": {"type": "any"}}, ()
    ),
    "choice none": ({**TOOLS, "tool_choice": "none"}, {"tools": [TOOL_THERE], "tool_choice": {"type": "none"}}, ()),
    "choice named": (
        {**TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [TOOL_THERE], "tool_choice": {"type": "tool", "name": "f"}},
        (),
    ),
    "choice allowed": (
        {"tools": [TOOL, BARE], "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}},
        {"tools": [TOOL_THERE], "tool_choice": {"type": "any"}},
        (),
    ),
    "a choice without tools": ({"tool_choice": "auto"}, {}, ()),
    "one call at a time": (
        {**TOOLS, "parallel_tool_calls": False},
        {"tools": [TOOL_THERE], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        (),
    ),
    "json_object": (
        {"response_format": {"type": "json_object"}},
        {"system": [{"type": "text", "text":
            "Answer with one JSON object and nothing else: no words around it and no code fence."}]},
        (),
    ),
    "json_schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {
            "type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"}},
            "minimum": {"type": "integer", "minimum": 3, "description": "A."}}}}}},
        {"output_config": {"format": {"type": "json_schema", "schema": {
            "type": "object", "additionalProperties": False, "properties": {
                "a": {"type": "array", "items": {"type": "object", "additionalProperties": False}},
                "minimum": {"type": "integer", "description": "A. (minimum: 3)"}}}}}},
        (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARAMETERS)
def test_it_gives_each_parameter_its_fate(case: str) -> None:
    given, expected, lost = PARAMETERS[case]
    body, dropped = sent(given)
    assert body == {"model": MODEL, "max_tokens": 20_000, "messages": [SAID], **expected}
    assert dropped == lost


EFFORT: dict[str, tuple[dict[str, Any], str, dict[str, Any], tuple[str, ...]]] = {
    "adaptive": ({"reasoning_effort": "high"}, MODEL, {"thinking": ON, "output_config": {"effort": "high"}}, ()),
    "minimal": ({"reasoning_effort": "minimal"}, NEW, {"thinking": ON, "output_config": {"effort": "low"}}, ()),
    "openrouter's": ({"reasoning": {"effort": "low"}}, MODEL, {"thinking": ON, "output_config": {"effort": "low"}}, ()),
    "none": ({"reasoning_effort": "none"}, MODEL, {"thinking": {"type": "disabled"}}, ()),
    "anthropic's budget on a new model": (
        {"thinking": {"type": "enabled", "budget_tokens": 3000}},
        MODEL, {"thinking": ON, "output_config": {"effort": "medium"}}, (),
    ),
    "low": ({"reasoning_effort": "low"}, OLD, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, ()),
    "medium": ({"reasoning_effort": "medium"}, OLD, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, ()),
    "high": ({"reasoning_effort": "high"}, OLD, {"thinking": {"type": "enabled", "budget_tokens": 4096}}, ()),
    "xhigh": ({"reasoning_effort": "xhigh"}, OLD, {"thinking": {"type": "enabled", "budget_tokens": 8192}}, ()),
    "max": ({"reasoning_effort": "max"}, OLD, {"thinking": {"type": "enabled", "budget_tokens": 16384}}, ()),
    "off on an old model": ({"reasoning_effort": "none"}, OLD, {}, ()),
    "a model that cannot": ({"reasoning_effort": "low"}, "claude-3-5-haiku-20241022", {}, ("reasoning_effort",)),
    "no sampling while it thinks": (
        {"reasoning_effort": "low", "temperature": 0.2, "top_k": 3, "top_p": 0.2},
        OLD, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, ("temperature", "top_p", "top_k"),
    ),
    "no sampling on the newest": ({"temperature": 0.2, "top_p": 0.1}, NEW, {}, ("temperature", "top_p")),
    "a forced call goes before thinking": (
        {"reasoning_effort": "low", **TOOLS, "tool_choice": "required"},
        OLD, {"tools": [TOOL_THERE], "tool_choice": {"type": "any"}}, ("reasoning_effort",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EFFORT)
def test_it_asks_for_thinking_as_the_model_wants(case: str) -> None:
    given, model, expected, lost = EFFORT[case]
    body, dropped = sent(given, model=model)
    assert body == {"model": model, "max_tokens": 20_000, "messages": [SAID], **expected}
    assert dropped == lost


RULED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "budget": (
        {"reasoning_effort": "low"},
        {"thinking": "budget"}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, (),
    ),
    "none": ({"reasoning_effort": "low"}, {"thinking": "none"}, {}, ("reasoning_effort",)),
    "always": ({"reasoning_effort": "low"}, {"thinking": "always"}, {"output_config": {"effort": "low"}}, ()),
    "always cannot be switched off": (
        {"reasoning_effort": "none"}, {"thinking": "always"}, {}, ("reasoning_effort",)
    ),
    "always cannot be forced": (
        {**TOOLS, "tool_choice": "required"},
        {"thinking": "always"}, {"tools": [TOOL_THERE], "tool_choice": {"type": "auto"}}, ("tool_choice",),
    ),
    "no sampling": ({"temperature": 0.2, "top_k": 3}, {"sampling": False}, {}, ("temperature", "top_k")),
    "no forced choice": (
        {**TOOLS, "tool_choice": "required"},
        {"forced_tool_choice": False}, {"tools": [TOOL_THERE], "tool_choice": {"type": "auto"}}, ("tool_choice",),
    ),
    "dropped and set": ({"user": "u"}, {"drop": ["user"], "set": {"service_tier": "standard_only"}},
                        {"service_tier": "standard_only"}, ("user",)),
}  # fmt: skip


@pytest.mark.parametrize("case", RULED)
def test_it_follows_the_rules_of_the_model(case: str) -> None:
    given, rules, expected, lost = RULED[case]
    body, dropped = sent(given, rules=rules)
    assert body == {"model": MODEL, "max_tokens": 20_000, "messages": [SAID], **expected}
    assert dropped == lost


@pytest.mark.parametrize("limit", [1025, 1024])
def test_it_keeps_the_budget_below_the_output_limit(limit: int) -> None:
    body, dropped = sent({"reasoning_effort": "max"}, model=OLD, limit=limit)
    assert body.get("thinking") == ({"type": "enabled", "budget_tokens": 1024} if limit > 1024 else None)
    assert dropped == (() if limit > 1024 else ("reasoning_effort",))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "several answers": ({"n": 2}, "n"),
    "audio": ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
              "messages[0].content[0].type"),
    "no such URL": ({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "ftp://a"}}]}]}, "messages[0].content[0].image_url.url"),
    "a file kept elsewhere": ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
                              "messages[0].content[0].file.file_data"),
    "a custom tool": ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
    "an odd choice": ({**TOOLS, "tool_choice": "maybe"}, "tool_choice"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses_what_anthropic_cannot_do_and_says_where(case: str) -> None:
    given, param = REFUSED[case]
    with pytest.raises(BadRequest) as refused:
        sent(given)
    assert refused.value.param == param


def tool_turn(**more: Any) -> list[dict[str, Any]]:
    calls = [call_of("a"), call_of("b")]
    answer = {"role": "assistant", "content": None, "tool_calls": calls, **more}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in calls]
    return [HELLO, answer, *results]


@pytest.mark.parametrize("model", [MODEL, OLD])
def test_it_takes_signed_thinking_back_unchanged(model: str) -> None:
    messages = tool_turn(reasoning_details=[SIGNED, SEALED])
    body, dropped = sent({"messages": messages, "reasoning_effort": "low", **TOOLS}, model=model)
    assert body["messages"][1]["content"] == [THINKING, REDACTED, used("a"), used("b")]
    assert "thinking" in body
    assert dropped == ()


def test_it_puts_remembered_thinking_before_the_call_it_led_to() -> None:
    given = request(messages=tool_turn(), reasoning_effort="low", **TOOLS)
    given.thoughts = {"a": [SIGNED], "b": [SEALED]}
    body = json.loads(DIALECT.call(given, OLD, 20_000, {}).body)
    assert body["messages"][1]["content"] == [THINKING, used("a"), REDACTED, used("b")]
    assert "thinking" in body


def test_it_switches_thinking_off_where_a_tool_turn_lost_it() -> None:
    foreign = {**SIGNED, "format": "google-gemini-v1"}
    messages = tool_turn(reasoning_details=[foreign])
    body, dropped = sent({"messages": messages, "reasoning_effort": "low", **TOOLS}, model=OLD)
    assert "thinking" not in body
    assert body["messages"][1]["content"] == [used("a"), used("b")]
    assert dropped == ("reasoning_effort",)


def test_it_keeps_adaptive_thinking_on_where_a_tool_turn_had_none() -> None:
    body, dropped = sent({"messages": tool_turn(), "reasoning_effort": "low", **TOOLS})
    assert body["thinking"] == ON
    assert dropped == ()


def test_it_takes_no_chance_with_an_adaptive_model_it_does_not_know() -> None:
    body, dropped = sent({"messages": tool_turn(), "reasoning_effort": "low", **TOOLS}, model="somebodys-model")
    assert body["thinking"] == {"type": "disabled"}
    assert dropped == ("reasoning_effort",)


def test_it_leaves_thinking_out_where_it_is_off() -> None:
    body, _ = sent({"messages": tool_turn(reasoning_details=[SIGNED]), **TOOLS}, model=OLD)
    assert body["messages"][1]["content"] == [used("a"), used("b")]


def test_it_calls_messages_with_a_version() -> None:
    call = DIALECT.call(request(), MODEL, 9, {})
    assert call.path == "/v1/messages"
    assert call.headers == (("anthropic-version", "2023-06-01"),)


# -- whole answers

USAGE = {
    "input_tokens": 6,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
    "output_tokens": 4,
    "output_tokens_details": {"thinking_tokens": 1},
    "service_tier": "priority",
}
READ = Usage(input=6, cache_read=3, cache_write_5m=3, cache_write_1h=2, output=3, reasoning=1)


def message(content: list[dict[str, Any]], stop: str = "end_turn", **more: Any) -> bytes:
    body = {"id": "msg_T", "type": "message", "role": "assistant", "model": "claude-theirs", "content": content}
    return orjson.dumps({**body, "stop_reason": stop, "stop_sequence": None, "usage": USAGE, **more})


def test_it_reads_a_whole_message() -> None:
    content = [THINKING, {"type": "text", "text": "Hé"}, {"type": "text", "text": "llo"}, REDACTED, used("toolu_1")]
    answer = DIALECT.answer(message(content, "tool_use"), ASKED)
    choice = answer.body["choices"][0]
    assert choice["finish_reason"] == answer.finish_reason == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Héllo",
        "refusal": None,
        "reasoning_content": "Hm.",
        "reasoning_details": [SIGNED, SEALED],
        "tool_calls": [call_of("toolu_1")],
    }
    assert answer.thoughts == {"toolu_1": [SIGNED, SEALED]}
    assert (answer.usage, answer.usage_ignored) == (READ, False)
    assert answer.body["usage"]["prompt_tokens"] == 14
    assert answer.body["usage"]["completion_tokens"] == 4
    assert (answer.reported_model, answer.service_tier) == ("claude-theirs", "priority")
    assert (answer.body["id"], answer.body["model"], answer.body["created"]) == (OURS, "ours/claude", 7)


REASONS = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length",
    "model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter", "new": "stop",
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_it_says_why_it_stopped_in_openais_words(reason: str) -> None:
    answer = DIALECT.answer(message([{"type": "text", "text": "x"}], reason), ASKED)
    assert answer.finish_reason == REASONS[reason]


def test_it_reads_an_answer_without_counts() -> None:
    answer = DIALECT.answer(message([], usage=None), ASKED)
    assert (answer.usage, answer.usage_ignored) == (None, False)
    assert answer.body["choices"][0]["message"]["content"] == ""
    assert DIALECT.answer(message([], usage={"output_tokens": -1}), ASKED).usage_ignored


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"{}", b'{"content":"x"}', b'{"content":[7]}'])
def test_it_knows_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        DIALECT.answer(raw, ASKED)


ERRORS: dict[str, tuple[int, str | None]] = {
    "overloaded_error": (503, "upstream_overloaded"),
    "rate_limit_error": (503, "upstream_overloaded"),
    "timeout_error": (504, "timeout"),
    "authentication_error": (502, "bad_gateway"),
    "billing_error": (502, "bad_gateway"),
    "api_error": (502, "bad_gateway"),
    "invalid_request_error": (400, "invalid_value"),
}


def error_body(kind: str, text: str = "Sorry") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_T"}


@pytest.mark.parametrize("kind", ERRORS)
def test_it_maps_errors_that_come_with_success(kind: str) -> None:
    with pytest.raises(GatewayError) as whole:
        DIALECT.answer(orjson.dumps(error_body(kind)), ASKED)
    assert (whole.value.status, whole.value.code) == ERRORS[kind]
    stream = DIALECT.stream(ASKED)
    stream.feed(b"".join(map(event, TALK[:3])) + event(error_body(kind)))
    assert stream.failure is not None
    assert (stream.failure.status, stream.failure.code) == ERRORS[kind]


def test_it_reads_failures() -> None:
    said = DIALECT.failure_message(orjson.dumps(error_body("invalid_request_error", "prompt is too long: 9 > 8")))
    assert (said.message, said.code) == ("prompt is too long: 9 > 8", "context_length_exceeded")
    said = DIALECT.failure_message(orjson.dumps(error_body("invalid_request_error", "Your credit balance is too low")))
    assert said.code == "insufficient_quota"
    assert DIALECT.failure_message(b"<html>").message == ""


# -- streams


def event(data: dict[str, Any], end: str = "\n") -> bytes:
    return f"event: {data['type']}{end}data: {json.dumps(data, ensure_ascii=False)}{end}{end}".encode()


def delta(index: int, kind: str, name: str, text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: text}}


def start(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def begin(**usage: Any) -> dict[str, Any]:
    given = {**USAGE, "output_tokens": 1, "output_tokens_details": None, **usage}
    head = {"id": "msg_T", "type": "message", "role": "assistant", "model": "claude-theirs", "content": []}
    return {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": given}}


def end(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    given = {"output_tokens": 4, "output_tokens_details": {"thinking_tokens": 1}, **usage}
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": given}


STOP = {"type": "message_stop"}
PING = {"type": "ping"}
TEXTS = ("Hé", "llo ", "漢字 ", "🎉", '"type": "message_stop" \n\nevent: error\ndata: {}\n\n\u2028')
TALK = [begin(), PING, start(0, {"type": "text", "text": ""})]
TALK += [delta(0, "text_delta", "text", text) for text in TEXTS]
TALK += [stop(0), end(), STOP]
DEEP = [
    begin(),
    start(0, {"type": "thinking", "thinking": "", "signature": ""}),
    delta(0, "thinking_delta", "thinking", "H"),
    delta(0, "thinking_delta", "thinking", "m."),
    delta(0, "signature_delta", "signature", "c2ln"),
    stop(0),
    start(1, REDACTED),
    stop(1),
    start(2, {"type": "text", "text": ""}),
    delta(2, "text_delta", "text", "See:"),
    stop(2),
    start(3, used("toolu_1", {})),
    delta(3, "input_json_delta", "partial_json", ""),
    delta(3, "input_json_delta", "partial_json", '{"a"'),
    delta(3, "input_json_delta", "partial_json", ":1}"),
    stop(3),
    start(4, used("toolu_2", {})),
    stop(4),
    end("tool_use"),
    STOP,
]
STREAMS = {
    "plain": b"".join(map(event, TALK)),
    "crlf": b"".join(event(one, "\r\n") for one in TALK),
    "no event lines": b"".join(b"data: " + orjson.dumps(one) + b"\n\n" for one in TALK),
    "usage said twice": b"".join(map(event, [*TALK[:-2], end(output_tokens=2), end(input_tokens=6), STOP])),
    "no end": b"".join(map(event, TALK[:-1])),
    "what is not known yet": b"".join(
        event(one) + event({"type": "content_block_news", "index": 0}) for one in TALK
    ),
}  # fmt: skip


def read(stream: AnswerStream, parts: Iterator[bytes]) -> list[dict[str, Any]]:
    out = b"".join(stream.feed(part) for part in parts) + stream.close()
    assert all(line.startswith(b"data: {") for line in out.split(b"\n\n")[:-1])
    return [json.loads(line[6:]) for line in out.split(b"\n\n") if line]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


@pytest.mark.parametrize("case", STREAMS)
def test_it_translates_streams_split_anywhere(case: str) -> None:
    raw = STREAMS[case]
    whole = read(DIALECT.stream(ASKED), iter([raw]))
    for size in (1, 2, 3, 7, 50, 300):
        stream = DIALECT.stream(ASKED)
        chunks = read(stream, (raw[at : at + size] for at in range(0, len(raw), size)))
        assert chunks == whole
        assert text_of(chunks) == "".join(TEXTS)
        assert (stream.usage, stream.failure, stream.finish_reason) == (READ, None, "stop")
        assert (stream.reported_model, stream.service_tier) == ("claude-theirs", "priority")
        assert {(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks} == {(OURS, "ours/claude", 7)}
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunks[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
        assert stream.said() == len("".join(TEXTS).encode())
        assert stream.complete()


def test_it_ends_a_stream_with_the_usage() -> None:
    stream = DIALECT.stream(ASKED)
    read(stream, iter([STREAMS["plain"]]))
    assert stream.usage is not None
    tail = stream.tail(stream.usage, {"cost": {"amount": 1}}).split(b"\n\n")
    assert tail[1:] == [b"data: [DONE]", b""]
    last = json.loads(tail[0][6:])
    assert (last["choices"], last["usage"]["prompt_tokens"], last["cost"]) == ([], 14, {"amount": 1})


def test_it_streams_calls_and_signed_thinking() -> None:
    stream = DIALECT.stream(ASKED)
    deltas = [c["choices"][0]["delta"] for c in read(stream, iter([b"".join(map(event, DEEP))]))]
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "Hm."
    assert [one for d in deltas for one in d.get("reasoning_details", ())] == [SIGNED, SEALED]
    calls: dict[int, dict[str, Any]] = {}
    for one in (one for d in deltas for one in d.get("tool_calls", ())):
        known = calls.setdefault(one["index"], {"arguments": "", "id": one.get("id")})
        known["arguments"] += one["function"]["arguments"]
    assert calls == {0: {"id": "toolu_1", "arguments": '{"a":1}'}, 1: {"id": "toolu_2", "arguments": "{}"}}
    assert stream.thoughts == {"toolu_1": [SIGNED, SEALED]}
    assert stream.finish_reason == "tool_calls"


@pytest.mark.parametrize("kept", range(1, len(TALK) - 2))
def test_it_knows_a_stream_that_ends_too_soon(kept: int) -> None:
    stream = DIALECT.stream(ASKED)
    read(stream, iter([b"".join(map(event, TALK[:kept]))]))
    assert stream.failure is not None
    assert not stream.complete()
    assert stream.usage is not None  # what message_start said


FAMILIES = {
    "claude-3-haiku-20240307": ("none", True, False),
    "claude-3-5-sonnet-20241022": ("none", True, False),
    "claude-3-7-sonnet-20250219": ("budget", True, True),
    "claude-3-7-sonnet-latest": ("budget", True, True),
    "claude-sonnet-4-20250514": ("budget", True, True),
    "claude-opus-4-1@20250805": ("budget", True, True),
    "claude-sonnet-4-5": ("budget", True, True),
    "claude-haiku-4-5-20251001": ("budget", True, True),
    "anthropic/claude-sonnet-4.5": ("budget", True, True),
    "eu.anthropic.claude-sonnet-4-5-20250929-v1:0": ("budget", True, True),
    "claude-opus-4-6": ("adaptive", True, False),
    "claude-sonnet-4-6-20260201": ("adaptive", True, False),
    "claude-opus-4-7": ("adaptive", False, False),
    "claude-opus-4-8-20260501": ("adaptive", False, False),
    "claude-sonnet-5": ("adaptive", False, False),
    "claude-opus-5-1-20270101": ("adaptive", False, False),
    "somebodys-model": ("adaptive", True, True),
}
"""Model → how it thinks, whether it takes sampling parameters, whether a tool turn must bring its thinking back."""


@pytest.mark.parametrize("model", FAMILIES)
def test_it_knows_the_families_of_claude(model: str) -> None:
    kind = anthropic_thinking.kind_of(model, {})
    returns = anthropic_thinking.must_return(model, kind)
    assert (kind, anthropic_thinking.takes_sampling(model, {}), returns) == FAMILIES[model]
