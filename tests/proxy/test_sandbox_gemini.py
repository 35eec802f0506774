"""The sandbox as Gemini: what it says, what its ledger counts, and what it refuses as the real API does."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from proxy.sandbox import pictures, signatures
from tests.sandbox_process import SandboxProcess

TOOLS = [{"functionDeclarations": [{"name": "say", "parametersJsonSchema": {"type": "object", "$ref": "#"}}]}]
CALL = {"functionCall": {"name": "say", "args": {}}}
RESULT = {"functionResponse": {"name": "say", "response": {"result": "yes"}}}
SSE = "streamGenerateContent?alt=sse"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox")).start()
    yield process
    process.stop()


def post(sandbox: SandboxProcess, kind: str = "echo", verb: str = "generateContent", **fields: Any) -> httpx.Response:
    body = {"contents": [user("one two three")], **fields}
    body = {name: value for name, value in body.items() if value is not ...}
    headers = {"x-goog-api-key": "k", "x-request-id": "req_" + secrets.token_hex(12)}
    return httpx.post(f"{sandbox.url}/gemini/v1beta/models/sandbox-{kind}:{verb}", json=body, headers=headers)


def user(*parts: Any) -> dict[str, Any]:
    """A turn of the user: texts, and parts as they are."""
    return {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def model(*parts: Any) -> dict[str, Any]:
    """A turn of the model."""
    return {**user(*parts), "role": "model"}


def charge(sandbox: SandboxProcess, answer: httpx.Response) -> dict[str, Any]:
    """What the ledger has for an answer, zeros left out."""
    stats = sandbox.stats(answer.request.headers["x-request-id"])
    return {name: value for name, value in stats.items() if value and name.endswith(("_tokens", "searches", "images"))}


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream."""
    assert answer.text.endswith("\r\n\r\n")
    return [json.loads(event.removeprefix("data: ")) for event in answer.text.split("\r\n\r\n")[:-1]]


# -- answers


@pytest.mark.parametrize("spelled", ["sandbox-echo", "sandbox%2Fecho", "sandbox/echo", "models/sandbox-echo"])
def test_a_model_may_be_spelled_in_many_ways(sandbox: SandboxProcess, spelled: str) -> None:
    url = f"{sandbox.url}/gemini/v1beta/models/{spelled}:generateContent?key=k"
    answer = httpx.post(url, json={"contents": [user("one two")]}).json()
    assert answer["candidates"][0]["content"] == {"parts": [{"text": "one two"}], "role": "model"}
    assert answer["candidates"][0]["finishReason"] == "STOP"


def test_usage_is_of_all_so_far_in_every_chunk(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, verb=SSE)
    found = chunks(answer)
    assert [chunk["usageMetadata"].get("candidatesTokenCount") for chunk in found] == [1, 2, 3, 3]
    assert [chunk["candidates"][0].get("finishReason") for chunk in found] == [None, None, None, "STOP"]
    assert found[-1]["usageMetadata"]["totalTokenCount"] == 9
    assert charge(sandbox, answer) == {"prompt_tokens": 6, "completion_tokens": 3}


def test_without_sse_a_stream_is_an_array(sandbox: SandboxProcess) -> None:
    found = post(sandbox, verb="streamGenerateContent").json()
    assert "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in found) == "one two three"


@pytest.mark.parametrize("verb", ["generateContent", SSE])
def test_thoughts_are_counted_apart_and_signed(sandbox: SandboxProcess, verb: str) -> None:
    config = {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"}}
    answer = post(sandbox, "thinking-5", verb, tools=TOOLS, generationConfig=config)
    last = answer.json() if verb == "generateContent" else chunks(answer)[-1]
    usage = last["usageMetadata"]
    assert (usage["thoughtsTokenCount"], usage["candidatesTokenCount"]) == (5, 5)
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + 10
    assert '"thoughtSignature"' in answer.text
    assert charge(sandbox, answer)["reasoning_tokens"] == 5
    assert charge(sandbox, answer)["completion_tokens"] == 10


def test_hidden_thoughts_are_counted_as_well(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "thinking-5")
    assert "thought" not in json.dumps(answer.json()["candidates"][0]["content"]["parts"][0])
    assert answer.json()["usageMetadata"]["thoughtsTokenCount"] == charge(sandbox, answer)["reasoning_tokens"] == 5


def test_it_draws(sandbox: SandboxProcess) -> None:
    config = {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}}
    answer = post(sandbox, "image-7x2", generationConfig=config)
    parts = answer.json()["candidates"][0]["content"]["parts"]
    assert [base64.b64decode(part["inlineData"]["data"]) for part in parts] == [pictures.PNG] * 2
    assert answer.json()["usageMetadata"]["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": 14}]
    assert charge(sandbox, answer)["output_image_tokens"] == 14
    assert charge(sandbox, answer)["images"] == 2


