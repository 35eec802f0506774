"""The sandbox as Anthropic: the SDK reads it, the ledger counts it, and it refuses what the real API refuses."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from proxy.sandbox import signatures
from tests.sandbox_process import SandboxProcess

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
TOOLS = [{"name": "say", "input_schema": {"type": "object"}}]
USER = {"role": "user", "content": "one two three"}
TEXT = {"type": "text", "text": "x"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "say", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "yes"}
BUDGET = {"type": "enabled", "budget_tokens": 1024}
PICTURE = {"type": "base64", "media_type": "image/png", "data": "aGk="}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox")).start()
    yield process
    process.stop()


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=sandbox.url + "/anthropic", api_key="k", max_retries=0) as client:
        yield client


def post(sandbox: SandboxProcess, kind: str = "echo", path: str = "", **fields: Any) -> httpx.Response:
    body = {"model": f"sandbox/{kind}", "max_tokens": 2048, "messages": [USER], **fields}
    body = {name: value for name, value in body.items() if value is not ...}
    headers = {**HEADERS, "x-request-id": "req_" + secrets.token_hex(12)}
    return httpx.post(f"{sandbox.url}/anthropic/v1/messages{path}", json=body, headers=headers, timeout=10)


def turns(*contents: Any) -> list[dict[str, Any]]:
    """A conversation in which user and assistant take turns."""
    return [{"role": ("user", "assistant")[place % 2], "content": content} for place, content in enumerate(contents)]


def charge(sandbox: SandboxProcess, answer: httpx.Response) -> dict[str, Any]:
    """What the ledger has for an answer, zeros left out."""
    stats = sandbox.stats(answer.request.headers["x-request-id"])
    return {name: value for name, value in stats.items() if value and name.endswith(("_tokens", "searches"))}


# -- answers


@pytest.mark.parametrize("kind", ["echo", "split", "crlf", "comments", "usage-twice"])
def test_the_sdk_reads_its_streams(client: anthropic.Anthropic, kind: str) -> None:
    asked: dict[str, Any] = {"model": f"sandbox/{kind}", "max_tokens": 99, "messages": [USER]}
    with client.messages.stream(**asked) as stream:
        message = stream.get_final_message()
    block = message.content[0]
    assert block.type == "text"
    assert block.text.startswith("one two three")
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == len(stream.get_final_text().split())


def test_the_sdk_reads_thoughts_and_calls(client: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": "sandbox/thinking-5", "max_tokens": 2000, "messages": [USER], "tools": TOOLS}
    asked["thinking"] = BUDGET
    with client.messages.stream(**asked) as stream:
        message = stream.get_final_message()
    thought, call = message.content
    assert thought.type == "thinking"
    assert thought.signature == signatures.sign(thought.thinking)
    assert call.type == "tool_use"
    assert call.input == {"text": "one two three"}
    whole: anthropic.types.Message = client.messages.create(**asked)
    assert [block.type for block in whole.content] == ["thinking", "tool_use"]
    assert message.usage.output_tokens == whole.usage.output_tokens


def test_an_error_within_a_stream_is_an_event(client: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": "sandbox/midstream-error-1", "max_tokens": 99, "messages": [USER]}
    with pytest.raises(anthropic.APIStatusError) as caught, client.messages.stream(**asked) as stream:
        stream.get_final_message()
    assert caught.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]


@pytest.mark.parametrize("stream", [False, True])
def test_it_charges_every_class_that_it_tells(sandbox: SandboxProcess, stream: bool) -> None:
    system = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    answer = post(sandbox, "cached-3x2", system=system, stream=stream)
    assert charge(sandbox, answer) == {
        "prompt_tokens": 8,
        "completion_tokens": 3,
        "cached_tokens": 3,
        "cache_write_1h_tokens": 2,
    }
    assert '"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":3' in answer.text
    assert '"ephemeral_1h_input_tokens":2' in answer.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("refusal", "refusal"),
        ("blocked", "refusal"),
        ("pause-turn", "pause_turn"),
        ("context-full", "model_context_window_exceeded"),
        ("echo", "max_tokens"),
    ],
)
def test_it_ends_for_every_reason(sandbox: SandboxProcess, kind: str, reason: str, stream: bool) -> None:
    answer = post(sandbox, kind, stream=stream, max_tokens=2 if kind == "echo" else 99)
    assert f'"stop_reason":"{reason}"' in answer.text


def test_it_names_the_stop_sequence(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, stop_sequences=["nine", " three"]).json()
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", " three")
    assert answer["content"][0]["text"] == "one two"


def test_it_counts_tokens_as_it_charges_them(sandbox: SandboxProcess) -> None:
    counted = post(sandbox, path="/count_tokens", max_tokens=..., system="Be kind.", tools=TOOLS).json()
    answer = post(sandbox, system="Be kind.", tools=TOOLS)
    assert counted == {"input_tokens": charge(sandbox, answer)["prompt_tokens"]}


def test_it_searches(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "search-2")
    assert answer.json()["usage"]["server_tool_use"]["web_search_requests"] == 2
    assert charge(sandbox, answer)["web_searches"] == 2


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("400", 400, "invalid_request_error"),
        ("401", 401, "authentication_error"),
        ("403", 403, "permission_error"),
        ("429-7", 429, "rate_limit_error"),
        ("500", 500, "api_error"),
        ("529", 529, "overloaded_error"),
        ("flaky", 503, "api_error"),
        ("too-long", 400, "invalid_request_error"),
        ("unheard-of", 404, "not_found_error"),
    ],
)
def test_it_fails_in_its_own_words(sandbox: SandboxProcess, kind: str, status: int, error: str) -> None:
    answer = post(sandbox, kind)
    assert answer.status_code == status
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == error
    assert answer.json()["request_id"]
    assert answer.headers.get("retry-after") == ("7" if kind == "429-7" else None)


# -- refusals


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"anthropic-version": "2023-06-01"}, 401),
        ({"x-api-key": "invalid", "anthropic-version": "2023-06-01"}, 401),
        ({"x-api-key": "k"}, 400),
        ({"x-api-key": "k", "anthropic-version": "1999"}, 400),
        ({"authorization": "Bearer k", "anthropic-version": "2023-06-01"}, 200),
    ],
)
def test_it_wants_a_key_and_a_version(sandbox: SandboxProcess, headers: dict[str, str], status: int) -> None:
    body = {"model": "sandbox/echo", "max_tokens": 9, "messages": [USER]}
    answer = httpx.post(sandbox.url + "/anthropic/v1/messages", json=body, headers=headers)
    assert answer.status_code == status


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no max_tokens", {"max_tokens": ...}, "max_tokens: Field required"),
    ("zero max_tokens", {"max_tokens": 0}, "greater than or equal to 1"),
    ("an unknown field", {"n": 2}, "n: Extra inputs are not permitted"),
    ("no messages", {"messages": []}, "at least one message"),
    ("an assistant first", {"messages": [{"role": "assistant", "content": "hi"}]}, 'first message must use the "user"'),
    ("a system message", {"messages": [{"role": "system", "content": "hi"}, USER]}, 'Unexpected role "system"'),
    ("an unknown role", {"messages": [{"role": "tool", "content": "hi"}]}, 'Unexpected role "tool"'),
    ("an empty text", {"messages": turns([{"type": "text", "text": ""}])}, "text content blocks must be non-empty"),
    ("white space", {"messages": turns(" ")}, "must contain non-whitespace text"),
    ("an empty message", {"messages": turns("")}, "all messages must have non-empty content"),
    ("a trailing space", {"messages": turns("hi", "so ")}, "cannot end with trailing whitespace"),
    ("an unknown part", {"messages": turns([{"type": "image_url"}])}, "Input tag 'image_url' found using 'type'"),
    ("a strange member", {"messages": turns([{"type": "text", "text": "x", "y": 1}])}, "Extra inputs are not"),
    ("a name", {"messages": [{**USER, "name": "bob"}]}, "messages.0.name: Extra inputs are not permitted"),
    ("hot", {"temperature": 1.5}, "temperature: range: 0..1"),
    ("a blank stop", {"stop_sequences": ["\n"]}, "each stop sequence must contain non-whitespace"),
    ("more metadata", {"metadata": {"team": "x"}}, "metadata.team: Extra inputs are not permitted"),
    ("a bad tool name", {"tools": [{**TOOLS[0], "name": "say.it"}]}, "String should match pattern"),
    ("no schema", {"tools": [{"name": "say"}]}, "input_schema: Field required"),
    ("an untyped schema", {"tools": [{"name": "say", "input_schema": {}}]}, "input_schema.type: Field required"),
    ("tools twice", {"tools": TOOLS * 2}, "Tool names must be unique"),
    ("a choice without tools", {"tool_choice": {"type": "any"}}, "only be specified while providing tools"),
    ("an OpenAI choice", {"tools": TOOLS, "tool_choice": "auto"}, "tool_choice: Input tag"),
    ("a tool unknown", {"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}}, "not found in provided tools"),
    ("a small budget", {"thinking": {**BUDGET, "budget_tokens": 1000}}, "greater than or equal to 1024"),
    ("a large budget", {"thinking": {**BUDGET, "budget_tokens": 2048}}, "`max_tokens` must be greater than"),
    ("thinking warmly", {"thinking": BUDGET, "temperature": 0.5}, "`temperature` may only be set to 1"),
    ("thinking of k", {"thinking": {"type": "adaptive"}, "top_k": 5}, "`top_k` must be unset"),
    (
        "thinking by force",
        {"thinking": BUDGET, "tools": TOOLS, "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    ("effort", {"output_config": {"effort": "none"}}, "output_config.effort"),
    (
        "an open schema",
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        "'additionalProperties' must be explicitly set to false",
    ),
    ("json_object", {"output_config": {"format": {"type": "json_object"}}}, "output_config.format.type"),
    ("a picture over http", {"messages": turns([{"type": "image", "source": {"type": "url", "url": "http://a/b"}}])},
     "Only HTTPS URLs are supported"),
    ("a picture of a kind", {"messages": turns([{"type": "image", "source": {**PICTURE, "media_type": "image/bmp"}}])},
     "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"),
    ("a picture of noise", {"messages": turns([{"type": "image", "source": {**PICTURE, "data": "%"}}])},
     "invalid base64 data"),
    ("a data URL", {"messages": turns([{"type": "image", "source": {"type": "url", "url": "data:image/png;base64,"}}])},
     "Only HTTPS URLs are supported"),
    ("a result of nothing", {"messages": turns([RESULT])}, "unexpected `tool_use_id` found in `tool_result` blocks"),
    ("a call without its result", {"tools": TOOLS, "messages": turns("hi", [CALL], "so?")},
     "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1"),
    ("a call at the end", {"tools": TOOLS, "messages": turns("hi", [CALL])}, "without `tool_result` blocks"),
    ("text before the result", {"tools": TOOLS, "messages": turns("hi", [CALL], [TEXT, RESULT])},
     "without `tool_result` blocks immediately after"),
    ("two results", {"tools": TOOLS, "messages": turns("hi", [CALL], [RESULT, RESULT])}, "must have a single result"),
    ("two calls of one id", {"tools": TOOLS, "messages": turns("hi", [CALL, CALL], [RESULT])}, "ids must be unique"),
    ("arguments as text", {"tools": TOOLS, "messages": turns("hi", [{**CALL, "input": "{}"}], [RESULT])},
     "tool_use.input: Input should be an object"),
    ("a lost thought", {"tools": TOOLS, "thinking": BUDGET, "messages": turns("hi", [CALL], [RESULT])},
     "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
    ("a forged thought", {"messages": turns("hi", [{"type": "thinking", "thinking": "x", "signature": "eA=="}], "so?")},
     "Invalid `signature` in `thinking` block"),
    ("a changed thought", {"tools": TOOLS, "thinking": BUDGET, "messages": turns("hi", [
        {"type": "thinking", "thinking": "other", "signature": signatures.sign("x")}, CALL], [RESULT])},
     "cannot be modified"),
    ("five marks", {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
     "A maximum of 4 blocks with cache_control may be provided. Found 5."),
    ("an hour after minutes", {"system": [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": ttl}} for ttl in ("5m", "1h")]},
     "must not come after a ttl='5m'"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_it_refuses_what_the_real_api_refuses(sandbox: SandboxProcess, fields: dict[str, Any], message: str) -> None:
    answer = post(sandbox, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert message in answer.json()["error"]["message"]
    assert sandbox.stats(answer.request.headers["x-request-id"])["state"] == "refused"


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("neighbours of a role", {"messages": [USER, USER, *turns("hi", "so")[1:], USER]}),
    ("results one by one", {"tools": TOOLS, "messages": [
        USER, {"role": "assistant", "content": [CALL, {**CALL, "id": "toolu_2"}]},
        {"role": "user", "content": [RESULT]}, {"role": "user", "content": [{**RESULT, "tool_use_id": "toolu_2"}]}]}),
    ("a result and a question", {"tools": TOOLS, "messages": turns("hi", [CALL], [RESULT, TEXT])}),
    ("pictures and papers", {"messages": turns([
        {"type": "image", "source": PICTURE}, {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        {"type": "document", "source": {**PICTURE, "media_type": "application/pdf"}}])}),
    ("a thought that came back", {"tools": TOOLS, "thinking": BUDGET, "messages": turns("hi", [
        {"type": "thinking", "thinking": "x", "signature": signatures.sign("x")}, CALL], [RESULT])}),
    ("a closed schema", {"output_config": {"effort": "high", "format": {
        "type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}}}),
    ("a sealed thought", {"thinking": BUDGET, "tools": TOOLS, "messages": turns("hi", [
        {"type": "redacted_thinking", "data": signatures.sign("x")}, CALL], [RESULT])}),
]  # fmt: skip


@pytest.mark.parametrize("fields", [case[1] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_it_takes_what_the_real_api_takes(sandbox: SandboxProcess, fields: dict[str, Any]) -> None:
    answer = post(sandbox, **fields)
    assert answer.status_code == 200, json.dumps(answer.json())


def test_a_model_may_refuse_sampling(sandbox: SandboxProcess) -> None:
    assert post(sandbox, "no-sampling").status_code == 200
    assert "temperature" in post(sandbox, "no-sampling", temperature=0.5).json()["error"]["message"]
