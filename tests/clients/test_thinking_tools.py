"""Tools and thinking on an upstream that wants its reasoning back, as DeepSeek: every client, turn after turn.

What the upstream is sent shows in the prompt it counts: the reasoning of all earlier turns, or a blank for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anthropic
import httpx
import openai
import orjson
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from redis import Redis

from proxy.dialects.openai_thinking import UNKNOWN
from proxy.sandbox import words
from tests.clients.material import SAID, TOOL, said
from tests.clients.shop import Shop
from tests.clients.test_langchain import look_up
from tests.deadline import until
from tests.proxy.town import bearer

QUESTIONS = ("Paris", "and Rome", "and Oslo")
FUNCTION: Any = {"type": "function", "strict": False, **TOOL["function"]}
CLAUDES: Any = {"name": "look_up", "description": "x", "input_schema": TOOL["function"]["parameters"]}
#: tokens the sandbox thinks in an answer
THOUGHT = 9
UPSTREAM = """
[[upstreams]]
name = "{name}"
dialect = "openai"
base_url = "{url}/deepseek/v1"
api_key = "upstream-secret"
rules = {rules}
"""
KEEPING = '{ like = "deepseek" }'
STREAMED = [(False, False), (True, True), (True, False), (False, True)]
CALLS = [1, 2]


@pytest.fixture(scope="module", autouse=True)
def sale(shop: Shop) -> None:
    """DeepSeek's likeness, as its rules have it and without the one for reasoning."""
    parts = [
        UPSTREAM.format(name="deepseek", url=shop.sandbox.url, rules=KEEPING),
        UPSTREAM.format(name="forgetful", url=shop.sandbox.url, rules='{ developer_role = "system" }'),
        *(shop.model("deepseek", f"thinking-{THOUGHT}x{calls}") for calls in CALLS),
        shop.model("forgetful", f"thinking-{THOUGHT}x1"),
    ]
    shop.apply("\n".join(parts))
    names = [f"deepseek/thinking-{THOUGHT}x{calls}" for calls in CALLS] + [f"forgetful/thinking-{THOUGHT}x1"]
    until(lambda: all(shop.fresh_get(f"/v1/models/{name}", shop.watcher).status_code == 200 for name in names * 4))


@pytest.fixture
def client(shop: Shop, key: str) -> Iterator[openai.OpenAI]:
    with shop.client(key) as client:
        yield client


@pytest.fixture
def claude(shop: Shop, key: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=shop.product.web_url, api_key=key, max_retries=0, timeout=30) as client:
        yield client


def name_of(calls: int) -> str:
    return f"deepseek/thinking-{THOUGHT}x{calls}"


# -- chat completions


Message = dict[str, Any]
Keep = Callable[[Message], Message]
KEEPS: dict[str, Keep] = {
    "everything": lambda message: message,
    "reasoning_content": lambda message: only(message, "reasoning_content"),
    "reasoning_details": lambda message: only(message, "reasoning_details"),
    "nothing": lambda message: only(message),
}


def only(message: Message, *more: str) -> Message:
    """What a client knows of a message, and what else it keeps."""
    return {name: message[name] for name in ("role", "content", "tool_calls", *more) if message.get(name)}


def answered(client: openai.OpenAI, *, stream: bool, **asked: Any) -> tuple[Message, int]:
    """The assistant's message, as the SDK puts it together, and the tokens of its prompt."""
    if not stream:
        whole = client.chat.completions.create(**asked)
        assert whole.usage is not None
        return whole.choices[0].message.model_dump(exclude_none=True), whole.usage.prompt_tokens
    message: Message = {"role": "assistant", "content": "", "reasoning_content": "", "reasoning_details": []}
    calls: dict[int, Message] = {}
    prompt = 0
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        prompt = chunk.usage.prompt_tokens if chunk.usage else prompt
        for choice in chunk.choices:
            delta = choice.delta.model_dump(exclude_none=True)
            for name in ("content", "reasoning_content", "reasoning_details"):
                message[name] += delta.get(name) or type(message[name])()
            for call in delta.get("tool_calls", ()):
                known = calls.setdefault(call.pop("index"), {"function": {"arguments": ""}, **call})
                if known["function"] is not call["function"]:
                    known["function"]["arguments"] += call["function"]["arguments"]
    return {**message, "tool_calls": list(calls.values())}, prompt