@pytest.mark.parametrize("verb", ["generateContent", SSE])
def test_a_blocked_prompt_has_no_candidates(sandbox: SandboxProcess, verb: str) -> None:
    answer = post(sandbox, "blocked", verb)
    body = answer.json() if verb == "generateContent" else chunks(answer)[0]
    assert body["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in body
    assert charge(sandbox, answer) == {"prompt_tokens": 6}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("refusal", "SAFETY"),
        ("recitation", "RECITATION"),
        ("spii", "SPII"),
        ("image-safety", "IMAGE_SAFETY"),
        ("context-full", "MAX_TOKENS"),
        ("malformed-call", "MALFORMED_FUNCTION_CALL"),
        ("pause-turn", "STOP"),
    ],
)
def test_it_ends_for_every_reason(sandbox: SandboxProcess, kind: str, reason: str) -> None:
    assert post(sandbox, kind).json()["candidates"][0]["finishReason"] == reason
    assert chunks(post(sandbox, kind, SSE))[-1]["candidates"][0]["finishReason"] == reason


def test_cached_tokens_are_part_of_the_prompt(sandbox: SandboxProcess) -> None:
    answer = post(sandbox, "cached-4")
    usage = answer.json()["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (6, 4)
    assert charge(sandbox, answer)["cached_tokens"] == 4


def test_it_counts_tokens_as_it_charges_them(sandbox: SandboxProcess) -> None:
    request: dict[str, Any] = {
        "contents": [user("one two")],
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "tools": TOOLS,
    }
    asked = {"model": "models/sandbox-echo", **request}
    counted = post(sandbox, verb="countTokens", contents=..., generateContentRequest=asked).json()
    assert counted["totalTokens"] == charge(sandbox, post(sandbox, **request))["prompt_tokens"]


def test_it_embeds_one_and_many(sandbox: SandboxProcess) -> None:
    content = {"parts": [{"text": "one two"}]}
    one = post(sandbox, verb="embedContent", contents=..., content=content, outputDimensionality=4)
    each = {"model": "models/sandbox-echo", "content": content, "outputDimensionality": 4}
    many = post(sandbox, verb="batchEmbedContents", contents=..., requests=[each, each])
    assert many.json()["embeddings"] == [one.json()["embedding"]] * 2
    assert len(one.json()["embedding"]["values"]) == 4
    assert charge(sandbox, many) == {"prompt_tokens": 4}


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("400", 400, "INVALID_ARGUMENT"),
        ("401", 400, "INVALID_ARGUMENT"),
        ("403", 403, "PERMISSION_DENIED"),
        ("429-7", 429, "RESOURCE_EXHAUSTED"),
        ("500", 500, "INTERNAL"),
        ("503", 503, "UNAVAILABLE"),
        ("flaky", 503, "UNAVAILABLE"),
        ("unheard-of", 404, "NOT_FOUND"),
    ],
)
def test_it_fails_in_its_own_words(sandbox: SandboxProcess, kind: str, code: int, status: str) -> None:
    answer = post(sandbox, kind, SSE)
    assert answer.status_code == code
    assert (answer.json()["error"]["code"], answer.json()["error"]["status"]) == (code, status)
    assert ("API_KEY_INVALID" in answer.text) == (kind == "401")
    assert ('"retryDelay": "7s"' in answer.text) == (kind == "429-7")


# -- refusals


