"""openai-python, as it comes, against every dialect."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageFunctionToolCall

from tests.clients.material import SAID, TOOL, Echo, megabytes, said, showing
from tests.clients.shop import ONE_ANSWER, Shop


@pytest.fixture
def client(shop: Shop, key: str) -> Iterator[openai.OpenAI]:
    with shop.client(key) as client:
        yield client


def called(answer: ChatCompletion) -> ChatCompletionMessageFunctionToolCall:
    """The function call an answer consists of."""
    assert answer.choices[0].finish_reason == "tool_calls"
    [call] = answer.choices[0].message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    return call


def test_it_answers(client: openai.OpenAI, dialect: str) -> None:
    answer = client.chat.completions.create(model=f"{dialect}/echo", messages=said(), temperature=0.5, max_tokens=50)
    assert answer.choices[0].message.content == SAID
    assert (answer.choices[0].finish_reason, answer.model) == ("stop", f"{dialect}/echo")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert answer._request_id == "req_" + answer.id.removeprefix("chatcmpl-")


def test_it_is_cut_at_the_limit(client: openai.OpenAI, dialect: str) -> None:
    answer = client.chat.completions.create(model=f"{dialect}/echo", messages=said(), max_completion_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one two", "length")


def test_it_shows_cached_and_reasoning_tokens(client: openai.OpenAI, dialect: str) -> None:
    cached = client.chat.completions.create(model=f"{dialect}/cached", messages=said("a b c d e f g h")).usage
    assert cached is not None
    assert cached.prompt_tokens_details is not None
    assert 0 < (cached.prompt_tokens_details.cached_tokens or 0) < cached.prompt_tokens
    thought = client.chat.completions.create(
        model=f"{dialect}/reasoning", messages=said(), reasoning_effort="low", max_completion_tokens=3000
    ).usage
    assert thought is not None
    assert thought.completion_tokens > 3


def test_it_streams_with_usage(client: openai.OpenAI, dialect: str) -> None:
    stream = client.chat.completions.create(
        model=f"{dialect}/echo", messages=said(), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert {chunk.model for chunk in chunks} == {f"{dialect}/echo"}
    assert chunks[-1].choices == []
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_a_stream_shows_no_usage_unasked(client: openai.OpenAI, dialect: str) -> None:
    chunks = list(client.chat.completions.create(model=f"{dialect}/echo", messages=said(), stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_it_calls_a_tool_and_reads_its_result(client: openai.OpenAI, dialect: str) -> None:
    model = f"{dialect}/tools"
    answer = client.chat.completions.create(model=model, messages=said("Paris"), tools=[TOOL])  # type: ignore[list-item]
    call = called(answer)
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("look_up", '{"text":"Paris"}')
    turns = [*said("Paris"), answer.choices[0].message.model_dump(exclude_none=True)]
    turns.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    after = client.chat.completions.create(model=model, messages=turns, tools=[TOOL])  # type: ignore[list-item]
    assert after.choices[0].message.content == "The tool says: sunny"
    assert after.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "look_up"}}])
def test_a_tool_may_be_demanded(client: openai.OpenAI, dialect: str, choice: Any) -> None:
    tools: Any = [TOOL]
    answer = client.chat.completions.create(
        model=f"{dialect}/tools", messages=said("Paris"), tools=tools, tool_choice=choice, parallel_tool_calls=False
    )
    assert called(answer).function.name == "look_up"


def test_it_streams_tools(client: openai.OpenAI, dialect: str) -> None:
    with client.chat.completions.stream(model=f"{dialect}/tools", messages=said("Paris"), tools=[TOOL]) as stream:  # type: ignore[list-item]
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    [call] = answer.choices[0].message.tool_calls or []
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("look_up", '{"text":"Paris"}')


def test_it_answers_in_a_shape(client: openai.OpenAI, dialect: str) -> None:
    parsed = client.chat.completions.parse(model=f"{dialect}/json", messages=said(), response_format=Echo)
    assert parsed.choices[0].message.parsed == Echo(echo=SAID)
    with client.chat.completions.stream(model=f"{dialect}/json", messages=said(), response_format=Echo) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.parsed == Echo(echo=SAID)


def test_it_reads_tool_arguments_into_a_shape(client: openai.OpenAI, dialect: str) -> None:
    class LookUp(openai.BaseModel):
        text: str

    tool = openai.pydantic_function_tool(LookUp)
    answer = client.chat.completions.parse(model=f"{dialect}/tools", messages=said("Paris"), tools=[tool])
    [call] = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == LookUp(text="Paris")


def test_it_is_shown_a_picture(client: openai.OpenAI, dialect: str) -> None:
    answer = client.chat.completions.create(model=f"{dialect}/echo", messages=showing("What is this?"))
    assert answer.choices[0].message.content == "What is this?"
    assert answer.usage is not None
    plain = client.chat.completions.create(model=f"{dialect}/echo", messages=said("What is this?"))
    assert plain.usage is not None
    assert answer.usage.prompt_tokens > plain.usage.prompt_tokens


def test_it_gives_two_answers(client: openai.OpenAI, dialect: str) -> None:
    if dialect in ONE_ANSWER:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=f"{dialect}/echo", messages=said(), n=2)
        assert caught.value.param == "n"
        return
    answer = client.chat.completions.create(model=f"{dialect}/echo", messages=said(), n=2)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(0, SAID), (1, SAID)]
    texts = {0: "", 1: ""}
    for chunk in client.chat.completions.create(model=f"{dialect}/echo", messages=said(), n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: SAID, 1: SAID}


def test_it_gives_probabilities(client: openai.OpenAI, dialect: str) -> None:
    answer = client.chat.completions.create(model=f"{dialect}/echo", messages=said(), logprobs=True, top_logprobs=2)
    logprobs = answer.choices[0].logprobs
    if dialect in ONE_ANSWER:
        assert logprobs is None
        return
    assert logprobs is not None
    assert [(token.token, len(token.top_logprobs)) for token in logprobs.content or []] == [
        ("one", 2), (" two", 2), (" three", 2),
    ]  # fmt: skip


def test_five_megabytes_pass(client: openai.OpenAI, dialect: str) -> None:
    answer = client.chat.completions.create(
        model=f"{dialect}/fixed", messages=said(megabytes(5)), max_completion_tokens=100
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 1_000_000
    assert answer.usage.completion_tokens == 20


def test_fifty_at_once(client: openai.OpenAI, dialect: str) -> None:
    def ask(number: int) -> str | None:
        model, text = f"{dialect}/echo", f"number {number}"
        if number % 2:
            return client.chat.completions.create(model=model, messages=said(text)).choices[0].message.content
        with client.chat.completions.stream(model=model, messages=said(text)) as stream:
            return stream.get_final_completion().choices[0].message.content

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(ask, range(50))) == [f"number {number}" for number in range(50)]


def test_a_stream_that_is_left_is_settled_at_what_it_used(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    stream = client.chat.completions.create(model=f"{dialect}/paced-100x10", messages=said(), stream=True)
    answer_id = next(iter(stream)).id
    stream.close()
    event = shop.event(answer_id)
    assert (event["state"], event["basis"], event["completion_tokens"]) == ("settled", "exact", 100)


def test_a_stream_that_is_left_can_be_aborted(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    stream = client.chat.completions.create(model=f"hasty-{dialect}/paced-100x10", messages=said(), stream=True)
    chunks = iter(stream)
    answer_id = next(chunks).id
    next(chunks)
    stream.close()
    shop.cut_off += 1
    event = shop.event(answer_id)
    charge = shop.charge("req_" + answer_id.removeprefix("chatcmpl-"))
    assert charge is not None
    assert charge["state"] == "aborted"
    assert 0 < event["completion_tokens"] <= charge["completion_tokens"] < 100


def test_it_lists_and_finds_models(client: openai.OpenAI, dialect: str) -> None:
    assert f"{dialect}/echo" in [model.id for model in client.models.list()]
    assert client.models.retrieve(f"{dialect}/echo").id == f"{dialect}/echo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(f"{dialect}/nothing")