def results(message: Message) -> list[Message]:
    return [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in message["tool_calls"]]


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("streamed", STREAMED)
@pytest.mark.parametrize("kept", KEEPS)
def test_openai_goes_on_after_tools(client: openai.OpenAI, kept: str, streamed: tuple[bool, bool], calls: int) -> None:
    messages: list[Any] = []
    asked: Any = {"model": name_of(calls), "messages": messages, "tools": [TOOL]}
    for question in QUESTIONS:
        messages += said(question)
        called, before = answered(client, stream=streamed[0], **asked)
        assert called["reasoning_content"].startswith("Hmm")
        assert "".join(detail["text"] for detail in called["reasoning_details"]) == called["reasoning_content"]
        assert len(called["tool_calls"]) == calls
        messages += [KEEPS[kept](called), *results(called)]
        final, after = answered(client, stream=streamed[1], **asked)
        assert final["content"] == "The tool says: sunny"
        assert after - before == growth(calls, question)
        messages.append(KEEPS[kept](final))


def growth(calls: int, question: str, thought: int = THOUGHT) -> int:
    """Tokens of a message with calls, with all that was thought, and of their results."""
    arguments = len(words.pieces(f'{{"text":"{question}"}}'))
    return 3 + thought + calls * arguments + calls * (3 + 1)


def forget(shop: Shop, *ids: str) -> None:
    """As after an hour, once it is written what was thought before these calls."""
    with Redis.from_url(shop.product.redis.url()) as redis:
        for identifier in ids:
            pattern = f"thought:*:{hashlib.sha256(identifier.encode()).hexdigest()[:32]}"
            until(partial(redis.keys, pattern))
            redis.delete(*redis.keys(pattern))


@pytest.mark.parametrize("kept", KEEPS)
def test_what_a_client_brings_outlasts_the_memory(shop: Shop, client: openai.OpenAI, kept: str) -> None:
    messages: list[Any] = said()
    asked: Any = {"model": name_of(1), "messages": messages, "tools": [TOOL]}
    called, before = answered(client, stream=True, **asked)
    forget(shop, *(call["id"] for call in called["tool_calls"]))
    messages += [KEEPS[kept](called), *results(called)]
    final, after = answered(client, stream=False, **asked)
    assert final["content"] == "The tool says: sunny"
    assert after - before == growth(1, SAID, THOUGHT if kept != "nothing" else len(UNKNOWN))


def test_remembered_reasoning_is_held_as_if_it_were_sent(shop: Shop, key: str, client: openai.OpenAI) -> None:
    asked: Any = {"model": name_of(1), "messages": said(), "tools": [TOOL]}
    called, _ = answered(client, stream=False, **asked)
    body = orjson.dumps({**asked, "messages": [*said(), only(called), *results(called)]})

    def sent() -> tuple[httpx.Response, int]:
        answer = shop.http.post("/v1/chat/completions", content=body, headers=bearer(key))
        return answer, int(shop.event(answer.headers["x-request-id"])["input_bytes"])

    remembered = len(called["reasoning_content"])
    answer, size = sent()
    assert answer.status_code == 200, answer.text
    assert len(body) + remembered < size < len(body) + remembered + 100
    forget(shop, called["tool_calls"][0]["id"])
    answer, size = sent()
    assert (answer.status_code, size) == (200, len(body))


def test_langchain_goes_on_after_tools(shop: Shop, key: str) -> None:
    chat = ChatOpenAI(
        model=name_of(1), base_url=shop.product.base_url, api_key=SecretStr(key), max_retries=0, timeout=30
    ).bind_tools([look_up])
    messages: list[Any] = []
    for question in QUESTIONS:
        messages.append(HumanMessage(question))
        messages.append(called := chat.invoke(messages))
        messages.append(look_up.invoke(called.tool_calls[0]))
        messages.append(final := chat.invoke(messages))
        assert final.content == f"The tool says: found {question}"


