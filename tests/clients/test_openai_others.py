"""What openai-python calls besides chat, calls with an idempotency key, and faults of ours."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest

from proxy.app import App
from tests.clients.material import SAID, picture, said
from tests.clients.shop import Shop
from tests.clients.test_openai_errors import Calls, raised


@pytest.fixture
def client(shop: Shop, key: str) -> Iterator[openai.OpenAI]:
    with shop.client(key) as client:
        yield client


# -- responses


def test_responses_are_shown_a_picture(client: openai.OpenAI, dialect: str) -> None:
    parts: Any = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": picture()}]
    answer = client.responses.create(model=f"{dialect}/echo", input=[{"role": "user", "content": parts}])
    assert answer.output_text == "What is this?"


def test_responses_refuse_in_the_client_s_words(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    raised(lambda: client.responses.create(model=f"{dialect}/echo", input=SAID, temperature=3), openai.BadRequestError)
    raised(lambda: client.responses.create(model="nothing", input=SAID), openai.NotFoundError)
    broken = shop.fresh(dialect, "500")
    raised(lambda: client.responses.create(model=broken, input=SAID, stream=True), openai.InternalServerError)


# -- embeddings


@pytest.mark.parametrize("dialect", ["openai", "gemini"])
def test_embeddings(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    """The SDK asks for base64 by itself."""
    model = shop.fresh(dialect, "echo", rules='{ operations = ["embeddings"] }')
    answer = client.embeddings.create(model=model, input=["one two", "three"])
    assert [one.index for one in answer.data] == [0, 1]
    assert all(isinstance(number, float) for number in answer.data[0].embedding)
    plain = client.embeddings.create(model=model, input="one two", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(answer.data[0].embedding, rel=1e-6)


# -- idempotency keys


def with_key(name: str) -> dict[str, Any]:
    """The options of a call with an idempotency key."""
    return {"extra_headers": {"Idempotency-Key": name}}


def test_a_repeated_call_gets_the_same_answer(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    fields: dict[str, Any] = {"model": f"{dialect}/echo", "messages": said(), **with_key(f"again-{dialect}")}
    first, second = (client.chat.completions.create(**fields) for _ in range(2))
    assert first.model_dump() == second.model_dump()
    streams = [
        list(client.chat.completions.create(**{**fields, **with_key(f"s-{dialect}")}, stream=True)) for _ in "ab"
    ]
    assert streams[0] == streams[1]


def test_another_body_under_a_key_is_refused(client: openai.OpenAI, dialect: str) -> None:
    model, options = f"{dialect}/echo", with_key(f"other-{dialect}")
    client.chat.completions.create(model=model, messages=said(), **options)
    error = raised(
        lambda: client.chat.completions.create(model=model, messages=said("other"), **options),
        openai.UnprocessableEntityError,
    )
    assert error.code == "idempotency_mismatch"


def test_a_call_that_is_still_running_is_waited_for(shop: Shop, key: str, dialect: str) -> None:
    """The one that comes too early gets 409, and the SDK comes again for the answer of the first."""
    calls = Calls()
    fields: dict[str, Any] = {"model": f"{dialect}/paced-100x10", "messages": said(), **with_key(f"run-{dialect}")}
    with shop.client(key) as first, calls.client(shop, key, max_retries=5) as second, ThreadPoolExecutor(1) as pool:
        stream = first.chat.completions.create(**fields, stream=True)
        chunks = iter(stream)
        answer_id = next(chunks).id
        error = raised(lambda: first.chat.completions.create(**fields, stream=True), openai.ConflictError)
        assert (error.code, error.response.headers["x-should-retry"]) == ("idempotency_in_progress", "true")
        again = pool.submit(lambda: list(second.chat.completions.create(**fields, stream=True)))
        rest = list(chunks)
        assert len(again.result()) == len(rest) + 1
    assert again.result()[0].id == answer_id
    assert len(calls.at) > 1


# -- faults of ours


class Broken:
    """A gateway with a fault."""

    def new_id(self) -> str:
        return "0" * 24

    async def serve(self, *_: object) -> None:
        raise RuntimeError("a fault")


async def test_a_fault_of_ours_is_an_internal_error() -> None:
    app = App(Broken(), None, most_body=1000)  # type: ignore[arg-type]
    transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]
    http = httpx2.AsyncClient(transport=transport)
    async with openai.AsyncOpenAI(base_url="http://x/v1", api_key="x", max_retries=0, http_client=http) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="x", messages=said())
    assert (caught.value.status_code, caught.value.code) == (500, "internal_error")
    assert "fault" not in str(caught.value.body)
