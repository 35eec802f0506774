"""openai-python's asynchronous client, as it comes, against every dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest

from tests.clients.material import SAID, TOOL, Echo, megabytes, said, showing
from tests.clients.shop import Shop


@pytest.fixture
async def client(shop: Shop, key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    base_url = shop.product.base_url
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30) as client:
        yield client


async def test_it_answers(client: openai.AsyncOpenAI, dialect: str) -> None:
    answer = await client.chat.completions.create(model=f"{dialect}/echo", messages=said())
    assert answer.choices[0].message.content == SAID
    assert answer._request_id == "req_" + answer.id.removeprefix("chatcmpl-")


async def test_it_streams_with_usage(client: openai.AsyncOpenAI, dialect: str) -> None:
    stream = await client.chat.completions.create(
        model=f"{dialect}/echo", messages=said(), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_it_streams_tools_and_reads_their_results(client: openai.AsyncOpenAI, dialect: str) -> None:
    model = f"{dialect}/tools"
    async with client.chat.completions.stream(model=model, messages=said("Paris"), tools=[TOOL]) as stream:  # type: ignore[list-item]
        message = (await stream.get_final_completion()).choices[0].message
    [call] = message.tool_calls or []
    turns = [*said("Paris"), message.model_dump(exclude_none=True, exclude={"parsed"})]
    turns.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    async with client.chat.completions.stream(model=model, messages=turns, tools=[TOOL]) as stream:  # type: ignore[list-item]
        after = await stream.get_final_completion()
    assert after.choices[0].message.content == "The tool says: sunny"


async def test_it_answers_in_a_shape(client: openai.AsyncOpenAI, dialect: str) -> None:
    answer = await client.chat.completions.parse(model=f"{dialect}/json", messages=said(), response_format=Echo)
    assert answer.choices[0].message.parsed == Echo(echo=SAID)


async def test_it_is_shown_a_picture(client: openai.AsyncOpenAI, dialect: str) -> None:
    answer = await client.chat.completions.create(model=f"{dialect}/echo", messages=showing("What is this?"))
    assert answer.choices[0].message.content == "What is this?"


async def test_five_megabytes_pass(client: openai.AsyncOpenAI, dialect: str) -> None:
    answer = await client.chat.completions.create(
        model=f"{dialect}/fixed", messages=said(megabytes(5)), max_completion_tokens=100
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 1_000_000


async def test_fifty_at_once(client: openai.AsyncOpenAI, dialect: str) -> None:
    async def ask(number: int) -> str:
        model, text = f"{dialect}/echo", f"number {number}"
        if number % 2:
            answer = await client.chat.completions.create(model=model, messages=said(text))
            return answer.choices[0].message.content or ""
        stream = await client.chat.completions.create(model=model, messages=said(text), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert await asyncio.gather(*map(ask, range(50))) == [f"number {number}" for number in range(50)]


async def test_a_cancelled_task_is_settled_at_what_it_used(
    client: openai.AsyncOpenAI, shop: Shop, dialect: str
) -> None:
    begun = asyncio.Event()
    answer_id = ""

    async def listen() -> None:
        nonlocal answer_id
        stream = await client.chat.completions.create(model=f"{dialect}/paced-100x10", messages=said(), stream=True)
        async for chunk in stream:
            answer_id = chunk.id
            begun.set()

    task = asyncio.create_task(listen())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    event = await asyncio.to_thread(shop.event, answer_id)
    assert (event["state"], event["basis"], event["completion_tokens"]) == ("settled", "exact", 100)


async def test_it_lists_and_finds_models(client: openai.AsyncOpenAI, dialect: str) -> None:
    assert f"{dialect}/echo" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve(f"{dialect}/echo")).id == f"{dialect}/echo"
