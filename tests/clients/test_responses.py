"""openai-python's Responses API against every dialect: nothing is kept between calls, so the caller brings it all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel

from tests.clients.shop import Shop

SAID = "one two three"
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "strict": False,
}


IMAGE: Any = {"type": "input_image", "file_id": "f"}


class Echoed(BaseModel):
    echo: str


@pytest.fixture
def client(shop: Shop, key: str) -> Iterator[openai.OpenAI]:
    with shop.client(key) as client:
        yield client


def called(answer: Response) -> ResponseFunctionToolCall:
    """The last function call of an answer."""
    calls = [item for item in answer.output if isinstance(item, ResponseFunctionToolCall)]
    assert calls, answer.output
    return calls[-1]


def said(text: str) -> Any:
    """A question."""
    return {"role": "user", "content": text}


def brought(answer: Response) -> list[Any]:
    """An answer's items as a client sends them back."""
    return [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]


def test_it_answers(client: openai.OpenAI, dialect: str) -> None:
    answer = client.responses.create(model=f"{dialect}/echo", input=SAID, instructions="Echo.", temperature=0.5)
    assert (answer.output_text, answer.status, answer.model) == (SAID, "completed", f"{dialect}/echo")
    assert answer.usage is not None
    assert answer.usage.output_tokens == 3
    assert answer.usage.total_tokens == answer.usage.input_tokens + 3
    assert answer.id.startswith("resp_")
    assert (answer.instructions, answer.temperature, answer.store) == ("Echo.", 0.5, False)  # type: ignore[attr-defined]


def test_it_says_that_it_was_cut(client: openai.OpenAI, dialect: str) -> None:
    answer = client.responses.create(model=f"{dialect}/echo", input=SAID, max_output_tokens=2)
    assert (answer.output_text, answer.status) == ("one two", "incomplete")
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_it_streams_events_in_order(client: openai.OpenAI, dialect: str) -> None:
    kinds, numbers, text = [], [], ""
    with client.responses.stream(model=f"{dialect}/echo", input=SAID) as stream:
        for event in stream:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                text += event.delta
        final = stream.get_final_response()
    assert text == final.output_text == SAID
    assert numbers == list(range(len(numbers)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-3:] == ["response.content_part.done", "response.output_item.done", "response.completed"]
    assert final.usage is not None
    assert final.usage.output_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_tools_result_finds_its_way_back(client: openai.OpenAI, dialect: str, stream: bool) -> None:
    asked: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": SAID}]}]
    model = f"{dialect}/tools"
    if stream:
        with client.responses.stream(model=model, input=asked, tools=[TOOL]) as events:
            first: Response = events.get_final_response()
    else:
        first = client.responses.create(model=model, input=asked, tools=[TOOL])
    call = called(first)
    assert call.name == "get_weather"
    assert SAID in call.arguments
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = client.responses.create(model=model, input=[*asked, *brought(first), output], tools=[TOOL])
    assert "sunny" in second.output_text


def test_thoughts_come_as_an_item_and_go_back(client: openai.OpenAI, dialect: str) -> None:
    model, asked = f"{dialect}/reasoning", [said(SAID)]
    wanted: Any = {"model": model, "reasoning": {"effort": "low"}, "max_output_tokens": 3000}
    first: Response = client.responses.create(input=asked, include=["reasoning.encrypted_content"], **wanted)
    assert first.output_text == SAID
    again = [*asked, *brought(first), said("more")]
    second: Response = client.responses.create(input=again, **wanted)
    assert second.output_text == "more"


def test_it_writes_to_a_schema(client: openai.OpenAI, dialect: str) -> None:
    answer = client.responses.parse(model=f"{dialect}/json", input=SAID, text_format=Echoed)
    assert answer.output_parsed == Echoed(echo=SAID)


def test_an_error_in_the_middle_is_one_for_the_client(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    shop.cut_off += 1
    stream = client.responses.create(model=f"{dialect}/midstream-error-3", input="a b c d e f g h", stream=True)
    with pytest.raises(openai.APIError):
        for _ in stream:
            pass


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": []}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"temperature": 9}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input"),
        ({"extra_body": {"api_base": "http://x"}}, "api_base"),
    ],
)
def test_it_refuses_what_it_cannot_do(client: openai.OpenAI, wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**{"model": "openai/echo", "input": SAID, **wrong})
    assert refused.value.param == param


def test_calls_of_a_namespace_come_back_under_it(client: openai.OpenAI, dialect: str) -> None:
    space: Any = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [TOOL]}
    offered: Any = {"type": "web_search"}
    asked: list[Any] = [said(SAID)]
    wanted: Any = {"model": f"{dialect}/tools", "tools": [space, offered]}
    raw = client.responses.with_raw_response.create(input=asked, **wanted)
    assert "web_search" in raw.headers["x-tollgate-dropped"]
    first: Response = raw.parse()
    call = called(first)
    assert (call.name, call.namespace) == ("get_weather", "crm")
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second: Response = client.responses.create(input=[*asked, *brought(first), output], **wanted)
    assert "sunny" in second.output_text


@pytest.mark.parametrize("stream", [False, True])
def test_it_tells_how_likely_each_token_was(client: openai.OpenAI, stream: bool) -> None:
    wanted: Any = {"model": "openai/echo", "input": SAID, "top_logprobs": 2}
    if stream:
        with client.responses.stream(**wanted) as events:
            answer: Response = events.get_final_response()
    else:
        answer = client.responses.create(**wanted)
    [item] = answer.output
    assert item.type == "message"
    [part] = item.content
    assert part.type == "output_text"
    assert [(one.token, len(one.top_logprobs)) for one in part.logprobs or []] == [
        ("one", 2), (" two", 2), (" three", 2),
    ]  # fmt: skip


def test_fifty_at_once(client: openai.OpenAI, dialect: str) -> None:
    def ask(number: int) -> str:
        answer = client.responses.create(model=f"{dialect}/echo", input=f"number {number}")
        return answer.output_text

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(ask, range(50))) == [f"number {number}" for number in range(50)]


def test_a_stream_that_is_left_is_settled_at_what_it_used(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    stream = client.responses.create(model=f"{dialect}/paced-100x10", input=SAID, stream=True)
    begun = next(iter(stream))
    assert begun.type == "response.created"
    stream.close()
    event = shop.event(begun.response.id.replace("resp_", "chatcmpl-"))
    assert (event["state"], event["basis"], event["completion_tokens"]) == ("settled", "exact", 100)


def test_errors_are_the_sdks(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=f"{dialect}/nothing", input=SAID)
    with shop.client("sk-tg-wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.responses.create(model=f"{dialect}/echo", input=SAID)
