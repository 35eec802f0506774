"""The sandbox upstream, as a process and over sockets: answers, faults, and what it says it charged."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from proxy.sandbox import behaviour, words
from proxy.sandbox.streams import cut_characters
from tests.deadline import until
from tests.sandbox_process import SandboxProcess

TOOLS = [{"type": "function", "function": {"name": "say", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox")).start()
    yield process
    process.stop()


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=sandbox.url + "/v1", api_key="x", max_retries=0, timeout=10) as client:
        yield client


def body(model: str, text: str = "one two three four five", **fields: Any) -> dict[str, Any]:
    return {"model": f"sandbox/{model}", "messages": [{"role": "user", "content": text}], **fields}


def post(sandbox: SandboxProcess, model: str, request_id: str = "", /, **fields: Any) -> httpx.Response:
    headers = {"x-request-id": request_id} if request_id else {}
    return httpx.post(sandbox.url + "/v1/chat/completions", json=body(model, **fields), headers=headers, timeout=10)


def new_id() -> str:
    return "req_" + secrets.token_hex(12)


def events(text: str) -> list[dict[str, Any]]:
    """The JSON events of a stream that is well-formed."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


# -- answers


def test_it_echoes_the_last_user_message(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**body("echo", "Grüße, a wonderful-world"))
    assert answer.choices[0].message.content == "Grüße, a wonderful-world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3 + 4, 4)


def test_it_streams_one_token_per_chunk_and_usage_last(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**body("echo", stream=True, stream_options={"include_usage": True}))
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks[1:-2]] == ["one", " two", " three", " four", " five"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_it_sends_no_usage_key_unless_asked(sandbox: SandboxProcess) -> None:
    assert all("usage" not in event for event in events(post(sandbox, "echo", stream=True).text))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_it_stops_at_the_token_limit(sandbox: SandboxProcess, field: str) -> None:
    answer = post(sandbox, "echo", "", **{field: 2}).json()
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 2


def test_it_cuts_before_a_stop_sequence(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "echo", stop=[" three", "five"]).json()
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_it_interleaves_choices_and_counts_them_all(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "echo", n=3, stream=True, stream_options={"include_usage": True})
    indexes = [event["choices"][0]["index"] for event in events(answer.text)[:-1]]
    assert indexes[:6] == [0, 1, 2, 0, 1, 2]
    assert events(answer.text)[-1]["usage"]["completion_tokens"] == 15


def test_it_calls_a_tool_in_pieces_and_then_answers_in_text(client: openai.OpenAI) -> None:
    asked = body("tools", "hello there my friend", tools=TOOLS)
    whole = client.chat.completions.create(**asked).choices[0]
    assert whole.finish_reason == "tool_calls"
    assert whole.message.tool_calls is not None
    call = whole.message.tool_calls[0]
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("say", {"text": "hello there my friend"})
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    parts = [delta.tool_calls[0].function.arguments or "" for delta in deltas if delta.tool_calls]
    assert len(parts) > 3
    assert "".join(parts) == call.function.arguments
    asked["messages"] += [whole.message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "42"}]
    assert client.chat.completions.create(**asked).choices[0].message.content == "The tool says: 42"


def test_it_reports_reasoning_and_cached_tokens(sandbox: SandboxProcess) -> None:
    reasoning = post(sandbox, "reasoning-9").json()["usage"]
    assert reasoning["completion_tokens"] == 9 + 5
    assert reasoning["completion_tokens_details"]["reasoning_tokens"] == 9
    cached = post(sandbox, "cached").json()["usage"]
    assert cached["prompt_tokens_details"]["cached_tokens"] == cached["prompt_tokens"] // 2 > 0


def test_it_answers_json(sandbox: SandboxProcess) -> None:
    content = post(sandbox, "json").json()["choices"][0]["message"]["content"]
    assert json.loads(content) == {"echo": "one two three four five"}


def test_it_paces_a_stream(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "paced-12x10", stream=True)
    assert len(events(answer.text)) == 1 + 12 + 1
    assert answer.elapsed.total_seconds() >= 0.12


def test_it_waits_as_long_as_the_name_says(sandbox: SandboxProcess) -> None:
    assert post(sandbox, "fixed-60").elapsed.total_seconds() >= 0.06
    assert post(sandbox, "slow-60").elapsed.total_seconds() >= 0.06


def test_it_lists_its_models(client: openai.OpenAI) -> None:
    assert {"sandbox/echo", "sandbox/paced"} <= {model.id for model in client.models.list()}


# -- faults


@pytest.mark.parametrize(
    ("model", "status"), [("400", 400), ("401", 401), ("429", 429), ("500", 500), ("503", 503), ("529", 529)]
)
def test_it_fails_with_the_status_of_its_name(sandbox: SandboxProcess, model: str, status: int) -> None:
    answer = post(sandbox, model)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_it_says_when_to_come_back(sandbox: SandboxProcess) -> None:
    assert post(sandbox, "429-7").headers["retry-after"] == "7"


