"""anthropic-python, as it comes, against every dialect."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import pytest

from tests.clients.material import SAID, megabytes, png, said
from tests.clients.shop import Shop

TOOL: Any = {
    "name": "look_up",
    "description": "Looks a text up.",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}
FAILURES: dict[str, tuple[type[anthropic.APIStatusError], int, str]] = {
    "400": (anthropic.BadRequestError, 400, "invalid_request_error"),
    "401": (anthropic.InternalServerError, 502, "api_error"),
    "500": (anthropic.InternalServerError, 502, "api_error"),
    "503": (anthropic.ServiceUnavailableError, 503, "overloaded_error"),
    "timeout": (anthropic.DeadlineExceededError, 504, "timeout_error"),
}


@pytest.fixture
def client(shop: Shop, key: str) -> Iterator[anthropic.Anthropic]:
    with client_of(shop, key) as client:
        yield client


def client_of(shop: Shop, key: str, **options: Any) -> anthropic.Anthropic:
    """The SDK; without its own retries unless ``max_retries`` says so."""
    given = {"max_retries": 0, "timeout": 30, **options}
    return anthropic.Anthropic(base_url=shop.product.web_url, api_key=key, **given)


def text_of(message: anthropic.types.Message) -> str:
    """The text blocks of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


def test_it_answers(client: anthropic.Anthropic, dialect: str) -> None:
    message = client.messages.create(
        model=f"{dialect}/echo", max_tokens=50, messages=said(), system="Be brief.", extra_body={"temperature": 0.5}
    )
    assert (text_of(message), message.stop_reason, message.role) == (SAID, "end_turn", "assistant")
    assert message.model == f"{dialect}/echo"
    assert message.usage.output_tokens == 3
    assert message._request_id is not None
    assert message._request_id.startswith("req_")


def test_a_bearer_key_does_too(shop: Shop, key: str, dialect: str) -> None:
    with anthropic.Anthropic(base_url=shop.product.web_url, auth_token=key, max_retries=0) as client:
        assert text_of(client.messages.create(model=f"{dialect}/echo", max_tokens=50, messages=said())) == SAID


def test_it_is_cut_at_the_limit_and_at_stop_sequences(client: anthropic.Anthropic, dialect: str) -> None:
    cut = client.messages.create(model=f"{dialect}/echo", max_tokens=2, messages=said())
    assert (text_of(cut), cut.stop_reason) == ("one two", "max_tokens")
    stopped = client.messages.create(model=f"{dialect}/echo", max_tokens=50, messages=said(), stop_sequences=[" three"])
    assert text_of(stopped) == "one two"


def test_it_tells_cached_tokens_apart(client: anthropic.Anthropic, dialect: str) -> None:
    cached = client.messages.create(model=f"{dialect}/cached", max_tokens=50, messages=said("a b c d e f")).usage
    plain = client.messages.create(model=f"{dialect}/echo", max_tokens=50, messages=said("a b c d e f")).usage
    assert cached.cache_read_input_tokens
    assert cached.input_tokens + cached.cache_read_input_tokens == plain.input_tokens


def test_it_streams(client: anthropic.Anthropic, dialect: str) -> None:
    with client.messages.stream(model=f"{dialect}/echo", max_tokens=50, messages=said()) as stream:
        events = [event.type for event in stream]
        message = stream.get_final_message()
    assert (text_of(message), message.stop_reason, message.usage.output_tokens) == (SAID, "end_turn", 3)
    assert (events[0], events[-1]) == ("message_start", "message_stop")
    assert {"content_block_start", "content_block_delta", "content_block_stop", "message_delta"} <= set(events)


def test_it_calls_a_tool_and_reads_its_result(client: anthropic.Anthropic, dialect: str) -> None:
    model = f"{dialect}/tools"
    answer = client.messages.create(model=model, max_tokens=50, messages=said("Paris"), tools=[TOOL])
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert (answer.stop_reason, call.name, call.input) == ("tool_use", "look_up", {"text": "Paris"})
    turns = [*said("Paris"), {"role": "assistant", "content": answer.content}]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    turns.append({"role": "user", "content": [result]})
    after = client.messages.create(model=model, max_tokens=50, messages=turns, tools=[TOOL])
    assert text_of(after) == "The tool says: sunny"


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "look_up"}])
def test_it_streams_tools(client: anthropic.Anthropic, dialect: str, choice: Any) -> None:
    with client.messages.stream(
        model=f"{dialect}/tools", max_tokens=50, messages=said("Paris"), tools=[TOOL], tool_choice=choice
    ) as stream:
        message = stream.get_final_message()
    [call] = [block for block in message.content if block.type == "tool_use"]
    assert (message.stop_reason, call.name, call.input) == ("tool_use", "look_up", {"text": "Paris"})


