"""The sandbox as OpenAI besides chat, as Azure, and as the providers that are nearly OpenAI."""

from __future__ import annotations

import base64
import json
import secrets
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from proxy.sandbox import pictures
from tests.sandbox_process import SandboxProcess

TOOLS = [{"type": "function", "function": {"name": "say", "parameters": {"type": "object"}}}]
BASES = {
    "deepseek": "/deepseek/v1",
    "vllm": "/vllm/v1",
    "ollama": "/ollama/v1",
    "openrouter": "/openrouter/api/v1",
    "mistral": "/mistral/v1",
    "xai": "/xai/v1",
    "azure": "/azure/openai/deployments/sandbox%2F{model}",
    "openai": "/v1",
}
USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox")).start()
    yield process
    process.stop()


def post(sandbox: SandboxProcess, name: str, kind: str = "echo", **fields: Any) -> httpx.Response:
    """A chat completion."""
    body = {"model": f"sandbox/{kind}", "messages": [{"role": "user", "content": "one two three"}], **fields}
    headers = {"authorization": "Bearer k", "api-key": "k", "x-request-id": "req_" + secrets.token_hex(12)}
    url = sandbox.url + BASES[name].format(model=kind) + "/chat/completions?api-version=2024-10-21"
    return httpx.post(url, json=body, headers=headers)


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream that ended well."""
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    return [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]


def usages(found: list[dict[str, Any]]) -> list[Any]:
    """Where usage is, and what it says of the completion."""
    return [chunk["usage"]["completion_tokens"] if chunk.get("usage") else None for chunk in found]


# -- every provider


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("kind", ["echo", "cached", "tools"])
def test_each_provider_charges_what_it_tells(sandbox: SandboxProcess, name: str, kind: str) -> None:
    more = {} if name == "mistral" else USAGE
    answer = post(sandbox, name, kind, tools=TOOLS, **{"stream": True, **more})
    told = [chunk["usage"] for chunk in chunks(answer) if chunk.get("usage")][-1]
    whole = json.loads(post(sandbox, name, kind, tools=TOOLS).text)["usage"]
    charged = sandbox.stats(answer.request.headers["x-request-id"])
    for usage in (told, whole):
        assert usage["prompt_tokens"] == charged["prompt_tokens"]
        assert usage["completion_tokens"] == charged["completion_tokens"]
    if name != "mistral":
        assert ((whole["prompt_tokens_details"] or {}).get("cached_tokens") or 0) == charged["cached_tokens"]


@pytest.mark.parametrize("name", [name for name in BASES if name != "openai"])
def test_each_provider_wants_a_key(sandbox: SandboxProcess, name: str) -> None:
    url = sandbox.url + BASES[name].format(model="echo") + "/chat/completions?api-version=2024-10-21"
    assert httpx.post(url, json={"model": "sandbox/echo", "messages": []}).status_code == 401


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("deepseek", ["error", "message"]),
        ("vllm", ["error", "message"]),
        ("ollama", ["error", "message"]),
        ("openrouter", ["error", "message"]),
        ("mistral", ["message"]),
        ("xai", ["error"]),
        ("azure", ["error", "message"]),
    ],
)
def test_each_provider_words_its_errors(sandbox: SandboxProcess, name: str, path: list[str]) -> None:
    answer = post(sandbox, name, "429-3")
    found = answer.json()
    for member in path:
        found = found[member]
    assert found == "Rate limit reached for the sandbox."
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"


# -- one by one


def test_azure_begins_without_choices_and_leaves_deltas_out(sandbox: SandboxProcess) -> None:
    found = chunks(post(sandbox, "azure", stream=True))
    assert found[0]["choices"] == []
    assert found[0]["prompt_filter_results"]
    assert any("delta" not in choice for chunk in found for choice in chunk["choices"])
    refused = post(sandbox, "azure", "blocked")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_filter")


def test_azure_wants_a_version(sandbox: SandboxProcess) -> None:
    url = sandbox.url + "/azure/openai/deployments/echo/chat/completions"
    assert httpx.post(url, json={"messages": []}, headers={"api-key": "k"}).status_code == 404


def test_the_sdk_for_azure_reads_it(sandbox: SandboxProcess) -> None:
    azure = openai.AzureOpenAI(
        azure_endpoint=sandbox.url + "/azure", api_key="k", api_version="2024-10-21", max_retries=0
    )
    with azure as client:
        answer = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "hi"


def test_deepseek_puts_usage_into_the_finish_and_blank_lines_first(sandbox: SandboxProcess) -> None:
    found = chunks(post(sandbox, "deepseek", "thinking-2", **USAGE))
    assert usages(found)[-1] == 5
    assert found[-1]["choices"][0]["finish_reason"] == "stop"
    assert found[1]["choices"][0]["delta"] == {"reasoning_content": "Hmm", "content": None}
    whole = post(sandbox, "deepseek", "cached-2")
    assert whole.text.startswith("\n\n")
    assert whole.json()["usage"]["prompt_cache_hit_tokens"] == 2
    assert whole.json()["usage"]["prompt_cache_miss_tokens"] == 4


def test_deepseek_knows_no_developer_and_wants_thoughts_back(sandbox: SandboxProcess) -> None:
    developer = [{"role": "developer", "content": "x"}, {"role": "user", "content": "x"}]
    assert "unknown variant `developer`" in post(sandbox, "deepseek", messages=developer).json()["error"]["message"]
    call = {"id": "c", "type": "function", "function": {"name": "say", "arguments": "{}"}}
    turn: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
    rest = [{"role": "tool", "tool_call_id": "c", "content": "yes"}]
    lost = post(sandbox, "deepseek", "thinking", messages=[turn, *rest], tools=TOOLS)
    assert "Missing `reasoning_content`" in lost.json()["error"]["message"]
    kept = post(sandbox, "deepseek", "thinking", messages=[{**turn, "reasoning_content": "x"}, *rest], tools=TOOLS)
    assert kept.status_code == 200


def test_vllm_tells_usage_so_far_in_every_chunk(sandbox: SandboxProcess) -> None:
    found = chunks(post(sandbox, "vllm", "thinking-2", **USAGE))
    assert usages(found) == [0, 1, 2, 3, 4, 5, 5, 5]
    assert found[1]["choices"][0]["delta"] == {"reasoning": "Hmm"}


def test_ollama_numbers_every_tool_call_zero(sandbox: SandboxProcess) -> None:
    found = chunks(post(sandbox, "ollama", "tools-2", tools=TOOLS, stream=True))
    calls = [call for chunk in found for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 0]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"text": "one two three"}] * 2
    assert len({call["id"] for call in calls}) == 2


@pytest.mark.parametrize("fields", [{"n": 2}, {"logit_bias": {"1": 1}}])
def test_ollama_refuses(sandbox: SandboxProcess, fields: dict[str, Any]) -> None:
    assert post(sandbox, "ollama", **fields).status_code == 400


def test_openrouter_comments_and_fails_by_a_finish_reason(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "openrouter", stream=True)
    assert answer.text.startswith(": OPENROUTER PROCESSING\n\n")
    assert chunks(answer)[-1]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    broken = post(sandbox, "openrouter", "midstream-error-1", stream=True).text
    assert '"finish_reason":"error"' in broken
    assert "[DONE]" not in broken


def test_mistral_refuses_what_it_does_not_know(sandbox: SandboxProcess) -> None:
    for fields in ({"seed": 1}, USAGE, {"messages": [{"role": "developer", "content": "x"}]}):
        answer = post(sandbox, "mistral", **fields)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "body"
    result = {"role": "tool", "tool_call_id": "call_12345678", "content": "yes"}
    assert "length of 9" in post(sandbox, "mistral", messages=[result]).json()["message"]


def test_mistral_thinks_in_parts_of_the_content(sandbox: SandboxProcess) -> None:
    message = post(sandbox, "mistral", "thinking-2").json()["choices"][0]["message"]
    assert [part["type"] for part in message["content"]] == ["thinking", "text"]
    call = post(sandbox, "mistral", "tools", tools=TOOLS).json()["choices"][0]["message"]["tool_calls"][0]
    assert len(call["id"]) == 9


def test_xai_counts_reasoning_beside_the_completion(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "xai", "thinking-5")
    usage = answer.json()["usage"]
    assert (usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]) == (3, 5)
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert sandbox.stats(answer.request.headers["x-request-id"])["completion_tokens"] == 8
    assert post(sandbox, "xai", "thinking", presence_penalty=1).status_code == 400


# -- embeddings and pictures


def test_embeddings_are_the_same_in_either_form(sandbox: SandboxProcess) -> None:
    with openai.OpenAI(base_url=sandbox.url + "/v1", api_key="x", max_retries=0) as client:
        floats = client.embeddings.create(
            model="sandbox/echo", input=["one two", "three"], dimensions=8, encoding_format="float"
        )
        packed = httpx.post(
            sandbox.url + "/v1/embeddings",
            json={"model": "sandbox/echo", "input": "one two", "dimensions": 8, "encoding_format": "base64"},
        ).json()
    assert floats.usage.prompt_tokens == 3
    assert [len(item.embedding) for item in floats.data] == [8, 8]
    unpacked = list(struct.unpack("<8f", base64.b64decode(packed["data"][0]["embedding"])))
    assert unpacked == floats.data[0].embedding
    assert sum(value * value for value in unpacked) == pytest.approx(1.0)


@pytest.mark.parametrize(("given", "count", "tokens"), [([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3), ("one", 1, 1)])
def test_embeddings_take_tokens(sandbox: SandboxProcess, given: Any, count: int, tokens: int) -> None:
    answer = httpx.post(sandbox.url + "/v1/embeddings", json={"model": "sandbox/echo", "input": given}).json()
    assert len(answer["data"]) == count
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize("fields", [{"input": []}, {"input": ""}, {"input": [1, "a"]}, {"input": "a", "dimensions": 0}])
def test_embeddings_are_refused(sandbox: SandboxProcess, fields: dict[str, Any]) -> None:
    answer = httpx.post(sandbox.url + "/v1/embeddings", json={"model": "sandbox/echo", **fields})
    assert answer.status_code == 400


def test_it_draws_and_charges_tokens(sandbox: SandboxProcess) -> None:
    with openai.OpenAI(base_url=sandbox.url + "/v1", api_key="x", max_retries=0) as client:
        answer = client.with_options(default_headers={"x-request-id": "req_drawn"}).images.generate(
            model="sandbox/image-50", prompt="one two", n=2
        )
    assert answer.data is not None
    assert [base64.b64decode(item.b64_json or "") for item in answer.data] == [pictures.PNG] * 2
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 100)
    charged = sandbox.stats("req_drawn")
    assert (charged["images"], charged["output_image_tokens"], charged["prompt_tokens"]) == (2, 100, 2)
