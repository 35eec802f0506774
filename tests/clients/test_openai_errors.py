"""Every error as openai-python raises it, and how often it calls again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.clients.material import megabytes, said
from tests.clients.shop import Shop

Expected = tuple[type[openai.APIStatusError], int, str | None]
FAILURES: dict[str, Expected] = {
    "400": (openai.BadRequestError, 400, "invalid_value"),
    "401": (openai.InternalServerError, 502, "bad_gateway"),
    "500": (openai.InternalServerError, 502, "bad_gateway"),
    "503": (openai.InternalServerError, 503, "upstream_overloaded"),
    "429": (openai.InternalServerError, 503, "upstream_overloaded"),
    "timeout": (openai.InternalServerError, 504, "timeout"),
}


class Calls:
    """The moments at which a client called."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def client(self, shop: Shop, key: str, **options: Any) -> openai.OpenAI:
        """A client that notes its calls."""
        http = openai.DefaultHttpxClient(event_hooks={"request": [lambda _: self.at.append(time.monotonic())]})
        return shop.client(key, http_client=http, **options)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def client(shop: Shop, key: str) -> Iterator[openai.OpenAI]:
    with shop.client(key) as client:
        yield client


def raised(call: Callable[[], object], kind: type[openai.APIStatusError]) -> openai.APIStatusError:
    """The error a call raises, which is of exactly this kind."""
    with pytest.raises(openai.APIStatusError) as caught:
        call()
    assert type(caught.value) is kind
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")
    return caught.value


def ask(client: openai.OpenAI, model: str, **fields: Any) -> Callable[[], object]:
    """A call to make."""
    return lambda: client.chat.completions.create(model=model, messages=said(), **fields)


def test_bad_requests(client: openai.OpenAI, dialect: str) -> None:
    error = raised(ask(client, f"{dialect}/echo", temperature=3), openai.BadRequestError)
    assert (error.param, error.code, error.type) == (
        "temperature", "decimal_above_max_value", "invalid_request_error",
    )  # fmt: skip


def test_a_wrong_key(shop: Shop, key: str) -> None:
    with shop.client(key[:-1] + ("a" if key[-1] != "a" else "b")) as client:
        assert raised(ask(client, "openai/echo"), openai.AuthenticationError).code == "invalid_api_key"


def test_a_model_the_key_may_not_use(shop: Shop, dialect: str) -> None:
    with shop.client(shop.key("--models", f"{dialect}/echo")) as client:
        error = raised(ask(client, f"{dialect}/fixed"), openai.PermissionDeniedError)
    assert (error.code, error.type) == ("model_not_allowed", "permission_error")


def test_a_model_that_does_not_exist(client: openai.OpenAI) -> None:
    error = raised(ask(client, "openai/nothing"), openai.NotFoundError)
    assert (error.code, error.param) == ("model_not_found", "model")


def test_a_body_that_is_too_large(client: openai.OpenAI) -> None:
    error = raised(
        lambda: client.chat.completions.create(model="openai/fixed", messages=said(megabytes(7))),
        openai.APIStatusError,
    )
    assert (error.status_code, error.code) == (413, "request_too_large")


def test_a_refusal_reaches_a_client_that_is_still_sending(shop: Shop) -> None:
    """Node's clients look for an answer only when they have sent everything."""
    sent = b'{"model": "openai/fixed", "messages": "' + b"x" * 5_000_000
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer nobody\r\n"
    answer = shop.raw(head + b"content-length: %d\r\n\r\n" % len(sent), sent)
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_failures_of_the_upstream(shop: Shop, key: str, dialect: str, kind: str, stream: bool) -> None:
    expected, status, code = FAILURES[kind]
    model = shop.fresh(dialect, kind, prefix="brief" if kind == "timeout" else "")
    with shop.client(key) as client:
        error = raised(ask(client, model, stream=stream), expected)
    assert (error.status_code, error.code) == (status, code)
    assert "upstream-secret" not in str(error.body)