def test_it_answers_html_and_errors_with_200(sandbox: SandboxProcess) -> None:
    assert [post(sandbox, "html").status_code, post(sandbox, "html200").status_code] == [502, 200]
    assert post(sandbox, "html200").headers["content-type"] == "text/html"
    assert "error" in post(sandbox, "error200").json()


def test_it_counts_who_follows_its_redirect(sandbox: SandboxProcess) -> None:
    before = sandbox.stats()["redirected"]
    assert post(sandbox, "redirect").status_code == 307
    assert sandbox.stats()["redirected"] == before
    httpx.post(sandbox.url + "/v1/redirected")
    assert sandbox.stats()["redirected"] == before + 1


def test_it_fails_some_times_per_user(sandbox: SandboxProcess) -> None:
    user = new_id()
    assert [post(sandbox, "flaky-2", user=user).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_it_never_answers(sandbox: SandboxProcess) -> None:
    request_id = new_id()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            sandbox.url + "/v1/chat/completions",
            json=body("timeout"),
            headers={"x-request-id": request_id},
            timeout=0.3,
        )
    until(lambda: sandbox.stats(request_id)["state"] == "aborted")
    assert sandbox.stats(request_id)["prompt_tokens"] == 0


def test_it_cuts_the_connection_in_a_stream(sandbox: SandboxProcess) -> None:
    request_id = new_id()
    with pytest.raises(httpx.RemoteProtocolError):
        post(sandbox, "drop-2", request_id, stream=True)
    charge = sandbox.stats(request_id)
    assert (charge["completion_tokens"], charge["state"]) == (2, "aborted")


def test_it_ends_a_stream_without_a_reason(sandbox: SandboxProcess) -> None:
    text = post(sandbox, "truncated-2", stream=True).text
    assert "[DONE]" not in text
    assert all(event["choices"][0]["finish_reason"] is None for event in events(text))


def test_it_sends_an_error_in_a_stream(sandbox: SandboxProcess) -> None:
    text = post(sandbox, "midstream-error", stream=True).text
    assert "error" in events(text)[-1]
    assert "[DONE]" not in text


def test_it_sends_a_line_that_is_no_json(sandbox: SandboxProcess) -> None:
    with pytest.raises(json.JSONDecodeError):
        events(post(sandbox, "malformed", stream=True).text)


@pytest.mark.parametrize(
    ("model", "reported"), [("no-usage", None), ("zero-usage", 0), ("negative-usage", -7), ("huge-usage", 10**15)]
)
def test_it_misreports_usage_but_charges_the_truth(sandbox: SandboxProcess, model: str, reported: int | None) -> None:
    for fields in ({}, {"stream": True, "stream_options": {"include_usage": True}}):
        request_id = new_id()
        answer = post(sandbox, model, request_id, **fields)
        last = events(answer.text)[-1] if fields else answer.json()
        usage = last.get("usage")
        assert (usage and usage["completion_tokens"]) == reported
        assert sandbox.stats(request_id)["completion_tokens"] == 5


def test_it_reports_usage_twice_or_on_every_chunk(sandbox: SandboxProcess) -> None:
    fields: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    twice = [event["usage"] for event in events(post(sandbox, "usage-twice", **fields).text)]
    assert [usage["completion_tokens"] for usage in twice if usage] == [4, 5]
    each = [event["usage"]["completion_tokens"] for event in events(post(sandbox, "usage-each", **fields).text)]
    assert each == [0, 1, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize("model", ["crlf", "comments", "split"])
def test_it_writes_a_stream_oddly_with_the_same_events(sandbox: SandboxProcess, model: str) -> None:
    answer = post(sandbox, model, stream=True)
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events(answer.text))
    assert text.startswith("one two three four five")
    assert ("\r\n\r\n" in answer.text) == (model == "crlf")
    assert (": keepalive" in answer.text) == (model == "comments")


def test_it_cuts_inside_characters() -> None:
    parts = list(cut_characters('data: "漢🎉é"\n\n'.encode()))
    assert b"".join(parts).decode() == 'data: "漢🎉é"\n\n'
    for part in parts[:-2]:
        with pytest.raises(UnicodeDecodeError):
            part.decode()


def test_it_sends_a_long_line(sandbox: SandboxProcess) -> None:
    lines = post(sandbox, "longline-1024", stream=True).text.splitlines()
    assert max(map(len, lines)) > 1024 * 1024


@pytest.mark.parametrize(("model", "status"), [("nothing", 404), ("../v1/files", 404)])
def test_it_knows_no_other_models(sandbox: SandboxProcess, model: str, status: int) -> None:
    assert post(sandbox, model).status_code == status


def test_it_refuses_what_is_no_request(sandbox: SandboxProcess) -> None:
    assert httpx.post(sandbox.url + "/v1/chat/completions", content=b"{").status_code == 400
    assert httpx.get(sandbox.url + "/v1/nothing").status_code == 404
    with socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2]))) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


def test_it_answers_pipelined_and_chunked_requests(sandbox: SandboxProcess) -> None:
    payload = json.dumps(body("echo")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (payload[:10], payload[10:])) + b"0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2])), timeout=10) as raw:
        raw.sendall(head + chunked + b"GET /health HTTP/1.1\r\n\r\n")
        received = b""
        while b'{"status":"ok"}' not in received:
            received += raw.recv(65536)
    assert received.count(b"HTTP/1.1 200 OK") == 2