def test_a_blank_stands_in_for_what_nobody_knows(client: openai.OpenAI) -> None:
    call = {"id": "call_of_somebody_else", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages: list[Any] = [*said(), {"role": "assistant", "tool_calls": [call]}]
    messages.append({"role": "tool", "tool_call_id": call["id"], "content": "sunny"})
    final, _ = answered(client, stream=False, model=name_of(1), messages=messages, tools=[TOOL])
    assert final["content"] == "The tool says: sunny"


def test_without_the_rule_the_upstreams_refusal_is_told(client: openai.OpenAI) -> None:
    asked: Any = {"model": f"forgetful/thinking-{THOUGHT}x1", "tools": [TOOL]}
    called, _ = answered(client, stream=False, messages=said(), **asked)
    assert "reasoning_details" not in called
    messages: list[Any] = [*said(), only(called), *results(called)]
    with pytest.raises(openai.BadRequestError, match="Missing `reasoning_content`"):
        answered(client, stream=False, messages=messages, **asked)
    messages[1] = called
    assert answered(client, stream=False, messages=messages, **asked)[0]["content"] == "The tool says: sunny"


# -- Messages


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("streamed", STREAMED)
@pytest.mark.parametrize("keeps", [True, False])
def test_anthropic_goes_on_after_tools(
    shop: Shop, claude: anthropic.Anthropic, keeps: bool, streamed: tuple[bool, bool], calls: int
) -> None:
    messages: list[Any] = []
    asked: Any = {"model": name_of(calls), "max_tokens": 500, "messages": messages, "tools": [CLAUDES]}

    def answer(stream: bool) -> anthropic.types.Message:
        if not stream:
            whole: anthropic.types.Message = claude.messages.create(**asked)
            return whole
        with claude.messages.stream(**asked) as events:
            return events.get_final_message()

    def kept(message: anthropic.types.Message) -> Message:
        content = [block for block in message.content if keeps or block.type != "thinking"]
        return {"role": "assistant", "content": content}

    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        called = answer(streamed[0])
        assert called.content[0].type == "thinking"
        uses = [block for block in called.content if block.type == "tool_use"]
        assert len(uses) == calls
        if keeps:
            forget(shop, *(use.id for use in uses))
        told = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses]
        messages += [kept(called), {"role": "user", "content": told}]
        final = answer(streamed[1])
        assert final.content[-1].type == "text"
        assert final.content[-1].text == "The tool says: sunny"
        assert final.usage.input_tokens - called.usage.input_tokens == growth(calls, question)
        messages.append(kept(final))


# -- Responses


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("streamed", STREAMED)
@pytest.mark.parametrize("keeps", [True, False])
def test_responses_go_on_after_tools(
    shop: Shop, client: openai.OpenAI, keeps: bool, streamed: tuple[bool, bool], calls: int
) -> None:
    items: list[Any] = []
    asked: Any = {"model": name_of(calls), "input": items, "tools": [FUNCTION]}

    def answer(stream: bool) -> Any:
        if not stream:
            return client.responses.create(**asked)
        with client.responses.stream(**asked) as events:
            return events.get_final_response()

    def kept(answer: Any) -> list[Any]:
        left = [item for item in answer.output if keeps or item.type != "reasoning"]
        return [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in left]

    for question in QUESTIONS:
        items += said(question)
        called = answer(streamed[0])
        assert [item.type for item in called.output] == ["reasoning", *["function_call"] * calls]
        ids = [item.call_id for item in called.output[1:]]
        if keeps:
            forget(shop, *ids)
        items += kept(called)
        items += [{"type": "function_call_output", "call_id": one, "output": "sunny"} for one in ids]
        final = answer(streamed[1])
        assert final.output_text == "The tool says: sunny"
        assert final.usage.input_tokens - called.usage.input_tokens == growth(calls, question)
        items += kept(final)
