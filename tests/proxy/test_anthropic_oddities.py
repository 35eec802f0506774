"""Anthropic's dialects and surface with any value in any place: an answer or a GatewayError, and no other exception."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from proxy import chat
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Asked, MalformedAnswer
from proxy.errors import BadRequest, GatewayError
from proxy.surfaces import MESSAGES, messages_request
from tests.proxy.test_anthropic_dialect import DEEP, PARAMETERS, TALK, message, tool_turn
from tests.proxy.test_anthropic_dialect import MESSAGES as CHATS
from tests.proxy.test_messages_surface import MESSAGES_HERE, USED, completion
from tests.proxy.test_messages_surface import PARAMETERS as PARAMETERS_HERE

ASKED = Asked("msg_0", "m", include_usage=True, context_window=1_000_000)
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 1.5, "", " ", "x", "a\0b", "data:,", "https://", "é🎉", [], [[]], [None], [7], ["x"], {},
    {"type": "text"}, {"type": []}, [{}], [{"type": "image"}], [{"type": "tool_result"}],
    {"type": "image", "source": 7}, {"function": 7}, {"id": []}, {"name": {}},
    [{"type": "reasoning.text", "text": 7, "signature": 7}],
)  # fmt: skip
MODELS = ("claude-3-5-haiku-20241022", "claude-sonnet-4-5-20250929", "claude-opus-4-8", "else")
RULES: tuple[dict[str, Any], ...] = ({}, {"thinking": "always", "sampling": False, "forced_tool_choice": False})
TIMES = 60
ASKING = messages_request.parse(b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}]}')


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value with each of its keys."""
    inner = node.items() if type(node) is dict else enumerate(node) if type(node) is list else ()
    for key, value in inner:
        yield node, key
        yield from places(value)


def mutated(value: Any, draw: random.Random) -> Any:
    """The value with one to three places made odd, emptied, or moved."""
    odd = copy.deepcopy(value)
    for _ in range(draw.randint(1, 3)):
        found = list(places(odd))
        if not found:
            break
        holder, key = draw.choice(found)
        if type(holder) is dict and draw.random() < 0.2:
            del holder[key]
        elif draw.random() < 0.2:
            holder[key] = copy.deepcopy(draw.choice(found)[0])
        else:
            holder[key] = copy.deepcopy(draw.choice(ODD))
    return odd


def call_all(request: chat.ChatRequest, operation: str, draw: random.Random) -> None:
    """What every upstream would be sent."""
    for (spoken, _), dialect in DIALECTS.items():
        if spoken in ("chat", operation):
            orjson.loads(
                dialect.call(request, draw.choice(MODELS), draw.choice((1, 1024, 9000)), draw.choice(RULES)).body
            )


@pytest.mark.parametrize("case", [*MESSAGES_HERE, *PARAMETERS_HERE])
def test_odd_messages_are_translated_or_refused(case: str) -> None:
    draw = random.Random(case)
    more = {"messages": MESSAGES_HERE[case][0]} if case in MESSAGES_HERE else PARAMETERS_HERE[case][0]
    given = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}], "system": "S", **more}
    for _ in range(TIMES):
        try:
            call_all(messages_request.parse(orjson.dumps(mutated(given, draw))), "messages", draw)
        except BadRequest as error:
            orjson.loads(MESSAGES.error(error))


@pytest.mark.parametrize("case", [*CHATS, *PARAMETERS, "thinking"])
def test_odd_chats_are_translated_or_refused(case: str) -> None:
    draw = random.Random(case)
    detail = {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": None}
    more: dict[str, Any] = {"messages": tool_turn(reasoning_details=[detail]), "reasoning": {"effort": "low"}}
    if case in CHATS:
        more = {"messages": CHATS[case][0]}
    elif case in PARAMETERS:
        more = PARAMETERS[case][0]
    given = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "reasoning_effort": "low", **more}
    for _ in range(TIMES):
        try:
            call_all(chat.parse(orjson.dumps(mutated(given, draw))), "chat", draw)
        except BadRequest as error:
            orjson.loads(MESSAGES.error(error))


@pytest.mark.parametrize("name", [("chat", "anthropic"), ("messages", "anthropic")])
def test_odd_answers_are_read_or_known_to_be_none(name: tuple[str, str]) -> None:
    draw = random.Random(str(name))
    blocks = [event["content_block"] for event in DEEP if event["type"] == "content_block_start"]
    whole = orjson.loads(message(blocks, "tool_use"))
    for _ in range(20 * TIMES):
        try:
            answer = DIALECTS[name].answer(orjson.dumps(mutated(whole, draw)), ASKED)
            orjson.loads(MESSAGES.answer(ASKING, answer, USED, {}))
        except (GatewayError, MalformedAnswer):
            pass


@pytest.mark.parametrize("events", [TALK, DEEP])
@pytest.mark.parametrize("name", [("chat", "anthropic"), ("messages", "anthropic")])
def test_odd_streams_are_read_or_known_to_be_broken(name: tuple[str, str], events: list[dict[str, Any]]) -> None:
    draw = random.Random(str(name))
    for _ in range(10 * TIMES):
        stream = DIALECTS[name].stream(ASKED)
        for event in mutated(events, draw):
            stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
        stream.close()
        assert stream.delivered() >= 0
        stream.tail(USED, {})


def test_odd_completions_become_messages() -> None:
    draw = random.Random(7)
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    detail = {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "other"}
    said = {"content": "A", "reasoning_content": "Hm.", "reasoning_details": [detail], "tool_calls": [call]}
    for _ in range(20 * TIMES):
        orjson.loads(MESSAGES.answer(ASKING, completion(mutated(said, draw)), USED, {}))
        writer = MESSAGES.writer(ASKING, "msg_0", 7)
        for _ in range(3):
            writer.chunk({"choices": [{"index": 0, "delta": mutated(said, draw)}]})
        writer.tail(USED, {})


def test_deep_schemas_are_closed_to_their_end() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(110):
        schema = {"type": "object", "properties": {"a": schema}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": wanted}
    DIALECTS["chat", "anthropic"].call(chat.parse(orjson.dumps(body)), "claude", 50, {})