# -- the charge


def test_it_charges_what_it_served(sandbox: SandboxProcess) -> None:
    request_id = new_id()
    post(sandbox, "cached-3", request_id, stream=True)
    charge = sandbox.stats(request_id)
    assert {name: value for name, value in charge.items() if value} == {
        "attempts": 1,
        "prompt_tokens": 8,
        "completion_tokens": 5,
        "cached_tokens": 3,
        "chunks": 7,
        "state": "ended",
        "model": "sandbox/cached-3",
    }
    assert charge["reasoning_tokens"] == charge["cache_write_5m_tokens"] == charge["web_searches"] == 0


def test_it_adds_up_the_attempts_of_a_request(sandbox: SandboxProcess) -> None:
    request_id = new_id()
    for model in ("503", "drop-2", "echo"):
        try:
            post(sandbox, model, request_id, stream=True)
        except httpx.RemoteProtocolError:
            assert model == "drop-2"
    charge = sandbox.stats(request_id)
    assert (charge["attempts"], charge["prompt_tokens"], charge["completion_tokens"]) == (3, 16, 7)


def test_it_stops_generating_when_the_client_hangs_up(sandbox: SandboxProcess) -> None:
    request_id = new_id()
    url, fields = sandbox.url + "/v1/chat/completions", body("paced-2000x5", stream=True)
    with httpx.stream("POST", url, json=fields, headers={"x-request-id": request_id}) as answer:
        lines = answer.iter_lines()
        for _ in range(20):
            next(lines)
    until(lambda: sandbox.stats(request_id)["state"] == "aborted")
    charge = sandbox.stats(request_id)
    assert 9 <= charge["completion_tokens"] < 1000
    assert charge["prompt_tokens"] == 8


def test_it_remembers_its_charges_after_sigkill(tmp_path: Path) -> None:
    sandbox = SandboxProcess(tmp_path).start()
    ended, running = new_id(), new_id()
    post(sandbox, "echo", ended)
    url = sandbox.url + "/v1/chat/completions"
    with httpx.stream("POST", url, json=body("paced-2000x5", stream=True), headers={"x-request-id": running}) as answer:
        lines = answer.iter_lines()
        next(lines)
        until(lambda: (tmp_path / "charges.jsonl").read_text().count(running) > 2)
        written = sandbox.stats()
        sandbox.kill()
    sandbox.start()
    after = sandbox.stats()
    sandbox.stop()
    assert after["detail"][ended] == written["detail"][ended]
    assert after["detail"][running]["state"] == "aborted"
    assert after["detail"][running]["completion_tokens"] > 0
    assert after["requests"] == 2


def test_it_forgets_when_told(tmp_path: Path) -> None:
    sandbox = SandboxProcess(tmp_path).start()
    post(sandbox, "echo")
    assert sandbox.stats()["completion_tokens"] == 5
    sandbox.clear()
    assert sandbox.stats()["requests"] == 0
    sandbox.stop()


# -- the fast mode, and names and tokens


def test_it_gives_the_same_fixed_and_paced_answers_without_a_ledger(sandbox: SandboxProcess, tmp_path: Path) -> None:
    fast = SandboxProcess(tmp_path, "--no-ledger").start()
    try:
        for model in ("fixed", "fixed-5x7", "paced-6x2", "paced-6x0"):
            for fields in ({}, {"stream": True, "stream_options": {"include_usage": True}}, {"max_tokens": 3}):
                answers = [post(which, model, **fields) for which in (fast, sandbox)]
                read = [events(each.text) if "stream" in fields else [each.json()] for each in answers]
                for events_of_one in read:
                    for event in events_of_one:
                        del event["id"], event["created"]
                assert read[0] == read[1]
        assert fast.stats()["requests"] == 0
        assert fast.stats()["fast"] == 12
        assert post(fast, "echo").json()["usage"]["completion_tokens"] == 5
    finally:
        fast.stop()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sandbox/paced-200x10", ("paced", 200, 10)),
        ("paced", ("paced", 50, 10)),
        ("sandbox/no-usage", ("no-usage", 0, 0)),
        ("sandbox/429-3", ("429", 3, 0)),
        ("sandbox/unknown", None),
        ("sandbox/paced-1x1x1", None),
    ],
)
def test_it_reads_names(name: str, expected: tuple[str, int, int] | None) -> None:
    found = behaviour.parse(name)
    assert (found and (found.kind, found.first, found.second)) == expected


@pytest.mark.parametrize("text", ["", " ", "a", "  a  b ", "日本語の長い文章です", "x" * 100, "\n\n\t"])
def test_its_tokens_join_to_the_text_and_stay_below_its_bytes(text: str) -> None:
    assert "".join(words.pieces(text)) == text
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": text},
        {"role": "user", "content": [{"type": "image_url"}]},
    ]
    assert words.prompt_tokens(messages, TOOLS) < len(json.dumps([messages, TOOLS], ensure_ascii=False).encode())
