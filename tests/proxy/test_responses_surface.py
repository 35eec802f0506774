"""The Responses API as a surface: every kind of item both ways, every sequence of events, answers and errors."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from openai.types.responses import Response

from billing.meters import Usage
from proxy.dialects.shape import Answer
from proxy.errors import BadRequest, Unavailable
from proxy.surfaces import SURFACES, responses_request
from proxy.surfaces.responses_items import sealed
from proxy.surfaces.responses_tools import MOST_NAME, flat

SURFACE = SURFACES["/responses"]
USED = Usage(input=6, cache_read=3, output=3, reasoning=1)
HELLO = {"role": "user", "content": "Hello"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "f", "description": "D.", "parameters": SCHEMA, "strict": True}
FUNCTION_HERE = {
    "type": "function",
    "function": {"name": "f", "description": "D.", "parameters": SCHEMA, "strict": True},
}
CALL = {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'}
CALL_HERE = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
CUSTOM = {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "ls"}
CUSTOM_HERE = {"id": "b", "type": "custom", "custom": {"name": "g", "input": "ls"}}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": "ok"}
OUTPUT_HERE = {"role": "tool", "tool_call_id": "a", "content": "ok"}
SIGNED = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
SPACE = {"type": "namespace", "name": "crm", "description": "D.", "tools": [{**FUNCTION, "name": "find"}]}


def parsed(**body: Any) -> Any:
    return SURFACE.parse(orjson.dumps({"model": "m", "input": "Hello", **body}))


def thought(content: str | None) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content}


def part(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


def part_here(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


ITEMS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "a text": ("Hello", [HELLO]),
    "a message": ([{"type": "message", **HELLO}], [HELLO]),
    "every role": (
        [{"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")],
        [{"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")],
    ),
    "an answer": (
        [HELLO, {"role": "assistant", "content": [{"type": "output_text", "text": "A"},
                                                  {"type": "refusal", "refusal": "No."}]}],
        [HELLO, {"role": "assistant", "content": "ANo."}],
    ),
    "a text part": (part(type="input_text", text="x"), part_here(type="text", text="x")),
    "an image": (
        part(type="input_image", image_url="https://a/b.png", detail="low"),
        part_here(type="image_url", image_url={"url": "https://a/b.png", "detail": "low"}),
    ),
    "a file": (
        part(type="input_file", filename="a.pdf", file_data="data:application/pdf;base64,JVBERi0="),
        part_here(type="file", file={"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}),
    ),
    "audio": (
        part(type="input_audio", input_audio={"data": "AAAA", "format": "wav"}),
        part_here(type="input_audio", input_audio={"data": "AAAA", "format": "wav"}),
    ),
    "a call": ([HELLO, CALL, OUTPUT], [HELLO, {"role": "assistant", "content": None, "tool_calls": [CALL_HERE]},
                                       OUTPUT_HERE]),
    "calls in one turn": (
        [HELLO, {"role": "assistant", "content": "See:"}, CALL, CUSTOM, OUTPUT,
         {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "x"}]}],
        [HELLO, {"role": "assistant", "content": "See:", "tool_calls": [CALL_HERE, CUSTOM_HERE]}, OUTPUT_HERE,
         {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "x"}]}],
    ),
    "calls in several turns": (
        [HELLO, CALL, OUTPUT, {**CALL, "call_id": "c"}, {**OUTPUT, "call_id": "c"}],
        [HELLO, {"role": "assistant", "content": None, "tool_calls": [CALL_HERE]}, OUTPUT_HERE,
         {"role": "assistant", "content": None, "tool_calls": [{**CALL_HERE, "id": "c"}]},
         {**OUTPUT_HERE, "tool_call_id": "c"}],
    ),
    "a call of a namespace": (
        [HELLO, {**CALL, "namespace": "crm", "name": "find"}, OUTPUT],
        [HELLO, {"role": "assistant", "content": None, "tool_calls": [
            {**CALL_HERE, "function": {"name": "crm__find", "arguments": '{"x":1}'}}]}, OUTPUT_HERE],
    ),
    "signed reasoning": (
        [HELLO, thought(sealed([SIGNED])), CALL, OUTPUT],
        [HELLO, {"role": "assistant", "content": None, "reasoning_details": [SIGNED], "tool_calls": [CALL_HERE]},
         OUTPUT_HERE],
    ),
    "reasoning of others": (
        [HELLO, thought("gAAAA"), thought(None), thought("tollgate.???"), {"role": "assistant", "content": "A"}],
        [HELLO, {"role": "assistant", "content": "A"}],
    ),
    "reasoning that was broken off": (
        [HELLO, thought(sealed([SIGNED])), HELLO, {"role": "assistant", "content": "A"}],
        [HELLO, HELLO, {"role": "assistant", "content": "A"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ITEMS)
def test_it_says_items_as_messages(case: str) -> None:
    given, expected = ITEMS[case]
    assert parsed(input=given).body == {"model": "m", "messages": expected}


PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limit": ({"max_output_tokens": 9}, {"max_completion_tokens": 9}),
    "effort": ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
    "no effort": ({"reasoning": {"summary": "auto"}}, {}),
    "verbosity": ({"text": {"verbosity": "low", "format": {"type": "text"}}},
                  {"verbosity": "low", "response_format": {"type": "text"}}),
    "a schema": (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}},
    ),
    "tools": ({"tools": [FUNCTION]}, {"tools": [FUNCTION_HERE]}),
    "a tool's other members": ({"tools": [{**FUNCTION, "defer_loading": True}]}, {"tools": [FUNCTION_HERE]}),
    "a grammar": (
        {"tools": [{"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark",
                                                              "definition": "x"}}]},
        {"tools": [{"type": "custom", "custom": {
            "name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}]},
    ),
    "a choice": ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
                 {"tools": [FUNCTION_HERE], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
    "a choice in a namespace": (
        {"tools": [FUNCTION, SPACE], "tool_choice": {"type": "function", "name": "find", "namespace": "crm"}},
        {"tools": [FUNCTION_HERE, {"type": "function", "function": {**FUNCTION_HERE["function"],  # type: ignore[dict-item]
                                                                    "name": "crm__find"}}],
         "tool_choice": {"type": "function", "function": {"name": "crm__find"}}},
    ),
    "a choice among some": (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}},
        {"tools": [FUNCTION_HERE], "tool_choice": "required"}),
    "offered beside": ({"tools": [FUNCTION, {"type": "web_search"}, {"type": "image_generation"}]},
                       {"tools": [FUNCTION_HERE]}),
    "nothing to include": ({"include": 7}, {}),
    "without effect": ({"include": ["x"], "truncation": "auto", "client_metadata": {}, "stream_options": {},
                        "max_tool_calls": 3}, {}),
    "probabilities of what is said": ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
    "probabilities": ({"top_logprobs": 2}, {"top_logprobs": 2, "logprobs": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", PARAMETERS)
def test_it_translates_parameters(case: str) -> None:
    given, expected = PARAMETERS[case]
    assert parsed(**given).body == {"model": "m", "messages": [HELLO], **expected}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no array": ({"input": 7}, "input"),
    "no object": ({"input": [7]}, "input[0]"),
    "an unknown item": ({"input": [{"type": "news"}]}, "input[0].type"),
    "no id": ({"input": [{**CALL, "call_id": None}]}, "input[0].call_id"),
    "no name": ({"input": [{"type": "function_call", "call_id": "a"}]}, "input[0].name"),
    "no output": ({"input": [CALL, {"type": "function_call_output", "call_id": "a"}]}, "input[1].output"),
    "a file kept elsewhere": ({"input": part(type="input_file", file_id="f")}, "input[0].content[0].file_data"),
    "an unknown part": ({"input": part(type="news")}, "input[0].content[0].type"),
    "no content": ({"input": [{"role": "user"}]}, "input[0].content"),
    "no tools": ({"tools": {}}, "tools"),
    "a tool that is none": ({"tools": [7]}, "tools[0]"),
    "a tool of no kind": ({"tools": [{}]}, "tools[0].type"),
    "a tool that is run elsewhere": ({"tools": [FUNCTION, {"type": "code_interpreter"}]}, "tools[1].type"),
    "only what is offered": ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    "a namespace without a name": ({"tools": [{**SPACE, "name": None}]}, "tools[0].name"),
    "a namespace without tools": ({"tools": [{**SPACE, "tools": None}]}, "tools[0].tools"),
    "a nameless tool in one": ({"tools": [{**SPACE, "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
    "a namespace in one": ({"tools": [{**SPACE, "tools": [SPACE]}]}, "tools[0].tools[0].type"),
    "instructions": ({"instructions": []}, "instructions"),
    "reasoning": ({"reasoning": "low"}, "reasoning"),
    "text": ({"text": "x"}, "text"),
    "a format": ({"text": {"format": "x"}}, "text.format"),
    "a state": ({"conversation": "c"}, "conversation"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_it_names_what_is_wrong(case: str) -> None:
    given, param = WRONG[case]
    with pytest.raises(BadRequest) as refused:
        parsed(**given)
    assert refused.value.param == param


def test_long_names_stay_apart_and_within_bounds() -> None:
    first, second = (flat("mcp__a_rather_long_namespace_of_tools", f"and_a_name_that_is_long_{n}") for n in "ab")
    assert len(first) == len(second) == MOST_NAME
    assert first != second
    assert flat("mcp__docs__", "find") == "mcp__docs__find"


# -- answers


def answered(message: dict[str, Any], finish: str = "stop", **asked: Any) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body: dict[str, Any] = {"id": "resp_0", "created": 7, "choices": [choice]}
    raw = SURFACE.answer(parsed(**asked), Answer(body, USED, False, finish), USED, {"cost": {"amount": 1}})
    return Response.model_validate_json(raw)


ANSWERS: dict[str, tuple[dict[str, Any], str, list[str], str]] = {
    "text": ({"content": "A"}, "stop", ["message"], "completed"),
    "nothing": ({"content": ""}, "stop", ["message"], "completed"),
    "length": ({"content": "A"}, "length", ["message"], "incomplete"),
    "filtered": ({"content": "A"}, "content_filter", ["message"], "incomplete"),
    "a refusal": ({"content": None, "refusal": "No."}, "stop", ["message"], "completed"),
    "a call": ({"content": None, "tool_calls": [CALL_HERE]}, "tool_calls", ["function_call"], "completed"),
    "all": ({"content": "A", "reasoning_content": "Hm.", "reasoning_details": [SIGNED],
             "tool_calls": [CALL_HERE, CUSTOM_HERE]}, "tool_calls",
            ["reasoning", "message", "function_call", "custom_tool_call"], "completed"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_it_answers_with_items(case: str) -> None:
    message, finish, kinds, status = ANSWERS[case]
    response = answered(message, finish)
    assert [one.type for one in response.output] == kinds
    assert (response.status, response.id, response.model) == (status, "resp_0", "m")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (9, 4, 13)
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert response.usage.output_tokens_details.reasoning_tokens == 1


def test_answers_go_back_as_they_came() -> None:
    message = {"content": "A", "reasoning_details": [SIGNED], "tool_calls": [CALL_HERE, CUSTOM_HERE]}
    brought = json.loads(answered(message, "tool_calls").to_json())["output"]
    expected = {"role": "assistant", "content": "A", "reasoning_details": [SIGNED]}
    [said] = parsed(input=brought).body["messages"]
    assert said == {**expected, "tool_calls": [CALL_HERE, CUSTOM_HERE]}


# -- streams


def streamed(*deltas: dict[str, Any], finish: str = "stop", **asked: Any) -> list[dict[str, Any]]:
    """The events for these deltas, each under its own name and numbered."""
    writer = SURFACE.writer(parsed(**asked), "resp_0", 7)
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    raw = b"".join(map(writer.chunk, chunks)) + writer.tail(USED, {"cost": {"amount": 1}})
    found = []
    for one in raw.split(b"\n\n")[:-1]:
        name, data = one.split(b"\n")
        found.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def call(index: int, arguments: str = "", **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments, **more.pop("function", {})}, **more}]}


def opening(index: int, name: str = "f") -> dict[str, Any]:
    return call(index, id=f"call_{index}", type="function", function={"name": name})


ITEM, PART = ("output_item.added", "output_item.done"), ("content_part.added", "content_part.done")
SAID = [ITEM[0], PART[0], "output_text.delta", "output_text.done", PART[1], ITEM[1]]
ARGUMENTS = "function_call_arguments"
CALLED = [ITEM[0], f"{ARGUMENTS}.delta", f"{ARGUMENTS}.done", ITEM[1]]
SUMMARY = "reasoning_summary"
STREAMS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "text": ([{"role": "assistant", "content": ""}, {"content": "A"}], SAID),
    "nothing": ([{"role": "assistant", "content": ""}], [ITEM[0], ITEM[1]]),
    "a refusal": ([{"refusal": "No."}],
                  [ITEM[0], PART[0], "refusal.delta", "refusal.done", PART[1], ITEM[1]]),
    "thinking and text": (
        [{"reasoning_content": "Hm."}, {"reasoning_details": [SIGNED]}, {"content": "A"}],
        [ITEM[0], f"{SUMMARY}_part.added", f"{SUMMARY}_text.delta", f"{SUMMARY}_text.done", f"{SUMMARY}_part.done",
         ITEM[1], *SAID]),
    "sealed thinking": ([{"reasoning_details": [{**SIGNED, "text": ""}]}, {"content": "A"}], [*ITEM, *SAID]),
    "a call": ([opening(0), call(0, "{}")], CALLED),
    "text and a call": ([{"content": "A"}, opening(0), call(0, "{}")], [*SAID, *CALLED]),
    "calls in turns": (
        [opening(0), opening(1, "g"), call(1, "{}"), call(0, "{}")],
        [ITEM[0], ITEM[0], f"{ARGUMENTS}.delta", f"{ARGUMENTS}.delta", *CALLED[2:], *CALLED[2:]]),
    "a custom call": (
        [{"tool_calls": [{"index": 0, "id": "b", "type": "custom", "custom": {"name": "g", "input": "ls"}}]}],
        [ITEM[0], "custom_tool_call_input.delta", "custom_tool_call_input.done", ITEM[1]]),
}  # fmt: skip


@pytest.mark.parametrize("case", STREAMS)
def test_it_streams_events_in_order(case: str) -> None:
    deltas, kinds = STREAMS[case]
    events = streamed(*deltas)
    told = [event["type"].removeprefix("response.") for event in events]
    assert told == ["created", "in_progress", *kinds, "completed"]
    ended = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    whole = events[-1]["response"]
    assert sorted(whole["output"], key=lambda one: one["id"][-4:]) == sorted(ended, key=lambda one: one["id"][-4:])
    assert (whole["usage"]["total_tokens"], whole["cost"]) == (13, {"amount": 1})
    places = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    assert places == list(range(len(ended)))


def test_parts_that_are_told_make_up_what_is_done() -> None:
    events = streamed({"content": "Hé"}, {"content": "llo"}, opening(0), call(0, '{"x"'), call(0, ":1}"))
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    arguments = "".join(event["delta"] for event in events if event["type"].endswith("arguments.delta"))
    message, made = events[-1]["response"]["output"]
    assert (message["content"][0]["text"], made["arguments"]) == (text, arguments) == ("Héllo", '{"x":1}')


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_stream_tells_why_it_is_incomplete(finish: str, reason: str) -> None:
    last = streamed({"content": "A"}, finish=finish)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": reason}


@pytest.mark.parametrize("stream", [False, True])
def test_calls_come_back_under_their_namespace(stream: bool) -> None:
    if stream:
        [made] = streamed(opening(0, "crm__find"), call(0, "{}"), tools=[FUNCTION, SPACE])[-1]["response"]["output"]
    else:
        function = {"name": "crm__find", "arguments": "{}"}
        message = {"content": None, "tool_calls": [{**CALL_HERE, "function": function}]}
        [made] = json.loads(answered(message, tools=[FUNCTION, SPACE]).to_json())["output"]
    assert (made["name"], made["namespace"]) == ("find", "crm")


LIKELY = {"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []}


def test_it_tells_how_likely_each_token_was() -> None:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "A"},
        "logprobs": {"content": [LIKELY]},
        "finish_reason": "stop",
    }
    answer = Answer({"id": "resp_0", "created": 7, "choices": [choice]}, USED, False, "stop")
    whole = json.loads(SURFACE.answer(parsed(), answer, USED, {}))["output"][0]["content"][0]
    assert whole["logprobs"] == [LIKELY]
    writer = SURFACE.writer(parsed(), "resp_0", 7)
    said = {"index": 0, "delta": {"content": "A"}, "logprobs": {"content": [LIKELY]}}
    raw = writer.chunk({"choices": [said]}) + writer.tail(USED, {})
    events = [json.loads(one.partition(b"\ndata: ")[2]) for one in raw.split(b"\n\n")[:-1]]
    told = [event["logprobs"] for event in events if event["type"].startswith("response.output_text.")]
    assert told == [[LIKELY], [LIKELY]]
    assert events[-1]["response"]["output"][0]["content"][0] == whole


# -- errors


def test_errors_are_openais() -> None:
    error = json.loads(SURFACE.error(BadRequest("No.", "invalid_value", param="x")))["error"]
    assert (error["message"], error["type"], error["param"]) == ("No.", "invalid_request_error", "x")


@pytest.mark.parametrize(
    "error", [Unavailable(502, "No.", "bad_gateway"), Unavailable(503, "No.", "upstream_overloaded")]
)
def test_a_broken_stream_says_why_in_both_words(error: Any) -> None:
    first, second, rest = SURFACE.error_event(error).split(b"\n\n")
    assert rest == b""
    told, failed = (json.loads(one.partition(b"\ndata: ")[2]) for one in (first, second))
    assert (told["type"], told["code"], told["error"]["message"]) == ("error", error.code, "No.")
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": error.code, "message": "No."}


def test_it_says_that_nothing_is_cut_to_fit() -> None:
    asked = {"model": "m", "input": "x"}
    parse = responses_request.parse
    assert parse(orjson.dumps({**asked, "truncation": "auto"})).dropped == ("truncation",)
    assert parse(orjson.dumps({**asked, "truncation": "disabled"})).dropped == ()
