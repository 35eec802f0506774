"""Streams over HTTP: their end in every fault, hang-ups, drain and cancel, silence, and what is billed for them."""

from __future__ import annotations

import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.deadline import until
from tests.proxy.town import Town, bearer, body, chunks, text_of

pytestmark = pytest.mark.timeout(240)
HANG_UPS = 300


def test_a_stream_is_openais(town: Town, key: str) -> None:
    answer = town.post(key, stream=True, text="one two three")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")
    assert answer.text.count("[DONE]") == 1
    events = chunks(answer.text)
    assert {event["id"] for event in events} == {"chatcmpl-" + answer.headers["x-request-id"].removeprefix("req_")}
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(event["choices"] and "usage" in event and event["usage"] is None for event in events)
    assert all(block.startswith("data: ") for block in answer.text.split("\n\n")[:-1])


@pytest.mark.parametrize("wanted", [None, False, True])
def test_usage_is_told_only_when_asked_for_and_counted_always(town: Town, key: str, wanted: bool | None) -> None:
    options = {} if wanted is None else {"stream_options": {"include_usage": wanted}}
    answer = town.post(key, "sandbox/cached", text="one two three four", stream=True, **options)
    told = [event for event in chunks(answer.text) if event.get("usage")]
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["basis"], event["completion_tokens"]) == ("settled", "exact", 4)
    assert event["cache_read"] > 0
    assert len(told) == (1 if wanted else 0)
    if told:
        assert told[0]["choices"] == []
        assert told[0]["usage"]["completion_tokens"] == 4
        assert told[0]["cost"] == {"amount": event["cost"] / 10**12, "currency": "USD"}


@pytest.mark.parametrize("kind", ["crlf", "comments", "split", "usage-twice", "usage-each"])
def test_odd_streams_bill_the_same(town: Town, key: str, kind: str) -> None:
    answer = town.post(key, f"sandbox/{kind}", text="one two three", stream=True)
    assert text_of(chunks(answer.text)).startswith("one two three")
    assert answer.text.endswith("data: [DONE]\n\n")
    event, charge = town.event(answer.headers["x-request-id"]), town.charge(answer.headers["x-request-id"])
    assert charge is not None
    assert event["basis"] == "exact"
    assert (event["prompt_tokens"], event["completion_tokens"]) == (
        charge["prompt_tokens"],
        charge["completion_tokens"],
    )


def test_a_megabyte_in_one_line_passes(town: Town, key: str) -> None:
    answer = town.post(key, "sandbox/longline-1024", stream=True)
    assert len(text_of(chunks(answer.text))) == 2**20


@pytest.mark.parametrize("kind", ["no-usage", "zero-usage", "negative-usage", "huge-usage"])
@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_cannot_be_true_is_estimated_and_flagged(town: Town, key: str, kind: str, stream: bool) -> None:
    answer = town.post(key, f"sandbox/{kind}", text="one two three", stream=stream)
    assert answer.status_code == 200
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["basis"]) == ("settled", "estimated")
    assert event["usage_ignored"] == (kind in ("negative-usage", "huge-usage"))
    assert 1 <= event["output"] <= 20
    assert event["input"] == event["input_estimate"]
    assert event["cost"] <= event["hold"]


@pytest.mark.parametrize("kind", ["drop-3", "truncated-3", "midstream-error-3", "malformed-3"])
def test_a_fault_after_the_first_byte_is_an_error_event_and_no_end(town: Town, key: str, kind: str) -> None:
    answer = town.post(key, f"sandbox/{kind}", text="one two three four five", stream=True)
    assert answer.status_code == 200
    assert "[DONE]" not in answer.text
    events = chunks(answer.text)
    error = events[-1]["error"]
    assert (error["type"], error["code"]) == ("server_error", "bad_gateway")
    assert {"message", "type", "param", "code"} <= error.keys()
    assert text_of(events[:-1]) == "one two three"
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["basis"], event["status"]) == ("settled", "estimated", 502)
    assert 3 <= event["output"] <= 5


def test_a_stream_that_breaks_before_its_first_byte_is_a_real_status(town: Town, key: str) -> None:
    for kind in ("500", "error200", "html200"):
        answer = town.post(key, f"sandbox/{kind}", stream=True)
        assert answer.status_code == 502
        assert town.event(answer.headers["x-request-id"])["state"] == "voided"


def test_chunks_arrive_as_the_upstream_sends_them(town: Town, key: str) -> None:
    seen = []
    sent = body("sandbox/paced-20x20", stream=True)
    with town.http.stream("POST", "/v1/chat/completions", json=sent, headers=bearer(key)) as answer:
        for _ in answer.iter_text():
            seen.append(town.sandbox.stats()["running"])
    assert len(seen) > 5
    assert any(seen)  # the first parts were there before the upstream was done


