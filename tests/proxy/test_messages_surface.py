"""Anthropic's Messages as a surface: requests by table, answers, streams event by event, errors."""

from __future__ import annotations

import base64
import json
from typing import Any

import anthropic
import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event

from billing.meters import Usage
from proxy.dialects.shape import Answer, Asked
from proxy.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    Internal,
    QuotaExhausted,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from proxy.surfaces import MESSAGES, SURFACES, messages, messages_request
from proxy.surfaces.messages_thoughts import SEAL

HELLO = {"role": "user", "content": "Hello"}
SYSTEM = {"role": "system", "content": "S"}
BODY: dict[str, Any] = {"model": "m", "max_tokens": 50, "messages": [HELLO]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"name": "f", "description": "Does f.", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}
TOOL_HERE = {"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": SCHEMA}}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
IMAGE_HERE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
SIGNED = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
FOREIGN = {"type": "reasoning.encrypted", "data": "Zm9y", "format": "google-gemini-v1", "index": 0, "id": "a"}


def sealed(detail: dict[str, Any]) -> str:
    return SEAL + base64.urlsafe_b64encode(orjson.dumps(detail)).decode()


def parsed(**body: Any) -> Any:
    return messages_request.parse(orjson.dumps({**BODY, **body}))


def turn(*blocks: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def result(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "a", "content": content, **more}


CALLED: list[Any] = [HELLO, turn(text("See:"), USE, role="assistant")]
CALLED_HERE: list[Any] = [HELLO, {"role": "assistant", "content": "See:", "tool_calls": [CALL]}]
MESSAGES_HERE: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "a text": ([HELLO], [HELLO]),
    "a text block": ([turn(text("Hello", cache_control={"type": "ephemeral"}))], [HELLO]),
    "several blocks": (
        [turn(text("Look:"), IMAGE)],
        [{"role": "user", "content": [text("Look:"), IMAGE_HERE]}],
    ),
    "an image by URL": (
        [turn({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}],
    ),
    "documents": (
        [turn(
            {"type": "document", "title": "t.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
            {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
            {"type": "document", "source": {"type": "content", "content": [text("in")]}},
            {"type": "search_result", "title": "R", "source": "https://a", "content": [text("found")]})],
        [{"role": "user", "content": [
            {"type": "file", "file": {"filename": "t.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
            text("T\n\nhi"), text("in"), text("R\nfound")]}],
    ),
    "calls and results": (
        [*CALLED, turn(result("ok"), text("And?"))],
        [*CALLED_HERE, {"role": "tool", "tool_call_id": "a", "content": "ok"}, {"role": "user", "content": "And?"}],
    ),
    "an error": (
        [*CALLED, turn(result([text("it broke")], is_error=True))],
        [*CALLED_HERE, {"role": "tool", "tool_call_id": "a", "content": "Error: it broke"}],
    ),
    "a picture from a tool": (
        [*CALLED, turn(result([text("shot"), IMAGE]))],
        [*CALLED_HERE, {"role": "tool", "tool_call_id": "a", "content": "shot"},
         {"role": "user", "content": [IMAGE_HERE]}],
    ),
    "no result at all": (
        [*CALLED, turn({"type": "tool_result", "tool_use_id": "a"})],
        [*CALLED_HERE, {"role": "tool", "tool_call_id": "a", "content": ""}],
    ),
    "thinking is no message": (
        [HELLO, turn({"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, text("Hi"), role="assistant")],
        [HELLO, {"role": "assistant", "content": "Hi"}],
    ),
    "a system message in between": ([HELLO, SYSTEM], [HELLO, SYSTEM]),
}  # fmt: skip


@pytest.mark.parametrize("case", MESSAGES_HERE)
def test_it_says_messages_in_openais_words(case: str) -> None:
    given, expected = MESSAGES_HERE[case]
    chat = parsed(messages=given)
    assert chat.body == {"model": "m", "max_completion_tokens": 50, "messages": expected}
    assert (chat.operation, chat.native["messages"], chat.output_limit) == ("messages", given, 50)


PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sampling": ({"temperature": 1, "top_p": 0.9, "top_k": 4}, {"temperature": 1, "top_p": 0.9, "top_k": 4}),
    "a stream": ({"stream": True}, {"stream": True}),
    "stops": ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
    "more stops than OpenAI takes": ({"stop_sequences": list("abcdef")}, {"stop": list("abcdef")}),
    "user": ({"metadata": {"user_id": "u"}}, {"user": "u"}),
    "effort": ({"output_config": {"effort": "max"}}, {"reasoning_effort": "xhigh"}),
    "budget": ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
    "a small budget": ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
    "adaptive": ({"thinking": {"type": "adaptive"}}, {}),
    "no thinking": ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, {}),
    "tools": ({"tools": [TOOL]}, {"tools": [TOOL_HERE]}),
    "typed tools": ({"tools": [{"type": "custom", **TOOL}]}, {"tools": [TOOL_HERE]}),
    "any": ({"tools": [TOOL], "tool_choice": {"type": "any"}}, {"tools": [TOOL_HERE], "tool_choice": "required"}),
    "named": (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
        {"tools": [TOOL_HERE], "tool_choice": {"type": "function", "function": {"name": "f"}},
         "parallel_tool_calls": False},
    ),
    "a shape": (
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"response_format": {"type": "json_schema",
                             "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}},
    ),
    "what only Anthropic knows": (
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}, "betas": ["x"], "mcp_servers": [],
         "service_tier": "auto", "speed": "standard", "container": None, "news": {"a": 1}},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARAMETERS)
def test_it_translates_parameters(case: str) -> None:
    given, expected = PARAMETERS[case]
    assert parsed(**given).body == {"model": "m", "max_completion_tokens": 50, "messages": [HELLO], **expected}


def test_it_says_the_system_prompt_first_and_in_one() -> None:
    assert parsed(system="S").body["messages"] == [{"role": "system", "content": "S"}, HELLO]
    blocks = [text("A", cache_control={"type": "ephemeral"}), text("B")]
    assert parsed(system=blocks).body["messages"][0] == {"role": "system", "content": "A\n\nB"}


def test_it_shortens_a_user_that_is_too_long_for_others() -> None:
    user = parsed(metadata={"user_id": "u" * 200}).body["user"]
    assert len(user) == 64


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "memory_20250818", "computer_20251124"])
def test_it_describes_tools_that_the_client_runs(kind: str) -> None:
    tool = parsed(tools=[{"type": kind, "name": "it"}]).body["tools"][0]["function"]
    assert tool["name"] == "it"
    assert tool["parameters"]["properties"]


def test_it_keeps_signed_thinking_for_the_call_it_led_to() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    assert parsed(messages=[HELLO, turn(thinking, USE, role="assistant")]).thoughts == {"a": [SIGNED]}
    carried = {"type": "redacted_thinking", "data": sealed(FOREIGN)}
    chat = parsed(messages=[HELLO, turn(carried, USE, role="assistant")])
    assert chat.thoughts == {"a": [FOREIGN]}
    broken = {"type": "redacted_thinking", "data": SEAL + "???"}
    assert parsed(messages=[HELLO, turn(broken, USE, role="assistant")]).thoughts == {}


def test_it_bounds_what_it_cannot_read() -> None:
    assert parsed(messages=[turn(IMAGE)]).linked_images == 1
    assert parsed(messages=[*CALLED, turn(result([IMAGE]))]).linked_images == 1
    news = parsed(messages=[turn(text("a"), {"type": "news_block", "source": {"type": "url", "url": "https://a"}})])
    assert news.input_bound(200_000) == 200_000


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "max_tokens": ({"max_tokens": None}, "max_tokens: Field required"),
    "max_tokens of zero": ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
    "a text for a number": ({"max_tokens": "5"}, "max_tokens: Input should be a valid integer"),
    "temperature": ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
    "messages": ({"messages": []}, "messages: List should have at least 1 item"),
    "role": ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be 'user' or"),
    "content": ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    "block": ({"messages": [turn({"text": "x"})]}, "messages.0.content.0.type: Field required"),
    "text": ({"messages": [turn({"type": "text"})]}, "messages.0.content.0.text: Field required"),
    "source": ({"messages": [turn({"type": "image"})]}, "messages.0.content.0.source: Field required"),
    "a file kept there": (
        {"messages": [turn({"type": "document", "source": {"type": "file", "file_id": "f"}})]},
        "messages.0.content.0.source: files kept at the provider are not available here",
    ),
    "orphan": ({"messages": [turn(result("x"))]}, "messages.0.content.0: unexpected `tool_use_id` found"),
    "system": ({"system": [{"type": "image"}]}, "system.0.type: Input should be 'text'"),
    "schema": ({"tools": [{"name": "f"}]}, "tools.0.input_schema: Field required"),
    "choice": ({"tools": [TOOL], "tool_choice": {"type": "x"}}, "tool_choice.type: Input should be"),
    "web search": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0: a tool of type"),
    "mcp": ({"mcp_servers": [{"type": "url", "url": "https://a", "name": "a"}]}, "mcp_servers: this costs money"),
    "fast": ({"speed": "fast"}, "speed: this costs money"),
    "container": ({"container": "c"}, "container: this costs money"),
    "compaction": ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits.0"),
    "another model": ({"fallbacks": [{"model": "x"}]}, "fallbacks: Extra inputs are not permitted"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses_in_anthropics_words(case: str) -> None:
    given, said = REFUSED[case]
    with pytest.raises(BadRequest) as refused:
        parsed(**given)
    assert refused.value.message.startswith(said)
    assert refused.value.param == said.partition(":")[0]


def test_it_counts_without_a_limit() -> None:
    chat = messages_request.parse_count(orjson.dumps({"model": "m", "messages": [HELLO], "tools": [TOOL]}))
    assert chat.output_limit is None
    assert chat.input_estimate() > 0
    assert messages.count_body(12) == b'{"input_tokens":12}'


# -- errors

ERRORS: dict[str, tuple[GatewayError, str]] = {
    "request": (BadRequest("x: y", "invalid_value", param="x"), "invalid_request_error"),
    "key": (Unauthorized(), "authentication_error"),
    "scope": (Forbidden("x", "model_not_allowed"), "permission_error"),
    "size": (TooLarge("x", "request_too_large"), "request_too_large"),
    "money": (QuotaExhausted("x", limit={"scope": "key"}), "rate_limit_error"),
    "ours": (Internal(), "api_error"),
    "theirs": (Unavailable(502, "x", "bad_gateway"), "api_error"),
    "overloaded": (Unavailable(503, "x", "upstream_overloaded"), "overloaded_error"),
    "late": (Unavailable(504, "x", "timeout"), "timeout_error"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_it_says_errors_in_anthropics_shape(case: str) -> None:
    error, kind = ERRORS[case]
    body = json.loads(MESSAGES.error(error))
    assert body["type"] == "error"
    assert (body["error"]["type"], body["error"]["message"]) == (kind, error.message)
    name, data, *rest = MESSAGES.error_event(error).split(b"\n")
    assert (name, rest) == (b"event: error", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == body


# -- answers

CHAT = MESSAGES.parse(b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}]}')
USED = Usage(input=6, cache_read=3, cache_write_5m=5, output=3, reasoning=1)
ASKED = Asked("msg_0", "m", include_usage=False, context_window=1000)


def completion(message: dict[str, Any], finish: str = "stop") -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body: dict[str, Any] = {"id": "msg_0", "object": "chat.completion", "model": "m", "choices": [choice]}
    body["service_tier"] = "default"
    return Answer(body, USED, False, finish)


ANSWERS: dict[str, tuple[dict[str, Any], str, list[dict[str, Any]], str]] = {
    "text": ({"content": "Hé"}, "stop", [text("Hé")], "end_turn"),
    "length": ({"content": "H"}, "length", [text("H")], "max_tokens"),
    "refusal": ({"content": None, "refusal": "No."}, "content_filter", [text("No.")], "refusal"),
    "calls": ({"content": "See:", "tool_calls": [CALL]}, "tool_calls", [text("See:"), USE], "tool_use"),
    "calls that say stop": ({"content": None, "tool_calls": [CALL]}, "stop", [USE], "tool_use"),
    "bad arguments": (
        {"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
        "tool_calls", [{**USE, "input": {}}], "tool_use",
    ),
    "thinking": (
        {"content": "A", "reasoning_content": "Hm."},
        "stop", [{"type": "thinking", "thinking": "Hm.", "signature": ""}, text("A")], "end_turn",
    ),
    "signed thinking": (
        {"content": "A", "reasoning_content": "Hm.", "reasoning_details": [SIGNED]},
        "stop", [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, text("A")], "end_turn",
    ),
    "thinking sealed elsewhere": (
        {"content": None, "tool_calls": [CALL], "reasoning_details": [FOREIGN]},
        "tool_calls", [{"type": "redacted_thinking", "data": sealed(FOREIGN)}, USE], "tool_use",
    ),
    "nothing": ({"content": ""}, "stop", [], "end_turn"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_it_answers_with_a_message(case: str) -> None:
    message, finish, content, reason = ANSWERS[case]
    body = json.loads(MESSAGES.answer(CHAT, completion(message, finish), USED, {"cost": {"amount": 1}}))
    assert (body["content"], body["stop_reason"], body["stop_sequence"]) == (content, reason, None)
    assert (body["id"], body["type"], body["role"], body["model"]) == ("msg_0", "message", "assistant", "m")
    assert body["cost"] == {"amount": 1}
    usage = anthropic.types.Usage(**body["usage"])
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (6, 3, 5)
    assert (usage.output_tokens, usage.service_tier) == (4, "standard")
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 1


def test_it_leaves_anthropics_own_answer_as_it_is() -> None:
    body: dict[str, Any] = {"id": "msg_0", "content": [], "usage": {"input_tokens": 6}}
    answer = Answer(dict(body), USED, False, "stop", speaks="anthropic")
    assert json.loads(MESSAGES.answer(CHAT, answer, USED, {"cost": 1})) == {**body, "cost": 1}
    answer = Answer({**body, "usage": None}, None, True, "stop", speaks="anthropic")
    assert json.loads(MESSAGES.answer(CHAT, answer, USED, {}))["usage"]["input_tokens"] == 6


# -- streams


def streamed(*deltas: dict[str, Any], finish: str | None = "stop") -> tuple[list[dict[str, Any]], Any]:
    """The events for these deltas, each under its own name, and what Anthropic's SDK makes of them."""
    writer = MESSAGES.writer(parsed(), "msg_0", 7)
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    raw = b"".join(map(writer.chunk, chunks)) + writer.tail(USED, {"cost": {"amount": 1}})
    found = []
    for one in raw.split(b"\n\n")[:-1]:
        name, data = one.split(b"\n")
        found.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    snapshot = None
    buffers: dict[int, bytes] = {}
    for event in found:
        if event["type"] != "ping":
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return found, snapshot


def call(index: int, arguments: str = "", **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments, **more.pop("function", {})}, **more}]}


def opening(index: int, name: str = "f") -> dict[str, Any]:
    return call(index, id=f"call_{index}", type="function", function={"name": name})


STREAMS: dict[str, tuple[list[dict[str, Any]], str, list[dict[str, Any]], str]] = {
    "text": ([{"role": "assistant", "content": ""}, {"content": "Hé"}, {"content": "llo"}], "stop",
             [text("Héllo")], "end_turn"),
    "nothing": ([{"role": "assistant", "content": ""}], "stop", [], "end_turn"),
    "length": ([{"content": "H"}], "length", [text("H")], "max_tokens"),
    "a call": ([{"content": "See:"}, opening(0), call(0, '{"x"'), call(0, ":1}")], "tool_calls",
               [text("See:"), {"type": "tool_use", "id": "call_0", "name": "f", "input": {"x": 1}}], "tool_use"),
    "a call in one": ([call(0, '{"x":1}', id="call_0", function={"name": "f"})], "stop",
                      [{"type": "tool_use", "id": "call_0", "name": "f", "input": {"x": 1}}], "tool_use"),
    "two calls": ([opening(0), call(0, '{"x":1}'), opening(1, "g"), call(1, '{"y":2}')], "tool_calls",
                  [{"type": "tool_use", "id": "call_0", "name": "f", "input": {"x": 1}},
                   {"type": "tool_use", "id": "call_1", "name": "g", "input": {"y": 2}}], "tool_use"),
    "two calls at once": (
        [opening(0), opening(1, "g"), call(1, '{"y"'), call(0, '{"x"'), call(1, ":2}"), call(0, ":1}")], "tool_calls",
        [{"type": "tool_use", "id": "call_0", "name": "f", "input": {"x": 1}},
         {"type": "tool_use", "id": "call_1", "name": "g", "input": {"y": 2}}], "tool_use"),
    "calls without arguments": ([opening(0), opening(1, "g")], "tool_calls",
                                [{"type": "tool_use", "id": "call_0", "name": "f", "input": {}},
                                 {"type": "tool_use", "id": "call_1", "name": "g", "input": {}}], "tool_use"),
    "thinking": ([{"reasoning_content": "H"}, {"reasoning_content": "m."}, {"content": "A"}], "stop",
                 [{"type": "thinking", "thinking": "Hm.", "signature": ""}, text("A")], "end_turn"),
    "signed thinking": (
        [{"reasoning_content": "Hm."}, {"reasoning_details": [SIGNED]}, {"reasoning_content": "\n\nAh."},
         {"reasoning_details": [{**SIGNED, "text": "Ah.", "index": 1}]}, {"content": "A"}], "stop",
        [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
         {"type": "thinking", "thinking": "Ah.", "signature": "c2ln"}, text("A")], "end_turn"),
    "signed thinking in one": ([{"reasoning_details": [SIGNED]}, {"content": "A"}], "stop",
                               [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, text("A")], "end_turn"),
    "thinking sealed elsewhere": (
        [call(0, "{}", id="call_0", function={"name": "f"}), {"reasoning_details": [FOREIGN]}], "tool_calls",
        [{"type": "tool_use", "id": "call_0", "name": "f", "input": {}},
         {"type": "redacted_thinking", "data": sealed(FOREIGN)}], "tool_use"),
    "thinking sealed after the answer": (
        [{"content": "A"}, {"reasoning_details": [{**FOREIGN, "id": None}]}], "stop", [text("A")], "end_turn"),
    "thinking sealed between words and a call": (
        [{"content": "A"}, {"reasoning_details": [{**FOREIGN, "id": None}]}, opening(0), call(0, "{}")], "tool_calls",
        [text("A"), {"type": "redacted_thinking", "data": sealed({**FOREIGN, "id": None})},
         {"type": "tool_use", "id": "call_0", "name": "f", "input": {}}], "tool_use"),
    "a refusal": ([{"refusal": "No."}], "content_filter", [text("No.")], "refusal"),
}  # fmt: skip


@pytest.mark.parametrize("case", STREAMS)
def test_it_streams_blocks_one_after_the_other(case: str) -> None:
    deltas, finish, content, reason = STREAMS[case]
    events, message = streamed(*deltas, finish=finish)
    assert [block.model_dump(exclude_none=True) for block in message.content] == content
    assert message.stop_reason == reason
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "ping"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    opened = [event["index"] for event in events if event["type"] == "content_block_start"]
    closed = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert opened == closed == list(range(len(content)))
    current = -1
    for event in events:
        if event["type"] == "content_block_start":
            current = event["index"]
        elif "index" in event:
            assert event["index"] == current


def test_it_ends_a_stream_with_what_was_used() -> None:
    events, message = streamed({"content": "A"})
    assert (message.id, message.model) == ("msg_0", "m")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (6, 4)
    assert (message.usage.cache_read_input_tokens, message.usage.cache_creation_input_tokens) == (3, 5)
    assert events[-2]["cost"] == {"amount": 1}


def test_it_is_served() -> None:
    assert SURFACES["/messages"] is MESSAGES
    assert (MESSAGES.id_prefix, MESSAGES.keepalive) == ("msg_", b'event: ping\ndata: {"type": "ping"}\n\n')
