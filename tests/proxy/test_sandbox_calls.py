"""Every likeness of the sandbox behind the gateway: it takes what the gateway asks of it, and both count the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deadline import until
from tests.proxy.town import Town, chunks, text_of

pytestmark = pytest.mark.timeout(300)
BASES = {
    "openai": "/v1",
    "azure": "/azure",
    "deepseek": "/deepseek/v1",
    "vllm": "/vllm/v1",
    "ollama": "/ollama/v1",
    "openrouter": "/openrouter/api/v1",
    "mistral": "/mistral/v1",
    "xai": "/xai/v1",
    "anthropic": "/anthropic",
    "gemini": "/gemini",
}
NATIVE = ("anthropic", "gemini")
#: those that tell how many tokens were thoughts
TELL_THOUGHTS = ("openai", "azure", "deepseek", "openrouter", "xai", *NATIVE)
KINDS = ("echo", "tools-2x1", "thinking-7", "cached-3x2", "refusal", "usage-each", "usage-twice", "split", "comments")
COUNTERS = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "cached_tokens": "cache_read",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "reasoning_tokens": "reasoning",
    "output_image_tokens": "output_image",
    "images": "images",
    "web_searches": "web_searches",
}
TOOLS = [{"type": "function", "function": {"name": "say", "parameters": {"type": "object", "properties": {}}}}]
SCHEMA = {"type": "object", "properties": {"echo": {"type": "string", "minLength": 1}}, "required": ["echo"]}
EVERYTHING: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "user": "somebody",
    "stop": ["###", "END"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "n": 1,
    "parallel_tool_calls": False,
    "max_completion_tokens": 50,
    "metadata": {"team": "blue"},
    "store": False,
    "prompt_cache_key": "x",
}


@pytest.fixture(scope="module")
def seller(town: Town) -> str:
    """A key, once every likeness sells every kind."""
    parts = [upstream(town, name) for name in BASES]
    parts += [offer(name, kind) for name in BASES for kind in (*KINDS, "json", "search", "image-9")]
    town.apply("\n".join(parts))
    key = town.key()
    until(lambda: town.fresh_get("/v1/models/gemini/image-9", key).status_code == 200)
    return key


def upstream(town: Town, name: str) -> str:
    """A likeness as an upstream, with the rules of its provider."""
    dialect = name if name in NATIVE else "openai"
    lines = ["[[upstreams]]", f'name = "like-{name}"', f'dialect = "{dialect}"', 'api_key = "k"']
    rules = [] if name in NATIVE else [f'like = "{name}"']
    if name == "azure":
        rules.append('query = "api-version=2024-10-21"')
    return "\n".join([*lines, f'base_url = "{town.sandbox.url}{BASES[name]}"', f"rules = {{ {', '.join(rules)} }}"])


def offer(name: str, kind: str) -> str:
    """A kind of a likeness as a model."""
    route = f'{{ upstream = "like-{name}", model = "sandbox/{kind}", priority = 1, weight = 1 }}'
    head = ["[[models]]", f'name = "{name}/{kind}"', "context_window = 128000", "max_output_tokens = 8192"]
    if kind.startswith("image"):
        head.append('capabilities = { input = ["text", "image"], output = ["text", "image"] }')
    price = ["[models.price]", 'input = "1.00"', 'output = "4.00"', 'output_image = "30.00"', 'per_web_search = "0.01"']
    return "\n".join([*head, f"routes = [{route}]", *price])


def agrees(town: Town, name: str, request_id: str) -> dict[str, Any]:
    """The settled row of a request, after a comparison with what the upstream charged."""
    row, charged = town.event(request_id), town.charge(request_id)
    assert charged is not None
    assert charged["attempts"] == 1
    assert row["basis"] == "exact"
    for counter, column in COUNTERS.items():
        if counter != "reasoning_tokens" or name in TELL_THOUGHTS:
            assert row[column] == charged[counter] or untold(name, counter), counter
    return row


def untold(name: str, counter: str) -> bool:
    """What a provider has no word for: only two tell what was written to a cache, and Mistral not what was read."""
    told = {"cache_write_5m_tokens": ("openai", "azure", "openrouter", "xai", "anthropic")}
    return (counter in told and name not in told[counter]) or (name == "mistral" and counter == "cached_tokens")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BASES)
def test_the_gateway_and_the_upstream_count_the_same(
    town: Town, seller: str, name: str, kind: str, stream: bool
) -> None:
    fields: dict[str, Any] = {"stream": stream, "max_tokens": 4000}
    if kind.startswith(("tools", "thinking")):
        fields["tools"] = TOOLS
    if kind.startswith("thinking"):
        fields["reasoning_effort"] = "low"
    answer = town.post(seller, f"{name}/{kind}", "Hello there, dear world", **fields)
    assert answer.status_code == 200, answer.text
    agrees(town, name, answer.headers["x-request-id"])
    if stream:
        assert answer.text.endswith("data: [DONE]\n\n")
        said = text_of(chunks(answer.text))
    else:
        said = answer.json()["choices"][0]["message"]["content"] or ""
    if kind in ("echo", "cached-3x2", "usage-each", "usage-twice", "comments"):
        assert said == "Hello there, dear world"


@pytest.mark.parametrize("name", BASES)
def test_a_provider_takes_every_parameter_as_the_gateway_passes_it(town: Town, seller: str, name: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "echo", "schema": SCHEMA}}
    messages = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    fields = {**EVERYTHING, "response_format": form, "messages": messages}
    answer = town.post(seller, f"{name}/json", **fields)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.json()["choices"][0]["message"]["content"]) == {"echo": "Hello"}
    agrees(town, name, answer.headers["x-request-id"])


@pytest.mark.parametrize("kind", ["tools", "thinking"])
@pytest.mark.parametrize("name", BASES)
def test_a_tool_call_comes_back_with_what_was_thought(town: Town, seller: str, name: str, kind: str) -> None:
    if kind == "thinking":
        model, more = f"{name}/thinking-7", {"reasoning_effort": "medium"}
    else:
        model, more = f"{name}/tools-2x1", {}
    fields: dict[str, Any] = {"tools": TOOLS, "max_tokens": 6000, **more}
    first = town.post(seller, model, "Hello", **fields)
    assert first.status_code == 200, first.text
    message = first.json()["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"yes {place} "}
        for place, call in enumerate(message["tool_calls"])
    ]
    messages = [{"role": "user", "content": "Hello"}, message, *results]
    second = town.post(seller, model, messages=messages, **fields)
    assert second.status_code == 200, second.text
    assert second.json()["choices"][0]["message"]["content"].startswith("The tool says: yes")
    agrees(town, name, second.headers["x-request-id"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_pictures_and_searches_are_counted(town: Town, seller: str, stream: bool) -> None:
    drawn = town.post(seller, "gemini/image-9", stream=stream, modalities=["text", "image"])
    assert drawn.status_code == 200, drawn.text
    assert "data:image/png;base64," in drawn.text
    row = agrees(town, "gemini", drawn.headers["x-request-id"])
    assert (row["output_image"], row["images"]) == (9, 1)
    searched = town.post(seller, "anthropic/search", stream=stream)
    assert agrees(town, "anthropic", searched.headers["x-request-id"])["web_searches"] == 1