# -- clients that leave


def hang_up(town: Town, key: str, model: str, after: int) -> str:
    """Start a stream and close the connection after a number of bytes; returns the request id."""
    data = json.dumps(body(model, stream=True)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    with socket.create_connection(("127.0.0.1", town.product.options.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
        received = b""
        while b"\r\n\r\n" not in received or len(received) < after:
            part = connection.recv(4096)
            if not part:
                break
            received += part
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, as a crash would
    headers = received.partition(b"\r\n\r\n")[0].lower()
    return "req_" + headers.partition(b"x-request-id: req_")[2][:24].decode()


def test_300_hang_ups_are_drained_to_the_upstreams_own_count(town: Town) -> None:
    key, dice = town.key(), random.Random(7)
    with ThreadPoolExecutor(25) as pool:
        calls = [pool.submit(hang_up, town, key, "sandbox/paced-20x20", dice.randrange(6_000)) for _ in range(HANG_UPS)]
        ids = [call.result() for call in calls]
    assert len(set(ids)) == HANG_UPS
    rows = [town.event(request_id) for request_id in ids]
    charges = town.sandbox.stats()["detail"]
    for request_id, row in zip(ids, rows, strict=True):
        charge = charges[request_id]
        assert (row["state"], row["basis"], charge["attempts"]) == ("settled", "exact", 1)
        assert (row["prompt_tokens"], row["completion_tokens"]) == (
            charge["prompt_tokens"],
            charge["completion_tokens"],
        )
    assert sum(row["client_gone"] for row in rows) > HANG_UPS // 2
    assert town.books()["differences"] == []


def test_closing_right_after_the_end_marker_is_no_hang_up(town: Town, key: str) -> None:
    for _ in range(20):
        with town.client(key) as client:
            stream = client.chat.completions.create(
                model="sandbox/echo", messages=[{"role": "user", "content": "a b"}], stream=True
            )
            last = list(stream)[-1]
        event = town.event(last.id)
        assert (event["basis"], event["client_gone"], event["completion_tokens"]) == ("exact", False, 2)


def test_cancelling_reaches_the_upstream_and_bills_what_was_delivered(town: Town, key: str) -> None:
    for _ in range(3):
        request_id = hang_up(town, key, "hasty/paced-400x10", 5_000)
        charge: dict[str, Any] = {}

        def aborted(request_id: str = request_id, charge: dict[str, Any] = charge) -> bool:
            charge.update(town.charge(request_id) or {})
            return bool(charge["state"] == "aborted")

        until(aborted, seconds=1.0)
        event = town.event(request_id)
        assert (event["state"], event["basis"], event["client_gone"]) == ("settled", "estimated", True)
        assert event["input"] == event["input_estimate"]
        # The upstream is ahead by what was under way: a second of its pace at most.
        assert 1 <= event["output"] <= charge["completion_tokens"] + 2
        assert charge["completion_tokens"] - event["output"] <= 100


def test_a_stream_may_be_silent_for_long_and_is_kept_alive(town: Town) -> None:
    key = town.key()
    town.apply(SILENT.format(url=town.sandbox.url))
    until(lambda: all(town.fresh_get("/v1/models/silent", key).status_code == 200 for _ in range(8)))
    sent = body("silent", stream=True)
    with town.http.stream("POST", "/v1/chat/completions", json=sent, headers=bearer(key), timeout=40) as answer:
        text = "".join(answer.iter_text())
    assert ": keepalive\n\n" in text
    assert text.endswith("data: [DONE]\n\n")
    assert text_of(chunks(text)) == " tick"


SILENT = """
[[upstreams]]
name = "silent"
dialect = "openai"
base_url = "{url}/v1"
api_key = "x"
idle_timeout_s = 60
first_byte_timeout_s = 60
[[models]]
name = "silent"
context_window = 1000
max_output_tokens = 10
routes = [{{ upstream = "silent", model = "sandbox/paced-1x11000", priority = 1, weight = 1 }}]
[models.price]
input = "1.00"
output = "4.00"
"""


def test_an_upstream_that_falls_silent_is_given_up(town: Town, key: str) -> None:
    town.apply(SILENT.format(url=town.sandbox.url).replace("silent", "mute").replace("= 60", "= 2"))
    answers: list[httpx.Response] = []

    def offered() -> bool:
        answers.append(town.post(key, "mute", stream=True))
        return answers[-1].status_code == 200

    until(offered)
    events = chunks(answers[-1].text)
    assert events[-1]["error"]["type"] == "server_error"
    assert "[DONE]" not in answers[-1].text
    assert town.event(answers[-1].headers["x-request-id"])["state"] == "settled"