def test_it_wants_a_key(sandbox: SandboxProcess) -> None:
    url = f"{sandbox.url}/gemini/v1beta/models/sandbox-echo:generateContent"
    body = {"contents": [user("hi")]}
    assert httpx.post(url, json=body).status_code == 403
    wrong = httpx.post(url, json=body, headers={"x-goog-api-key": "invalid"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"


def declared(**schema: Any) -> dict[str, Any]:
    """Tools with ``parameters`` in the old way."""
    parameters = {"type": "object", "properties": {"a": schema}}
    return {"tools": [{"functionDeclarations": [{"name": "say", "parameters": parameters}]}]}


def config(**fields: Any) -> dict[str, Any]:
    """A generationConfig."""
    return {"generationConfig": fields}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown field", {"messages": []}, 'Unknown name "messages": Cannot find field.'),
    ("an unknown setting", config(max_tokens=1), "Unknown name \"max_tokens\" at 'generation_config'"),
    ("an unknown part", {"contents": [user({"image": 1})]}, "Unknown name \"image\" at 'contents[0].parts[0]'"),
    ("$schema", declared(**{"$schema": "x", "type": "string"}), 'Unknown name "$schema"'),
    ("additionalProperties", declared(additionalProperties=False), 'Unknown name "additionalProperties"'),
    ("const", declared(const=1), 'Unknown name "const"'),
    ("$ref", declared(**{"$ref": "#/$defs/a"}), 'Unknown name "$ref"'),
    ("two types", declared(type=["string", "null"]), "Proto field is not repeating, cannot start list."),
    ("a strange type", declared(type="date"), "Invalid value at"),
    ("numbers to choose from", declared(type="integer", enum=["1"]), "enum: only allowed for STRING type"),
    ("an array of nothing", declared(type="array"), "items: missing field"),
    ("an object of nothing", declared(type="object"), "properties: should be non-empty for OBJECT type"),
    ("a bad name", {"tools": [{"functionDeclarations": [{"name": "1 say"}]}]}, "Invalid function name"),
    ("tools twice", {"tools": TOOLS * 2}, "Duplicate function declaration found: say"),
    ("six stops", config(stopSequences=list("abcdef")), "stop_sequences"),
    ("a long seed", config(seed=2**31), "Invalid value at 'generation_config.seed' (TYPE_INT32)"),
    ("hot", config(temperature=2.5), "temperature: must be in the range [0, 2]"),
    ("nine candidates", config(candidateCount=9), "candidateCount"),
    ("a schema for text", config(responseJsonSchema={}), "needs a response mime type of JSON"),
    ("a mime type", config(responseMimeType="text/html"), "allowed mimetypes"),
    ("level and budget", config(thinkingConfig={"thinkingLevel": "LOW", "thinkingBudget": 1}), "only one of"),
    ("a level", config(thinkingConfig={"thinkingLevel": "none"}), "Invalid value at"),
    ("pictures of a talker", config(responseModalities=["TEXT", "IMAGE"]), "not supported by the model"),
    ("no contents", {"contents": []}, "contents is not specified"),
    ("no parts", {"contents": [{"role": "user", "parts": []}]}, "contents.parts must not be empty"),
    ("an empty part", {"contents": [user({})]}, "required oneof field 'data' must have one initialized field"),
    ("two data", {"contents": [user({"text": "a", **CALL})]}, "oneof field 'data' is already set"),
    ("an assistant", {"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "Please use a valid role"),
    ("a result of nothing", {"contents": [user(RESULT)]}, "comes immediately after a function call turn"),
    ("a call of the user", {"contents": [user(CALL), user(RESULT)]}, "function call turn comes immediately after"),
    ("a call without a result", {"contents": [user("a"), model(CALL), user("b")]}, "number of function response parts"),
    ("a result too many", {"contents": [user("a"), model(CALL), user(RESULT, RESULT)]}, "number of function response"),
    ("a nameless result", {"contents": [user("a"), model(CALL), user({"functionResponse": {"response": {}}})]},
     "Name cannot be empty"),
    ("a result in words", {"contents": [user("a"), model(CALL), user(
        {"functionResponse": {"name": "say", "response": "yes"}})]}, "(type.googleapis.com/google.protobuf.Struct)"),
    ("force without tools", {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_decl"),
    ("names without force", {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {
        "mode": "AUTO", "allowedFunctionNames": ["say"]}}}, "must be ANY or VALIDATED"),
    ("data that is none", {"contents": [user({"inlineData": {"mimeType": "image/png", "data": "%"}})]}, "TYPE_BYTES"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_it_refuses_what_the_real_api_refuses(sandbox: SandboxProcess, fields: dict[str, Any], message: str) -> None:
    answer = post(sandbox, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert message in answer.json()["error"]["message"]
    assert sandbox.stats(answer.request.headers["x-request-id"])["state"] == "refused"


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("snake case and nulls", {"generation_config": {"max_output_tokens": 9, "stop_sequences": None}}),
    ("a function's role", {"tools": TOOLS, "contents": [user("a"), model(CALL), {**user(RESULT), "role": "function"}]}),
    ("two calls at once", {"tools": TOOLS, "contents": [user("a"), model(CALL, CALL), user(RESULT, RESULT)]}),
    ("an old schema", declared(type="STRING", enum=["a"], nullable=True)),
    ("no role", {"contents": [{"parts": [{"text": "a"}]}]}),
    ("a file", {"contents": [user({"fileData": {"mimeType": "application/pdf", "fileUri": "https://a/b"}})]}),
    ("a schema for JSON", config(responseMimeType="application/json", responseJsonSchema={"$ref": "#"})),
]


@pytest.mark.parametrize("fields", [case[1] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_it_takes_what_the_real_api_takes(sandbox: SandboxProcess, fields: dict[str, Any]) -> None:
    answer = post(sandbox, **fields)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("signature", "refusal"),
    [
        (None, "Function call is missing a thought_signature in functionCall parts."),
        ("eA==", "Corrupted thought signature."),
        (signatures.sign("x"), ""),
        (signatures.sign("y").replace("+", "-").replace("/", "_"), ""),
        ("skip_thought_signature_validator", ""),
    ],
)
def test_a_thinking_model_wants_its_signature_back(
    sandbox: SandboxProcess, signature: str | None, refusal: str
) -> None:
    called = CALL if signature is None else {**CALL, "thoughtSignature": signature}
    answer = post(sandbox, "thinking", tools=TOOLS, contents=[user("a"), model(called), user(RESULT)])
    assert answer.status_code == (400 if refusal else 200)
    assert refusal in answer.text
