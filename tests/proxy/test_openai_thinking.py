"""OpenAI's upstreams that want their reasoning back: what they are sent, and what of their answers is kept for that."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from proxy import chat, dialects, recollection, rules
from proxy.admission import Quote
from proxy.dialects.openai import OpenAI
from proxy.dialects.openai_stream import OpenAIStream
from proxy.dialects.openai_thinking import MOST_BYTES, UNKNOWN, OpenAIThinking, ThinkingStream, lasting_ids
from proxy.dialects.shape import Asked
from proxy.directory import Route
from proxy.surfaces import messages_request, responses_request
from tests.proxy.test_openai_dialect import ASKED, DONE, STOP, TALK, chunk, event
from tests.proxy.test_routing import candidate
from tests.proxy.test_routing import route as plain_route

ID, OTHER = "call_00_aB3dE5fG", "call_01_hI7jK9lM"
ASK = {"role": "user", "content": "Weather?"}
RESULT = {"role": "tool", "tool_call_id": ID, "content": "sunny"}
FINAL = {"role": "assistant", "content": "Sunny."}


def call(identifier: Any = ID, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}


def turn(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls or (call(),)), **more}


def detail(text: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text, "index": 0}


SIGNED = {**detail("Signed."), "signature": "c2ln", "format": "anthropic-claude-v1"}
SEALED = {"type": "reasoning.encrypted", "data": "xyz", "index": 0}
#: messages, what was remembered by call, what was shown by place, the reasoning of each message that is sent
SENT: dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[int, str], list[str | None]]] = {
    "no tools": ([ASK, FINAL, ASK], {}, {1: "Shown."}, [None, None, None]),
    "the client's own": (
        [ASK, turn(reasoning_content="Own."), RESULT], {ID: [detail("Kept.")]}, {}, [None, "Own.", None],
    ),
    "its details": (
        [ASK, turn(reasoning_details=[detail("De"), detail("tails."), SEALED, 7]), RESULT],
        {ID: [detail("Kept.")]}, {1: "Shown."}, [None, "Details.", None],
    ),
    "remembered": ([ASK, turn(), RESULT], {ID: [detail("Kept.")]}, {1: "Shown."}, [None, "Kept.", None]),
    "of another provider": ([ASK, turn(), RESULT], {ID: [SIGNED]}, {}, [None, "Signed.", None]),
    "only shown": ([ASK, turn(), RESULT], {ID: [SEALED]}, {1: "Shown."}, [None, "Shown.", None]),
    "the second call's": ([ASK, turn(call(OTHER), call())], {ID: [detail("Kept.")]}, {}, [None, "Kept."]),
    "nothing known": ([ASK, turn(), RESULT], {}, {}, [None, UNKNOWN, None]),
    "empty or no text": (
        [ASK, turn(reasoning_content=""), RESULT, turn(reasoning_content=None), RESULT, turn(reasoning_details="x")],
        {}, {}, [None, UNKNOWN, None, UNKNOWN, None, UNKNOWN],
    ),
    "answers before and after": (
        [ASK, FINAL, ASK, turn(), RESULT, FINAL, ASK, {**FINAL, "reasoning_content": "Own."}, ASK],
        {ID: [detail("Kept.")]}, {5: "Shown."}, [None, None, None, "Kept.", None, "Shown.", None, "Own.", None],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SENT)
def test_it_sends_what_was_thought(case: str) -> None:
    messages, remembered, shown, expected = SENT[case]
    before = orjson.dumps(messages)
    request = chat.request({"model": "ours", "messages": messages}, size=100)
    request.thoughts, request.thinking = remembered, shown
    sent = orjson.loads(OpenAIThinking().call(request, "theirs", 50, {}).body)["messages"]
    assert [message.pop("reasoning_content", None) for message in sent] == expected
    bare = ("reasoning_content", "reasoning_details")
    assert sent == [{name: value for name, value in one.items() if name not in bare} for one in messages]
    assert orjson.dumps(request.body["messages"]) == before


def test_who_does_not_want_it_is_sent_what_the_client_sent() -> None:
    messages = [ASK, turn(reasoning_content="Own."), RESULT, turn(), RESULT]
    request = chat.request({"model": "ours", "messages": messages}, size=100)
    request.thoughts, request.thinking = {ID: [detail("Kept.")]}, {1: "Shown."}
    assert orjson.loads(OpenAI().call(request, "theirs", 50, {}).body)["messages"] == messages


def test_the_rule_chooses_the_dialect_of_a_route() -> None:
    wants = rules.merged({"like": "deepseek"})
    refuses = rules.merged({"like": "deepseek"}, {"reasoning_content": False})
    target = plain_route(1).target
    found = [Route(1, target, "m", 1, 1, given).dialect for given in ({}, wants, refuses)]
    assert found == ["openai", rules.THINKING, "openai"]
    assert rules.spoken("anthropic", wants) == "anthropic"
    assert type(dialects.find("responses", rules.THINKING)) is OpenAIThinking
    assert type(dialects.find("chat", "openai")) is OpenAI
    assert rules.THINKING not in dialects.NAMES
    for operation in ("embeddings", "images"):
        assert type(dialects.find(operation, rules.THINKING)) is type(dialects.find(operation, "openai"))


IDS = {
    "call_00_aB3dE5fG": True,
    "chatcmpl-tool-0123456789abcdef": True,
    "toolu_01A09q90qw90lq917835lq9": True,
    "call_0": False,
    "functions.get_weather:0": False,
    "forecasts": False,
    "": False,
    None: False,
}


@pytest.mark.parametrize("identifier", IDS)
def test_it_remembers_nothing_by_an_id_that_recurs(identifier: str | None) -> None:
    made = {"id": identifier, "function": {"name": "forecasts", "arguments": "{}"}}
    custom = {"id": identifier, "type": "custom", "custom": {"name": "forecasts", "input": ""}}
    expected = [identifier] if IDS[identifier] else []
    assert lasting_ids([made]) == lasting_ids([custom]) == expected
    assert lasting_ids(["x", {"id": identifier, "function": 7}]) == expected or identifier == "forecasts"


LOOKED_UP: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[str]]] = {
    "wanted": ("openai", {"like": "deepseek"}, {}, [ID]),
    "not wanted": ("openai", {}, {}, []),
    "signed elsewhere": ("anthropic", {}, {"reasoning_content": "Own."}, [ID]),
    "brought": ("openai", {"like": "deepseek"}, {"reasoning_content": "Own."}, []),
}


@pytest.mark.parametrize("case", LOOKED_UP)
def test_it_looks_up_what_is_wanted_and_was_not_brought(case: str) -> None:
    dialect, given, own, expected = LOOKED_UP[case]
    target = replace(plain_route(1).target, dialect=dialect)
    route = Route(1, target, "m", 1, 1, rules.merged(given))
    span: Any = None
    quote = Quote((candidate(plain_route(2), route),), span, 0, datetime(2026, 1, 1, tzinfo=UTC))
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"model": "m", "messages": [ASK, turn(**own), RESULT], "tools": tools}
    assert recollection.missing(chat.request(body, size=9), quote) == expected
    assert recollection.missing(chat.request({**body, "messages": [ASK]}, size=9), quote) == []
    del body["tools"]
    assert recollection.missing(chat.request(body, size=9), quote) == []


def test_it_knows_how_large_what_it_adds_is() -> None:
    kept = [detail("Kept.")]
    messages = [ASK, turn(call(), call(OTHER)), RESULT, turn(call(OTHER)), turn(call("unknown"))]
    request = chat.request({"model": "m", "messages": messages}, size=9)
    assert recollection.added(request, {ID: kept, OTHER: kept}) == 2 * len(orjson.dumps(kept))
    assert recollection.added(request, {ID: kept, OTHER: [SIGNED]}) == len(
        orjson.dumps(kept) + 2 * orjson.dumps([SIGNED])
    )
    assert recollection.added(request, {}) == 0


# -- whole answers


def whole(*messages: dict[str, Any]) -> bytes:
    choices = [{"index": index, "message": message, "finish_reason": "stop"} for index, message in enumerate(messages)]
    return orjson.dumps({"id": "x", "model": "m", "choices": choices})


def test_it_keeps_the_reasoning_of_every_call() -> None:
    told = turn(call(), call(OTHER), reasoning_content="Hm.")
    answer = OpenAIThinking().answer(whole(told), ASKED)
    assert answer.thoughts == {ID: [detail("Hm.")], OTHER: [detail("Hm.")]}
    [choice] = answer.body["choices"]
    assert choice["message"] == {**told, "reasoning_details": [detail("Hm.")]}


@pytest.mark.parametrize(
    "message",
    [FINAL, {**FINAL, "reasoning_content": "Hm."}, turn(), turn(reasoning_content=""), turn(reasoning_content=7)],
)
def test_it_keeps_nothing_where_nothing_led_to_a_call(message: dict[str, Any]) -> None:
    answer = OpenAIThinking().answer(whole(message), ASKED)
    assert answer.thoughts == {}
    assert answer.body == OpenAI().answer(whole(message), ASKED).body


def test_it_keeps_each_choice_apart_and_an_upstreams_own_details() -> None:
    theirs = [{"type": "reasoning.text", "text": "A."}]
    first = turn(reasoning_content="A.", reasoning_details=theirs)
    answer = OpenAIThinking().answer(whole(first, turn(call(OTHER), reasoning_content="B.")), ASKED)
    assert answer.thoughts == {ID: theirs, OTHER: [detail("B.")]}


# -- streams


def thought(text: str | None, index: int = 0, name: str = "reasoning_content") -> dict[str, Any]:
    return chunk({"content": None, name: text}, index=index)


def called(identifier: str | None, place: int = 0, index: int = 0, arguments: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"index": place, "function": {"arguments": arguments}}
    if identifier is not None:
        made |= {"id": identifier, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return chunk({"tool_calls": [made]}, index=index)


ROLE = chunk({"role": "assistant", "content": None, "reasoning_content": ""})
CALLED = [called(ID), called(None, arguments="{}")]
END = chunk({"content": "", "reasoning_content": None}, "tool_calls")
WORDS = ["Hm", 'm "reasoning_content":"x" \\', "\n\n漢", "字 🎉."]
Kept = dict[str, str]
STREAMS: dict[str, tuple[bytes, Kept]] = {
    "one call": (b"".join(map(event, [ROLE, *map(thought, WORDS), *CALLED, END])), {ID: "".join(WORDS)}),
    "two calls": (
        b"".join(map(event, [ROLE, *map(thought, WORDS), *CALLED, called(OTHER, 1), called(None, 1, 0, "{}"), END])),
        {ID: "".join(WORDS), OTHER: "".join(WORDS)},
    ),
    "words between": (
        b"".join(map(event, [ROLE, thought("A"), thought("B"), chunk({"content": "See:"}), *CALLED, END])), {ID: "AB"},
    ),
    "another name": (
        b"".join(map(event, [ROLE, *(thought(text, name="reasoning") for text in "AB"), *CALLED, END])), {ID: "AB"},
    ),
    "no thought": (b"".join(map(event, [ROLE, thought(None), thought(""), *CALLED, END])), {}),
    "no call": (b"".join(map(event, [ROLE, thought("A"), *TALK, STOP])), {}),
    "an id that recurs": (b"".join(map(event, [ROLE, thought("A"), called("call_0"), END])), {}),
    "too long": (b"".join(map(event, [ROLE, thought("x" * MOST_BYTES), thought("y"), *CALLED, END])), {}),
}  # fmt: skip


def fed(stream: OpenAIStream, pieces: list[bytes]) -> list[dict[str, Any]]:
    out = b"".join(map(stream.feed, pieces)) + stream.close()
    assert stream.failure is None
    return [json.loads(line[6:]) for line in out.split(b"\n") if line]


def kept(stream: OpenAIStream) -> Kept:
    return {name: "".join(one["text"] for one in details) for name, details in stream.thoughts.items()}


@pytest.mark.parametrize("case", STREAMS)
def test_it_keeps_what_a_stream_thought(case: str) -> None:
    data, expected = STREAMS[case]
    stream = ThinkingStream(ASKED)
    told = fed(stream, [data + DONE])
    assert kept(stream) == expected
    details = [one["choices"][0]["delta"].pop("reasoning_details", None) for one in told]
    assert [one[0]["text"] for one in details if one] == [*dict.fromkeys(expected.values())] or not expected
    assert told == fed(OpenAIStream(ASKED), [data + DONE])


@pytest.mark.parametrize("case", [case for case in STREAMS if case != "too long"])
def test_it_keeps_it_however_the_stream_is_cut(case: str) -> None:
    data, expected = STREAMS[case][0] + DONE, STREAMS[case][1]
    for place in range(1, len(data)):
        stream = ThinkingStream(ASKED)
        fed(stream, [data[:place], data[place:]])
        assert kept(stream) == expected, place


def test_blocks_of_thoughts_pass_as_they_are() -> None:
    stream, plain = ThinkingStream(ASKED), OpenAIStream(ASKED)
    for block in (event(ROLE), b"".join(event(thought(text)) for text in WORDS)):
        assert stream.feed(block) == plain.feed(block)
    assert (stream.delivered(), stream.said()) == (plain.delivered(), plain.said())


@pytest.mark.parametrize(
    ("halves", "expected"), [([rb"\ud83c", rb"\udf89"], {ID: "\ufffd\ufffd"}), ([rb"\ud83c"], {ID: "\ufffd"})]
)
def test_half_a_character_is_marked_as_everywhere(halves: list[bytes], expected: Kept) -> None:
    stream = ThinkingStream(ASKED)
    stream.feed(event(ROLE))
    stream.feed(b"".join(event(thought("HALF")).replace(b"HALF", half) for half in halves))
    fed(stream, [b"".join(map(event, [*CALLED, END])) + DONE])
    assert kept(stream) == expected


def test_it_keeps_the_choices_of_a_stream_apart() -> None:
    asked: Asked = ASKED._replace(choices=2)
    thoughts = [thought(text, index) for text in ("a", "b") for index in (0, 1)]
    ends = [chunk({}, "tool_calls", index) for index in (0, 1)]
    parts = [ROLE, *thoughts, thought("c", 1), called(ID), called(OTHER, 0, 1), *ends]
    stream = ThinkingStream(asked)
    fed(stream, [b"".join(map(event, parts)) + DONE])
    assert kept(stream) == {ID: "ab", OTHER: "abc"}


# -- what other surfaces were shown


def test_messages_bring_what_was_shown_signed_or_not() -> None:
    blocks = {"a": {"type": "thinking", "thinking": "A.", "signature": ""}, "b": {"type": "text", "text": "Hi"}}
    use = {"type": "tool_use", "id": ID, "name": "f", "input": {}}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": ID, "content": "x"}]}
    signed = {"type": "thinking", "thinking": "B.", "signature": "c2ln"}
    alone = {"role": "assistant", "content": [blocks["a"]]}
    turns = [ASK, alone, {"role": "assistant", "content": [blocks["a"], blocks["b"], use]}, result]
    turns += [{"role": "assistant", "content": [signed, blocks["b"]]}, ASK]
    body = {"model": "m", "max_tokens": 9, "system": "S", "messages": turns}
    request = messages_request.parse(orjson.dumps(body))
    assert request.thinking == {2: "A.", 4: "B."}
    assert [message["role"] for message in request.body["messages"]] == [
        "system", "user", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip
    assert request.thoughts == {}
    assert not any("reasoning_content" in message for message in request.body["messages"])


def item(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


def reasoning(text: str, name: str = "summary") -> dict[str, Any]:
    return item("reasoning", id="rs_1", **{"summary": [], name: [{"type": "x", "text": text}]})


def used(identifier: str) -> dict[str, Any]:
    return item("function_call", call_id=identifier, name="f", arguments="{}")


def output(identifier: str) -> dict[str, Any]:
    return item("function_call_output", call_id=identifier, output="x")


SAID = {"role": "assistant", "content": "A"}
SHOWN: dict[str, tuple[list[dict[str, Any]], dict[int, str]]] = {
    "a call": ([ASK, reasoning("A."), used("a"), output("a")], {1: "A."}),
    "its content": ([ASK, reasoning("A.", "content"), used("a"), output("a")], {1: "A."}),
    "in two": ([ASK, reasoning("A"), reasoning("B"), used("a"), output("a")], {1: "AB"}),
    "an answer": ([ASK, reasoning("A."), SAID, ASK], {1: "A."}),
    "an answer and a call": ([ASK, reasoning("A."), SAID, used("a"), output("a")], {1: "A."}),
    "parallel calls": ([ASK, reasoning("A."), used("a"), used("b"), output("a"), output("b")], {1: "A."}),
    "calls in turns": ([ASK, reasoning("A."), used("a"), output("a"), used("b"), output("b")], {1: "A.", 3: "A."}),
    "the next turn": (
        [ASK, reasoning("A."), used("a"), output("a"), reasoning("B."), used("b"), output("b"), SAID],
        {1: "A.", 3: "B."},
    ),
    "the answer has its own": (
        [ASK, reasoning("A."), used("a"), output("a"), reasoning("B."), SAID],
        {1: "A.", 3: "B."},
    ),
    "nothing came of it": ([ASK, reasoning("A."), ASK, SAID], {}),
    "nothing was shown": ([ASK, reasoning(""), SAID], {}),
    "odd parts": ([ASK, item("reasoning", summary=[7, {"text": 7}], content="x"), SAID], {}),
}


@pytest.mark.parametrize("case", SHOWN)
def test_responses_bring_what_was_shown(case: str) -> None:
    items, expected = SHOWN[case]
    request = responses_request.parse(orjson.dumps({"model": "m", "input": items}))
    assert request.thinking == expected
    assert not any("reasoning_content" in message for message in request.body["messages"])