def test_it_thinks(client: anthropic.Anthropic, dialect: str) -> None:
    message = client.messages.create(
        model=f"{dialect}/reasoning",
        max_tokens=3000,
        messages=said(),
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert text_of(message) == SAID
    assert message.usage.output_tokens > 3


def test_it_is_shown_a_picture(client: anthropic.Anthropic, dialect: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png()).decode()}
    parts: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    message = client.messages.create(
        model=f"{dialect}/echo", max_tokens=50, messages=[{"role": "user", "content": parts}]
    )
    assert text_of(message) == "What is this?"


def test_it_counts_tokens(client: anthropic.Anthropic, dialect: str) -> None:
    counted = client.messages.count_tokens(model=f"{dialect}/echo", messages=said())
    assert counted.input_tokens > 0


def test_five_megabytes_pass(client: anthropic.Anthropic, dialect: str) -> None:
    message = client.messages.create(model=f"{dialect}/fixed", max_tokens=100, messages=said(megabytes(5)))
    assert message.usage.input_tokens > 1_000_000


def test_fifty_at_once(client: anthropic.Anthropic, dialect: str) -> None:
    def ask(number: int) -> str:
        model, text = f"{dialect}/echo", f"number {number}"
        if number % 2:
            return text_of(client.messages.create(model=model, max_tokens=50, messages=said(text)))
        with client.messages.stream(model=model, max_tokens=50, messages=said(text)) as stream:
            return stream.get_final_text()

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(ask, range(50))) == [f"number {number}" for number in range(50)]


def test_a_stream_that_is_left_is_settled_at_what_it_used(
    client: anthropic.Anthropic, shop: Shop, dialect: str
) -> None:
    stream = client.messages.create(model=f"{dialect}/paced-100x10", max_tokens=500, messages=said(), stream=True)
    request_id = stream.response.headers["request-id"]
    next(iter(stream))
    stream.close()
    event = shop.event(request_id)
    assert (event["state"], event["basis"], event["completion_tokens"]) == ("settled", "exact", 100)


def test_it_lists_and_finds_models(client: anthropic.Anthropic, dialect: str) -> None:
    assert f"{dialect}/echo" in [model.id for model in client.models.list()]
    assert client.models.retrieve(f"{dialect}/echo").id == f"{dialect}/echo"


# -- errors


def raised(client: anthropic.Anthropic, model: str, kind: type[anthropic.APIStatusError], **fields: Any) -> str:
    """The ``type`` of the error a call raises, which is of exactly this kind."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**{"model": model, "max_tokens": 50, "messages": said(), **fields})
    assert type(caught.value) is kind
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "error"
    return str(caught.value.body["error"]["type"])


def test_refusals_are_its_own(shop: Shop, key: str, client: anthropic.Anthropic, dialect: str) -> None:
    echo = f"{dialect}/echo"
    assert raised(client, echo, anthropic.BadRequestError, extra_body={"temperature": 3}) == "invalid_request_error"
    assert raised(client, f"{dialect}/nothing", anthropic.NotFoundError) == "not_found_error"
    large = said(megabytes(7))
    assert raised(client, echo, anthropic.RequestTooLargeError, messages=large) == "request_too_large"
    with client_of(shop, "sk-wrong") as stranger:
        assert raised(stranger, echo, anthropic.AuthenticationError) == "authentication_error"
    with client_of(shop, shop.key("--models", echo)) as narrow:
        assert raised(narrow, f"{dialect}/fixed", anthropic.PermissionDeniedError) == "permission_error"
    with client_of(shop, shop.key("--rpm", "1")) as slow:
        slow.messages.create(model=echo, max_tokens=50, messages=said())
        assert raised(slow, echo, anthropic.RateLimitError) == "rate_limit_error"


def test_a_spent_budget_is_asked_once(shop: Shop, dialect: str) -> None:
    calls: list[object] = []
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [calls.append]})
    with client_of(shop, shop.key("--budget", "0.000001"), max_retries=4, http_client=http) as client:
        raised(client, f"{dialect}/echo", anthropic.RateLimitError)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_failures_of_the_upstream(
    client: anthropic.Anthropic, shop: Shop, dialect: str, kind: str, stream: bool
) -> None:
    expected, status, name = FAILURES[kind]
    model = shop.fresh(dialect, kind, prefix="brief" if kind == "timeout" else "")
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model=model, max_tokens=50, messages=said(), stream=stream)
    assert (type(caught.value), caught.value.status_code) == (expected, status)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == name


def test_what_may_pass_is_tried_again(shop: Shop, key: str, dialect: str) -> None:
    calls: list[object] = []
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [calls.append]})
    with client_of(shop, key, max_retries=2, http_client=http) as client:
        message = client.messages.create(model=shop.fresh(dialect, "flaky-1"), max_tokens=50, messages=said())
    assert (text_of(message), len(calls)) == (SAID, 2)


def test_an_error_within_a_stream(client: anthropic.Anthropic, shop: Shop, dialect: str) -> None:
    model = shop.fresh(dialect, "midstream-error-3")
    stream = client.messages.create(model=model, max_tokens=50, messages=said("a b c d e"), stream=True)
    with pytest.raises(anthropic.APIError):
        list(stream)
    shop.cut_off += 1
