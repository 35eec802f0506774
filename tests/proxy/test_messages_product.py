"""Anthropic's Messages through the product: the SDK on every dialect, OpenAI's clients on Anthropic, and the money."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from tests.clients.material import Echo, png
from tests.clients.shop import FACES, check_event
from tests.deadline import until
from tests.proxy.town import Town, bearer, chunks

pytestmark = pytest.mark.timeout(240)
KINDS = (
    "echo", "json", "paced-100x10", "tools", "tools-2", "thinking", "redacted", "cached-4", "cached-4x3", "reasoning",
    "paced-20x20", "midstream-error-3", "truncated-3", "429-2", "529", "402", "too-long", "usage-twice",
)  # fmt: skip
TOOL: dict[str, Any] = {
    "name": "look_up",
    "description": "Looks a text up.",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}
FUNCTION = {
    "type": "function",
    "function": {"name": "look_up", "description": "Looks a text up.", "parameters": TOOL["input_schema"]},
}
SAID = "one two 漢字 three"
DIALECTS = ("anthropic", "openai", "gemini")


def upstream(dialect: str, url: str) -> str:
    return f"""
[[upstreams]]
name = "m-{dialect}"
dialect = "{dialect}"
base_url = "{url}{FACES[dialect]}"
api_key = "upstream-secret"
"""


def model(dialect: str, kind: str) -> str:
    return f"""
[[models]]
name = "m-{dialect}/{kind}"
context_window = 128000
max_output_tokens = 4096
routes = [{{ upstream = "m-{dialect}", model = "sandbox/{kind}", priority = 1, weight = 1 }}]
[models.price]
input = "1.00"
cache_read = "0.25"
output = "4.00"
reasoning = "6.00"
"""


@pytest.fixture(scope="module")
def hall(town: Town) -> Town:
    """The town with every kind for sale in every dialect."""
    parts = [upstream(dialect, town.sandbox.url) for dialect in DIALECTS]
    parts += [model(dialect, kind) for dialect in DIALECTS for kind in KINDS]
    town.apply("\n".join(parts))
    return town


@pytest.fixture(scope="module")
def hall_key(hall: Town) -> str:
    """A key by which both processes know all of it."""
    key = hall.key()
    last = f"/v1/models/m-{DIALECTS[-1]}/{KINDS[-1]}"
    until(lambda: all(hall.fresh_get(last, key).status_code == 200 for _ in range(8)))
    return key


@pytest.fixture
def claude(hall: Town, hall_key: str) -> Iterator[anthropic.Anthropic]:
    """The SDK as it comes, but for its retries."""
    with anthropic.Anthropic(base_url=hall.product.web_url, api_key=hall_key, max_retries=0, timeout=30) as client:
        yield client


def ask(name: str, text: str = SAID, **fields: Any) -> dict[str, Any]:
    return {"model": name, "max_tokens": 2000, "messages": [{"role": "user", "content": text}], **fields}


def check_charged(town: Town, message_id: str) -> dict[str, Any]:
    """The row of a message, which is the sandbox's own count."""
    assert message_id.startswith("msg_")
    event = town.event(message_id.removeprefix("msg_"))
    charge = town.charge("req_" + event["id"].hex[:24])
    assert charge is not None
    check_event(event, charge)
    return event


def check_usage(usage: Any, event: dict[str, Any]) -> None:
    """What the client was told is what was booked."""
    written = event["cache_write_5m"] + event["cache_write_1h"]
    assert usage.input_tokens == event["input"]
    assert (usage.cache_read_input_tokens or 0) == event["cache_read"]
    assert (usage.cache_creation_input_tokens or 0) == written
    assert usage.output_tokens == event["output"] + event["reasoning"]


# -- Anthropic's SDK