def test_an_error_within_a_stream(client: openai.OpenAI, shop: Shop, dialect: str) -> None:
    model = shop.fresh(dialect, "midstream-error-3")
    stream = client.chat.completions.create(model=model, messages=said("a b c d e"), stream=True)
    texts: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        texts.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(texts) == "a b c"
    assert not isinstance(caught.value, openai.APIConnectionError)
    shop.cut_off += 1


def test_the_rate_of_a_key(shop: Shop, calls: Calls, dialect: str) -> None:
    with calls.client(shop, shop.key("--rpm", "1")) as client:
        ask(client, f"{dialect}/echo")()
        error = raised(ask(client, f"{dialect}/echo"), openai.RateLimitError)
    assert (error.code, error.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert 0 < int(error.response.headers["retry-after"]) <= 60
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_it_waits_as_long_as_a_rate_asks(shop: Shop, calls: Calls) -> None:
    """60 a minute are one a second, once the minute's worth is spent."""
    with calls.client(shop, shop.key("--rpm", "60"), max_retries=2) as client:
        answers = [ask(client, "openai/echo")() for _ in range(61)]
    assert len(answers) == 61
    assert len(calls.at) > 61


def test_it_comes_again_when_a_call_has_ended(shop: Shop, calls: Calls) -> None:
    narrow = shop.key("--concurrency", "1")
    with shop.client(narrow) as first, calls.client(shop, narrow, max_retries=3) as second:
        stream = first.chat.completions.create(model="openai/paced-100x10", messages=said(), stream=True)
        next(iter(stream))
        ask(second, "openai/echo")()
        stream.close()
    assert len(calls.at) >= 2
    assert calls.at[1] - calls.at[0] >= 0.9


@pytest.mark.parametrize("options", [("--budget", "0.000001"), ("--budget", "0.000001", "--window", "lifetime")])
def test_a_spent_budget_is_asked_once(shop: Shop, calls: Calls, dialect: str, options: tuple[str, ...]) -> None:
    with calls.client(shop, shop.key(*options), max_retries=4) as client:
        error = raised(ask(client, f"{dialect}/echo"), openai.RateLimitError)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert error.response.headers["x-should-retry"] == "false"
    assert len(calls.at) == 1


def test_an_empty_wallet_is_asked_once(shop: Shop, calls: Calls, dialect: str) -> None:
    tenant = shop.tenant(billing="prepaid")
    with calls.client(shop, shop.key(tenant=tenant), max_retries=4) as client:
        error = raised(ask(client, f"{dialect}/echo"), openai.RateLimitError)
    assert error.code == "insufficient_quota"
    assert len(calls.at) == 1


def test_it_comes_again_after_the_time_the_upstream_asked_for(shop: Shop, key: str, calls: Calls, dialect: str) -> None:
    with calls.client(shop, key, max_retries=1) as client:
        error = raised(ask(client, shop.fresh(dialect, "429-1")), openai.InternalServerError)
    assert error.response.headers["retry-after"] == "1"
    assert len(calls.at) == 2
    assert calls.at[1] - calls.at[0] >= 0.9


def test_what_may_pass_is_tried_again(shop: Shop, key: str, calls: Calls, dialect: str) -> None:
    with calls.client(shop, key, max_retries=2) as client:
        answer = client.chat.completions.create(model=shop.fresh(dialect, "flaky-1"), messages=said(), user=key[:20])
    assert answer.choices[0].message.content == "one two three"
    assert len(calls.at) == 2


def test_what_cannot_pass_is_not(shop: Shop, key: str, calls: Calls, dialect: str) -> None:
    with calls.client(shop, key, max_retries=4) as client:
        raised(ask(client, f"{dialect}/echo", temperature=3), openai.BadRequestError)
        raised(ask(client, f"{dialect}/nothing"), openai.NotFoundError)
    assert len(calls.at) == 2
