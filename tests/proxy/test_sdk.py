"""The OpenAI SDK, unchanged, against the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.proxy.town import Town

pytestmark = pytest.mark.timeout(120)
TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
]


@pytest.fixture
def client(town: Town, key: str) -> Iterator[openai.OpenAI]:
    with town.client(key) as client:
        yield client


def said(text: str = "one two three") -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_it_answers(client: openai.OpenAI, town: Town) -> None:
    answer = client.chat.completions.create(model="talker", messages=said())
    assert answer.choices[0].message.content == "one two three"
    assert answer.usage is not None
    assert answer.model == "talker"
    assert town.event(answer.id)["prompt_tokens"] == answer.usage.prompt_tokens
    assert answer._request_id == "req_" + answer.id.removeprefix("chatcmpl-")


def test_it_streams_with_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="sandbox/reasoning", messages=said(), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 16
    assert chunks[-1].model_dump()["cost"]["currency"] == "USD"


def test_it_has_several_choices(client: openai.OpenAI, town: Town) -> None:
    answer = client.chat.completions.create(model="sandbox/echo", messages=said(), n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    stream = client.chat.completions.create(model="sandbox/echo", messages=said(), n=2, stream=True)
    texts = {0: "", 1: ""}
    finished = set()
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                finished.add(choice.index)
    assert (texts, finished) == ({0: "one two three", 1: "one two three"}, {0, 1})
    assert town.event(chunk.id)["completion_tokens"] == 6


def test_it_calls_tools_and_gives_their_results(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sandbox/tools", messages=said("Paris"), tools=TOOLS)
    call = answer.choices[0].message.tool_calls[0]  # type: ignore[index]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "weather"  # type: ignore[union-attr]
    turns: list[Any] = [*said("Paris"), answer.choices[0].message]
    turns.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    after = client.chat.completions.create(model="sandbox/tools", messages=turns, tools=TOOLS)
    assert after.choices[0].message.content == "The tool says: sunny"


def test_it_streams_tools(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="sandbox/tools", messages=said("Paris"), tools=TOOLS) as stream:
        stream.until_done()
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.name == "weather"
    assert message.tool_calls[0].function.arguments == '{"text":"Paris"}'


def test_it_lists_models(client: openai.OpenAI) -> None:
    assert "talker" in [model.id for model in client.models.list()]
    assert client.models.retrieve("acme/talker@2026-01").id == "acme/talker@2026-01"


@pytest.mark.parametrize(
    ("model", "fields", "kind"),
    [
        ("nothing", {}, openai.NotFoundError),
        ("sandbox/echo", {"temperature": 3}, openai.BadRequestError),
        ("sandbox/400", {}, openai.BadRequestError),
        ("sandbox/500", {}, openai.InternalServerError),
        ("sandbox/503", {}, openai.InternalServerError),
    ],
)
def test_errors_are_its_own(
    client: openai.OpenAI, model: str, fields: dict[str, Any], kind: type[openai.APIError]
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=model, messages=said(), **fields)
    assert str(caught.value)


def test_refusals_are_its_own(town: Town, key: str) -> None:
    with town.client(key[:-1] + "x") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
    with town.client(town.key("--models", "talker")) as client, pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="sandbox/echo", messages=said())
    with town.client(town.key("--budget", "0.000001")) as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="sandbox/echo", messages=said())
    assert caught.value.code == "insufficient_quota"


def test_an_error_in_a_stream_is_raised(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="sandbox/midstream-error-3", messages=said("a b c d e"), stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_it_retries_what_may_pass_and_nothing_else(town: Town, key: str) -> None:
    budget = town.key("--budget", "0.000001")
    calls = {"flaky": 0, "budget": 0}

    def count(name: str) -> Any:
        def hook(_: Any) -> None:
            calls[name] += 1

        return hook

    with openai.DefaultHttpxClient(event_hooks={"request": [count("flaky")]}) as http:
        client = town.client(key, max_retries=2, http_client=http)
        answer = client.chat.completions.create(model="sandbox/flaky-1", messages=said(), user="once")
        assert answer.choices[0].message.content == "one two three"
    with openai.DefaultHttpxClient(event_hooks={"request": [count("budget")]}) as http:
        client = town.client(budget, max_retries=2, http_client=http)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="sandbox/echo", messages=said())
    assert calls == {"flaky": 2, "budget": 1}


def test_azures_client_finds_everything(town: Town, key: str) -> None:
    address = town.product.web_url
    with openai.AzureOpenAI(azure_endpoint=address, api_key=key, api_version="2025-04-01-preview") as azure:
        answer = azure.chat.completions.create(model="talker", messages=said())
        assert answer.choices[0].message.content == "one two three"
        assert azure.responses.create(model="talker", input="one two three").output_text == "one two three"
        assert "talker" in {model.id for model in azure.models.list()}
        assert azure.models.retrieve("talker").id == "talker"