@pytest.mark.parametrize("kind", ["echo", "cached-4", "reasoning", "usage-twice"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_sdk_gets_a_message(hall: Town, claude: anthropic.Anthropic, dialect: str, kind: str) -> None:
    message = claude.messages.create(**ask(f"m-{dialect}/{kind}"))
    assert [block.text for block in message.content if block.type == "text"] == [SAID]
    assert (message.model, message.stop_reason, message.role) == (f"m-{dialect}/{kind}", "end_turn", "assistant")
    check_usage(message.usage, check_charged(hall, message.id))


@pytest.mark.parametrize("kind", ["echo", "cached-4", "reasoning", "usage-twice", "paced-20x20"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_sdk_gets_a_stream(hall: Town, claude: anthropic.Anthropic, dialect: str, kind: str) -> None:
    with claude.messages.stream(**ask(f"m-{dialect}/{kind}")) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "".join(block.text for block in message.content if block.type == "text")
    assert text == SAID or kind == "paced-20x20"
    assert (message.model, message.stop_reason) == (f"m-{dialect}/{kind}", "end_turn")
    check_usage(message.usage, check_charged(hall, message.id))


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_the_sdk_is_told_what_went_into_the_cache(hall: Town, claude: anthropic.Anthropic, dialect: str) -> None:
    message = claude.messages.create(**ask(f"m-{dialect}/cached-4x3"))
    event = check_charged(hall, message.id)
    assert (event["cache_read"], event["cache_write_5m"]) == (4, 3)
    check_usage(message.usage, event)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_sdk_shows_a_picture(hall: Town, claude: anthropic.Anthropic, dialect: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png()).decode()}
    content = [{"type": "image", "source": source}, {"type": "text", "text": SAID}]
    message = claude.messages.create(**{**ask(f"m-{dialect}/echo"), "messages": [{"role": "user", "content": content}]})
    assert [block.text for block in message.content if block.type == "text"] == [SAID]
    check_charged(hall, message.id)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_sdk_gets_an_answer_in_a_shape(hall: Town, claude: anthropic.Anthropic, dialect: str) -> None:
    given = ask(f"m-{dialect}/json")
    message = claude.messages.parse(
        model=given["model"], max_tokens=2000, messages=given["messages"], output_format=Echo
    )
    assert message.parsed_output == Echo(echo=SAID)
    check_charged(hall, message.id)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_fifty_streams_at_once_keep_apart(hall: Town, hall_key: str, dialect: str) -> None:
    async def one(client: anthropic.AsyncAnthropic, number: int) -> anthropic.types.Message:
        async with client.messages.stream(**ask(f"m-{dialect}/echo", f"this is number {number}")) as stream:
            return await stream.get_final_message()

    async def all_of_them() -> list[anthropic.types.Message]:
        async with anthropic.AsyncAnthropic(
            base_url=hall.product.web_url, api_key=hall_key, max_retries=0, timeout=60
        ) as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    for number, message in enumerate(asyncio.run(all_of_them())):
        assert [block.text for block in message.content if block.type == "text"] == [f"this is number {number}"]
        check_usage(message.usage, check_charged(hall, message.id))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_client_that_leaves_pays_what_the_upstream_counts(
    hall: Town, claude: anthropic.Anthropic, dialect: str
) -> None:
    with claude.messages.stream(**ask(f"m-{dialect}/paced-100x10")) as stream:
        ident = next(event.message.id for event in stream if event.type == "message_start")
        next(iter(stream.text_stream))
    event = check_charged(hall, ident)
    assert (event["client_gone"], event["basis"]) == (True, "exact")


def converse(claude: anthropic.Anthropic, name: str, *, stream: bool, **fields: Any) -> list[anthropic.types.Message]:
    """Messages until the model calls no more tools, each answered with what it was."""
    given = ask(name, tools=[TOOL], **fields)
    found: list[anthropic.types.Message] = []
    while not found or (found[-1].stop_reason == "tool_use" and len(found) < 4):
        if stream:
            with claude.messages.stream(**given) as events:
                found.append(events.get_final_message())
        else:
            found.append(claude.messages.create(**given))
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": f"found {block.name}"}
            for block in found[-1].content
            if block.type == "tool_use"
        ]
        answer = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in found[-1].content]}
        given = {**given, "messages": [*given["messages"], answer, {"role": "user", "content": results}]}
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["tools", "tools-2", "thinking", "redacted"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_sdk_has_a_conversation_with_tools(
    hall: Town, claude: anthropic.Anthropic, dialect: str, kind: str, stream: bool
) -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if kind in ("thinking", "redacted") else {}
    called, told = converse(claude, f"m-{dialect}/{kind}", stream=stream, **thinking)
    calls = [block for block in called.content if block.type == "tool_use"]
    assert len(calls) == (2 if kind == "tools-2" else 1)
    assert all(call.name == "look_up" and isinstance(call.input, dict) and call.input for call in calls)
    assert told.stop_reason == "end_turn"
    assert "found look_up" in "".join(block.text for block in told.content if block.type == "text")
    for message in (called, told):
        check_usage(message.usage, check_charged(hall, message.id))


CLAUDE_CODE: dict[str, Any] = {
    "temperature": 1,
    "system": [
        {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [{"role": "user", "content": [{"type": "text", "text": SAID, "cache_control": {"type": "ephemeral"}}]}],
    "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}],
    "tool_choice": {"type": "none"},
    "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "stream": True,
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_claude_codes_calls_are_answered(hall: Town, hall_key: str, dialect: str) -> None:
    headers = {
        **bearer(hall_key),
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        "x-app": "cli",
        "user-agent": "claude-cli/2.1.0 (external, cli)",
    }
    body = {**ask(f"m-{dialect}/echo"), **CLAUDE_CODE}
    answer = hall.http.post("/v1/messages?beta=true", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    said = [event["delta"]["text"] for event in chunks(answer.text) if event["type"] == "content_block_delta"]
    assert "".join(said) == SAID
    names = [line for line in answer.text.split("\n") if line.startswith("event: ")]
    assert len(names) == len(chunks(answer.text))
    check_charged(hall, chunks(answer.text)[0]["message"]["id"])
    counted = {name: body[name] for name in ("model", "messages", "system", "tools")}
    answer = hall.http.post("/v1/messages/count_tokens?beta=true", json=counted, headers=headers)
    assert answer.json()["input_tokens"] > 10


def test_the_sdk_counts_tokens_for_nothing(claude: anthropic.Anthropic, hall: Town) -> None:
    before = len(hall.events())
    given = ask("m-openai/echo")
    count = claude.messages.count_tokens(model=given["model"], messages=given["messages"])
    assert count.input_tokens > 10
    assert len(hall.events()) == before


FAILURES: dict[str, tuple[type[anthropic.APIStatusError], str]] = {
    "too-long": (anthropic.BadRequestError, "invalid_request_error"),
    "429-2": (anthropic.InternalServerError, "overloaded_error"),
    "529": (anthropic.InternalServerError, "overloaded_error"),
    "402": (anthropic.InternalServerError, "api_error"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_the_sdk_raises_what_it_knows(claude: anthropic.Anthropic, kind: str) -> None:
    expected, name = FAILURES[kind]
    with pytest.raises(expected) as raised:
        claude.messages.create(**ask(f"m-anthropic/{kind}"))
    assert raised.value.body["error"]["type"] == name  # type: ignore[index]


def test_the_sdk_is_told_what_is_wrong(claude: anthropic.Anthropic, hall: Town) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=hall.product.web_url, api_key="no", max_retries=0).messages.create(**ask("m"))
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(**ask("no-such-model"))
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Input should be greater"):
        claude.messages.create(**{**ask("m-openai/echo"), "max_tokens": 0})
    with pytest.raises(anthropic.BadRequestError) as raised:
        claude.messages.count_tokens(model="m-openai/echo", messages=[])
    assert raised.value.body["type"] == "error"  # type: ignore[index]
    search = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError, match=r"tools\.0"):
        claude.messages.create(**ask("m-anthropic/echo", tools=[search]))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", ["midstream-error-3", "truncated-3"])
def test_the_sdk_raises_what_breaks_a_stream(claude: anthropic.Anthropic, dialect: str, kind: str) -> None:
    words = "one two three four five six seven eight nine ten"
    with claude.messages.stream(**ask(f"m-{dialect}/{kind}", words)) as stream, pytest.raises(anthropic.APIStatusError):
        for _ in stream:
            pass


# -- OpenAI's clients on Anthropic


def thinking_turn(town: Town, key: str, kind: str, *, stream: bool) -> dict[str, Any]:
    """The assistant's message that calls a tool after it thought."""
    more = {"tools": [FUNCTION], "reasoning_effort": "low", "max_tokens": 2000}
    answer = town.post(key, f"m-anthropic/{kind}", SAID, **more, stream=stream)
    assert answer.status_code == 200, answer.text
    if not stream:
        message: dict[str, Any] = answer.json()["choices"][0]["message"]
        return message
    whole: dict[str, Any] = {"role": "assistant", "content": None, "reasoning_details": [], "tool_calls": []}
    for delta in (event["choices"][0]["delta"] for event in chunks(answer.text) if event["choices"]):
        whole["reasoning_details"] += delta.get("reasoning_details", [])
        for call in delta.get("tool_calls", []):
            if call.get("id"):
                whole["tool_calls"].append(call)
            else:
                whole["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    return whole


def next_turn(town: Town, key: str, kind: str, message: dict[str, Any]) -> httpx.Response:
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "found it"} for call in message["tool_calls"]]
    messages = [{"role": "user", "content": SAID}, message, *results]
    body = {"model": f"m-anthropic/{kind}", "messages": messages, "tools": [FUNCTION], "reasoning_effort": "low"}
    return town.http.post("/v1/chat/completions", json={**body, "max_tokens": 2000}, headers=bearer(key))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["thinking", "redacted"])
def test_signed_thinking_survives_in_reasoning_details(hall: Town, hall_key: str, kind: str, stream: bool) -> None:
    message = thinking_turn(hall, hall_key, kind, stream=stream)
    assert message["reasoning_details"][0]["format"] == "anthropic-claude-v1"
    answer = next_turn(hall, hall_key, kind, message)
    assert answer.status_code == 200, answer.text
    assert "x-tollgate-dropped" not in answer.headers
    assert "found it" in answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["thinking", "redacted"])
def test_signed_thinking_survives_a_client_that_drops_it(hall: Town, hall_key: str, kind: str, stream: bool) -> None:
    message = thinking_turn(hall, hall_key, kind, stream=stream)
    known = {name: message[name] for name in ("role", "content", "tool_calls")}
    answer = next_turn(hall, hall_key, kind, known)
    assert answer.status_code == 200, answer.text
    assert "x-tollgate-dropped" not in answer.headers


def test_thinking_is_switched_off_where_its_signature_is_lost(hall: Town, hall_key: str) -> None:
    message = thinking_turn(hall, hall_key, "thinking", stream=False)
    call = {**message["tool_calls"][0], "id": "call_of_somebody_else"}
    answer = next_turn(hall, hall_key, "thinking", {"role": "assistant", "content": None, "tool_calls": [call]})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollgate-dropped"] == "reasoning_effort"


def test_an_operators_empty_credit_is_no_fault_of_the_clients(hall: Town, hall_key: str) -> None:
    answer = hall.post(hall_key, "m-anthropic/402")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_gateway")


def test_a_prompt_that_is_too_long_is_said_in_openais_words(hall: Town, hall_key: str) -> None:
    answer = hall.post(hall_key, "m-anthropic/too-long")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
