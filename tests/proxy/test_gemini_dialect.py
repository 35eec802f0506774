"""The Gemini dialect: requests, answers, failures, and streams split at every byte."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from billing.meters import Usage
from proxy import chat
from proxy.dialects.gemini import Gemini, failure_message
from proxy.dialects.gemini_answer import PICTURE_SIZE, call_id
from proxy.dialects.gemini_contents import UNSIGNED
from proxy.dialects.gemini_schema import declaration
from proxy.dialects.gemini_stream import GeminiStream
from proxy.dialects.shape import Asked, MalformedAnswer
from proxy.errors import BadRequest, GatewayError
from proxy.rules import check

ID = "chatcmpl-" + "0" * 24
ASKED = Asked(ID, "ours", include_usage=True, context_window=1_000_000, created=7)
USER = {"role": "user", "content": "Hi"}
GEMINI = Gemini()
BUDGET, LEVEL = {"thinking": "budget"}, {"thinking": "level"}


def request(body: dict[str, Any], rules: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    parsed = chat.parse(orjson.dumps({"model": "ours", "messages": [USER], **body}))
    parsed.thoughts = more.get("thoughts", {})
    check(rules or {})
    call = GEMINI.call(parsed, more.get("model", "gemini-2.0-flash"), 500, rules or {})
    said: dict[str, Any] = json.loads(call.body)
    return said


def config(body: dict[str, Any], rules: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = request(body, rules, **more)["generationConfig"]
    assert said.pop("maxOutputTokens") == 500
    return said


def contents(*messages: dict[str, Any], rules: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = request({"messages": list(messages)}, rules, **more)["contents"]
    return said


def call(ident: str, name: str = "f", arguments: str = '{"a":1}', **more: Any) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


# -- requests


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 1.5, "top_p": 0.5, "top_k": 7}, {"temperature": 1.5, "topP": 0.5, "topK": 7}),
        ({"top_k": 0}, {}),
        ({"n": 3}, {"candidateCount": 3}),
        ({"n": 1}, {}),
        ({"stop": "x"}, {"stopSequences": ["x"]}),
        ({"stop": ["a", "", "b"]}, {"stopSequences": ["a", "b"]}),
        (
            {"presence_penalty": 1, "frequency_penalty": -1},
            {"presencePenalty": 1, "frequencyPenalty": -1},
        ),
        ({"presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False, "temperature": 0}, {"temperature": 0}),
        ({"seed": 7}, {"seed": 7}),
        ({"seed": 2**40 + 5}, {"seed": 5}),
        ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
        ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
        (
            {"aspect_ratio": "16:9", "image_size": "2K"},
            {"imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}},
        ),
        ({"max_tokens": 900, "max_completion_tokens": 800}, {}),
    ],
    ids=lambda value: ",".join(value),
)
def test_it_translates_the_generation_config(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert config(given) == expected


@pytest.mark.parametrize(
    ("given", "rules", "model", "expected"),
    [
        ({"reasoning_effort": "none"}, BUDGET, "x", {"includeThoughts": False, "thinkingBudget": 0}),
        ({"reasoning_effort": "low"}, BUDGET, "x", {"includeThoughts": True, "thinkingBudget": 1024}),
        ({"reasoning_effort": "medium"}, BUDGET, "x", {"includeThoughts": True, "thinkingBudget": 8192}),
        ({"reasoning_effort": "high"}, BUDGET, "x", {"includeThoughts": True, "thinkingBudget": 24576}),
        ({"reasoning_effort": "none"}, {}, "gemini-2.5-pro", {"includeThoughts": False, "thinkingBudget": 128}),
        ({"reasoning_effort": "low"}, LEVEL, "x", {"includeThoughts": True, "thinkingLevel": "low"}),
        ({"reasoning_effort": "medium"}, {}, "gemini-3-pro", {"includeThoughts": True, "thinkingLevel": "high"}),
        ({"reasoning_effort": "medium"}, {}, "gemini-3-flash", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ({"reasoning_effort": "none"}, {}, "gemini-3-flash", {"includeThoughts": False, "thinkingLevel": "minimal"}),
        ({"reasoning_effort": "minimal"}, {}, "gemini-3.8-flash", {"includeThoughts": True, "thinkingLevel": "low"}),
        ({"reasoning_effort": "medium"}, {}, "gemini-3.1-pro", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ({"reasoning_effort": "high"}, {}, "gemini-4-x", {"includeThoughts": True, "thinkingLevel": "high"}),
        ({"reasoning": {"max_tokens": 99}}, BUDGET, "x", {"includeThoughts": True, "thinkingBudget": 99}),
        (
            {"reasoning": {"effort": "high", "exclude": True}},
            BUDGET,
            "x",
            {"includeThoughts": False, "thinkingBudget": 24576},
        ),
        ({"reasoning": {"enabled": True}}, BUDGET, "x", {"includeThoughts": True}),
        ({"reasoning": {"effort": ["high"]}}, BUDGET, "x", {"includeThoughts": True}),
        ({"reasoning_effort": "high"}, {"thinking": "always"}, "x", {"includeThoughts": True}),
    ],
)
def test_it_asks_for_thinking_as_the_model_takes_it(
    given: dict[str, Any], rules: dict[str, Any], model: str, expected: dict[str, Any]
) -> None:
    assert config(given, rules, model=model) == {"thinkingConfig": expected}


def test_it_asks_for_no_thinking_unasked_or_where_there_is_none() -> None:
    assert config({}, BUDGET) == {}
    assert config({"reasoning_effort": "high"}, model="gemini-2.5-flash-image") == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 9}, "n"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "some"}, "tool_choice"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {"type": "function"}},
            "tool_choice.function.name",
        ),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
    ],
)
def test_it_refuses_what_gemini_cannot_do(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        request(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png,abc"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AA=="}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "gs://bucket/x.png"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "https://[/x.png"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "https://www.youtube.com/watch?v=1"}}, "image_url.url"),
        (
            {"type": "image_url", "image_url": {"url": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
            "image_url.url",
        ),
        ({"type": "image_url", "image_url": 7}, "image_url.url"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "input_audio.data"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_data"),
        ({"type": "text", "text": 7}, "text"),
    ],
)
def test_it_refuses_parts_that_gemini_cannot_take(part: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        contents({"role": "user", "content": [part]})
    assert caught.value.param == f"messages[0].content[0].{param}"


def test_its_path_names_the_model_and_the_way_of_answering() -> None:
    def path(rules: dict[str, Any], model: str = "gemini-3-pro", **body: Any) -> str:
        parsed = chat.parse(orjson.dumps({"model": "ours", "messages": [USER], **body}))
        return GEMINI.call(parsed, model, 1, rules).path

    assert path({}) == "/v1beta/models/gemini-3-pro:generateContent"
    assert path({}, "models/a/b?c") == "/v1beta/models/a%2Fb%3Fc:generateContent"
    assert path({}, stream=True) == "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
    rules = {"path": "/v1/publishers/google/models/{model}", "query": "x=1"}
    assert path(rules, stream=True) == "/v1/publishers/google/models/gemini-3-pro:streamGenerateContent?x=1&alt=sse"


def test_it_names_what_it_drops() -> None:
    body = {"model": "ours", "messages": [USER], "user": "u", "logit_bias": {"1": 2}, "seed": 1, "odd": 1}
    parsed = chat.parse(orjson.dumps({**body, "reasoning_effort": "low"}))
    dropped = GEMINI.call(parsed, "gemini-2.0-flash", 1, {"drop": ["seed"]}).dropped
    assert set(dropped) == {"user", "logit_bias", "odd", "seed", "reasoning_effort"}


def test_its_rules_add_to_the_body() -> None:
    rules = {"set": {"generationConfig": {"mediaResolution": "LOW"}, "cachedContent": "c"}}
    said = request({}, rules)
    assert said["generationConfig"] == {"maxOutputTokens": 500, "mediaResolution": "LOW"}
    assert said["cachedContent"] == "c"
    settings = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]
    assert request({"safety_settings": settings})["safetySettings"] == settings


def test_it_asks_for_a_service_tier_and_says_which_it_got() -> None:
    assert request({"service_tier": "flex"})["serviceTier"] == "flex"
    assert "serviceTier" not in request({"service_tier": "auto"})
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 4, "serviceTier": "STANDARD"}
    answer = read(answered(candidate({"text": "a"}), usageMetadata=counts))
    assert answer.service_tier == answer.body["service_tier"] == "default"
    raw = event(piece({"text": "a"}, finish="STOP", usageMetadata={**counts, "serviceTier": "priority"}))
    assert Heard([raw]).stream.service_tier == "priority"


def test_it_gathers_instructions_and_merges_turns() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "user", "content": [{"type": "text", "text": "there"}, {"type": "text", "text": ""}]},
        {"role": "developer", "content": "Be kind."},
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Bye"},
    ]
    said = request({"messages": messages})
    assert said["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert said["contents"] == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "there"}]},
        {"role": "model", "parts": [{"text": "Hello"}]},
        {"role": "user", "parts": [{"text": "Bye"}]},
    ]
    only = request({"messages": messages[:1]})
    assert only["contents"] == [{"role": "user", "parts": [{"text": "Be brief."}]}]
    assert "systemInstruction" not in only


def test_it_takes_pictures_sound_and_files() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.webp?b=c.png"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/picture"}},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC", "filename": "x.pdf"}},
        {"type": "file", "file": {"file_data": "DDDD", "filename": "x.csv"}},
        {"type": "refusal", "refusal": "No."},
    ]
    assert contents({"role": "user", "content": parts})[0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://x.test/a.webp?b=c.png"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.test/picture"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "BBBB"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
        {"inlineData": {"mimeType": "text/csv", "data": "DDDD"}},
        {"text": "No."},
    ]


def test_it_gives_results_to_the_functions_that_were_called() -> None:
    said = contents(
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call("a", "now", "bad"), call("b", "sum", '{"x":[1]}')]},
        {"role": "tool", "tool_call_id": "b", "content": '{"sum": 1}'},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "noon"}]},
        {"role": "user", "content": "Well?"},
    )
    assert said[1] == {
        "role": "model",
        "parts": [
            {"functionCall": {"name": "now", "args": {}, "id": "a"}},
            {"functionCall": {"name": "sum", "args": {"x": [1]}, "id": "b"}},
        ],
    }
    assert said[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "sum", "response": {"sum": 1}, "id": "b"}},
            {"functionResponse": {"name": "now", "response": {"result": "noon"}, "id": "a"}},
            {"text": "Well?"},
        ],
    }


def test_it_passes_arguments_nested_deeper_than_json_is_written_here() -> None:
    deep = '{"a":' * 300 + "1" + "}" * 300
    body = request({"messages": [USER, {"role": "assistant", "tool_calls": [call("a", "f", deep)]}]})
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == json.loads(deep)


def test_it_understands_the_older_form_of_functions() -> None:
    body = {
        "functions": [{"name": "f", "description": "d"}],
        "function_call": {"name": "f"},
        "messages": [
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "7"},
        ],
    }
    said = request(body)
    assert said["contents"][1]["parts"] == [{"functionCall": {"name": "f", "args": {}}}]
    assert said["contents"][2]["parts"] == [{"functionResponse": {"name": "f", "response": {"result": "7"}}}]
    assert said["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}


def kept(ident: str, data: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "data": data, "id": ident, "format": "google-gemini-v1", **more}


@pytest.mark.parametrize(
    ("message", "thoughts", "rules", "expected"),
    [
        ({"tool_calls": [call("a"), call("b")]}, {}, {}, [None, None]),
        ({"tool_calls": [call("a"), call("b")]}, {}, LEVEL, [UNSIGNED, None]),
        ({"tool_calls": [call("a"), call("b")]}, {"b": [kept("b", "SIG")]}, LEVEL, [None, "SIG"]),
        (
            {"tool_calls": [call("a", extra_content={"google": {"thought_signature": "OWN"}})]},
            {"a": [kept("a", "KEPT")]},
            {},
            ["OWN"],
        ),
        ({"tool_calls": [call("a")], "reasoning_details": [kept("a", "OURS", index=0)]}, {}, LEVEL, ["OURS"]),
        ({"tool_calls": [call("a")], "reasoning_details": [kept("a", "X") | {"format": None}]}, {}, LEVEL, ["X"]),
        (
            {"tool_calls": [call("a")], "reasoning_details": [kept("a", "X") | {"format": "anthropic-claude-v1"}]},
            {},
            LEVEL,
            [UNSIGNED],
        ),
        ({"tool_calls": [call("a", extra_content=7)], "reasoning_details": [7]}, {}, LEVEL, [UNSIGNED]),
    ],
)
def test_signatures_return_with_their_calls(
    message: dict[str, Any], thoughts: dict[str, Any], rules: dict[str, Any], expected: list[str | None]
) -> None:
    said = contents(USER, {"role": "assistant", **message}, rules=rules, thoughts=thoughts)
    assert [part.get("thoughtSignature") for part in said[1]["parts"]] == expected


def test_what_it_drew_and_its_signature_return() -> None:
    url = {"url": "data:image/png;base64,AAAA"}
    image = {"type": "image_url", "image_url": url, "extra_content": {"google": {"thought_signature": "PIC"}}}
    details = [{"type": "reasoning.encrypted", "data": "TEXT", "format": "google-gemini-v1", "index": 0}]
    message = {"role": "assistant", "content": "Here", "images": [image], "reasoning_details": details}
    assert contents(USER, message)[1]["parts"] == [
        {"text": "Here", "thoughtSignature": "TEXT"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "PIC"},
    ]


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}, "required": ["a"]}, "parameters"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}, "parameters"),
        ({"properties": {"a": {"type": "string"}}}, "parameters"),
        ({"type": "object", "properties": {}}, "parametersJsonSchema"),
        (None, "parametersJsonSchema"),
        *(
            ({"type": "object", "properties": {"a": inner}}, "parametersJsonSchema")
            for inner in (
                {"type": ["string", "null"]},
                {"$ref": "#/$defs/x"},
                {"const": 1},
                {"type": "integer", "enum": [1]},
                {"type": "string", "enum": [""]},
                {"type": "string", "format": "uri"},
                {"type": "array"},
                {"type": "object", "additionalProperties": False},
                {"type": "number", "exclusiveMinimum": 0},
                True,
            )
        ),
        ({"$schema": "x", "type": "object", "properties": {"a": {"type": "string"}}}, "parametersJsonSchema"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "$defs": {}}, "parametersJsonSchema"),
    ],
)
def test_a_schema_goes_where_it_is_taken(schema: dict[str, Any] | None, name: str) -> None:
    declared = declaration({"name": "f", "description": "d", "parameters": schema})
    assert declared.keys() == {"name", "description", name}
    assert declared[name] == {"type": "object", **({"properties": {}} if not schema else {}), **(schema or {})}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_it_chooses_tools(choice: Any, expected: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    said = request({"tools": tools, "tool_choice": choice})
    assert said["toolConfig"] == {"functionCallingConfig": expected}
    assert said["tools"][0]["functionDeclarations"][0]["name"] == "f"
    bent = request({"tools": tools, "tool_choice": choice}, {"forced_tool_choice": False})["toolConfig"]
    assert bent["functionCallingConfig"]["mode"] in ("AUTO", "NONE")


# -- answers

COUNTS = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "totalTokenCount": 15}
READ = Usage(input=9, output=4, reasoning=2)


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    ended = {"finishReason": finish} if finish else {}
    return {"content": {"role": "model", "parts": list(parts)}, **ended, **more}


def answered(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), "usageMetadata": COUNTS, "modelVersion": "gemini-x-001", **more}


def read(body: Any, asked: Asked = ASKED) -> Any:
    return GEMINI.answer(orjson.dumps(body), asked)


PNG = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, "index": 0}


def test_it_answers() -> None:
    answer = read(answered(candidate({"text": "Hmm", "thought": True}, {"text": "Hé"}, {"text": "llo"})))
    assert answer.body == {
        "id": ID,
        "object": "chat.completion",
        "created": 7,
        "model": "ours",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Héllo", "refusal": None, "reasoning_content": "Hmm"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": answer.body["usage"],
    }
    assert answer.usage == READ
    assert answer.body["usage"]["completion_tokens"] == 6
    assert (answer.finish_reason, answer.reported_model, answer.text_size) == ("stop", "gemini-x-001", 9)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((name, "content_filter") for name in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
        *((name, "content_filter") for name in ("IMAGE_SAFETY", "IMAGE_OTHER", "IMAGE_RECITATION")),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("SOMETHING_NEW", "stop"),
        (None, "stop"),
        (7, "stop"),
    ],
)
def test_it_knows_why_it_ended(theirs: Any, ours: str) -> None:
    assert read(answered(candidate({"text": "a"}, finish=theirs))).finish_reason == ours


def test_calls_have_ids_and_signatures() -> None:
    parts: list[dict[str, Any]] = [
        {"functionCall": {"name": "f", "args": {"x": "é"}}, "thoughtSignature": "SIG"},
        {"functionCall": {"name": "g", "id": "theirs"}},
    ]
    answer = read(answered(candidate(*parts)))
    message = answer.body["choices"][0]["message"]
    first = call_id(ID, 0)
    assert message["content"] is None
    assert message["tool_calls"] == [
        {
            "id": first,
            "type": "function",
            "function": {"name": "f", "arguments": '{"x":"é"}'},
            "extra_content": {"google": {"thought_signature": "SIG"}},
        },
        {"id": "theirs", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    detail = {"type": "reasoning.encrypted", "data": "SIG", "format": "google-gemini-v1", "index": 0, "id": first}
    assert message["reasoning_details"] == [detail]
    assert answer.thoughts == {first: [detail]}
    assert answer.finish_reason == "tool_calls"
    back = contents(USER, message, rules=LEVEL)
    assert [part.get("thoughtSignature") for part in back[1]["parts"]] == ["SIG", None]


def test_pictures_are_images_of_the_message_and_are_counted() -> None:
    counts = {**COUNTS, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 3}]}
    thought = {**PNG, "thought": True}
    answer = read(answered(candidate({"text": "See"}, thought, PNG, PNG), usageMetadata=counts))
    message = answer.body["choices"][0]["message"]
    assert message["images"] == [PICTURE, {**PICTURE, "index": 1}]
    assert answer.usage == Usage(input=9, output=1, reasoning=2, output_image=3, images=2)
    assert answer.text_size == 3 + 2 * PICTURE_SIZE


def test_a_blocked_prompt_is_an_empty_filtered_answer() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}}
    answer = read(body)
    assert answer.body["choices"][0]["message"] == {"role": "assistant", "content": "", "refusal": None}
    assert answer.finish_reason == "content_filter"
    assert answer.usage == Usage(input=9)


def test_it_tells_how_likely_tokens_were() -> None:
    likely = {"token": "é", "tokenId": 1, "logProbability": -0.5}
    result = {"chosenCandidates": [likely], "topCandidates": [{"candidates": [likely, 7]}]}
    told = read(answered(candidate({"text": "é"}, logprobsResult=result))).body["choices"][0]["logprobs"]
    token = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert told == {"content": [{**token, "top_logprobs": [token]}], "refusal": None}


def test_several_candidates_are_several_choices() -> None:
    answer = read(answered(candidate({"text": "a"}), candidate({"text": "b"}, index=1, finish="MAX_TOKENS")))
    told = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in answer.body["choices"]]
    assert told == [(0, "a", "stop"), (1, "b", "length")]


@pytest.mark.parametrize(
    ("counts", "usage", "ignored"),
    [
        (None, None, False),
        ({}, None, False),
        ({"promptTokenCount": 0, "candidatesTokenCount": 0}, None, False),
        ({"promptTokenCount": -5, "candidatesTokenCount": 4}, None, True),
        ({"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 1}, (5, 4), False),
    ],
)
def test_counts_that_cannot_be_true_are_none(counts: Any, usage: tuple[int, int] | None, ignored: bool) -> None:
    answer = read(answered(candidate({"text": "a"}), usageMetadata=counts))
    assert (answer.usage and tuple(answer.usage[:2])) == usage
    assert answer.usage_ignored == ignored


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"7", b"{}", b'{"candidates":[7]}', b"[1,2]"])
def test_what_is_no_answer_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        GEMINI.answer(raw, ASKED)


def test_odd_members_break_nothing() -> None:
    odd: list[Any] = [
        {"text": 7},
        7,
        {"functionCall": 7},
        {"functionCall": {"args": [1]}},
        {"inlineData": {"data": 1}},
        {},
    ]
    answer = read(answered({"content": {"parts": odd}}, {"content": 7, "logprobsResult": {"chosenCandidates": 7}}))
    assert answer.body["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "", "arguments": "{}"}
    assert len(answer.body["choices"]) == 2


def test_an_error_in_a_success_is_an_error() -> None:
    with pytest.raises(GatewayError) as caught:
        read([{"error": {"code": 500, "message": "see https://internal.test/x"}}])
    assert "internal" not in caught.value.message


# -- failures


@pytest.mark.parametrize(
    ("error", "code", "extra"),
    [
        ({"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}, "", {}),
        ({"code": 400, "message": "API key not valid. Please pass a valid API key."}, "invalid_api_key", {}),
        ({"code": 400, "message": "no", "details": [{"reason": "API_KEY_INVALID"}]}, "invalid_api_key", {}),
        (
            {"code": 400, "message": "User location is not supported", "status": "FAILED_PRECONDITION"},
            "invalid_api_key",
            {},
        ),
        (
            {"code": 400, "message": "The input token count (2) exceeds the maximum number of tokens allowed (1)."},
            "context_length_exceeded",
            {},
        ),
        ({"code": 429, "message": "no", "details": [{"retryDelay": "34.5s"}, 7]}, "", {"retry_after_s": 34.5}),
        ({"code": 400, "message": "no", "details": [{"reason": ["x"]}]}, "", {}),
    ],
)
def test_it_reads_failures(error: dict[str, Any], code: str, extra: dict[str, Any]) -> None:
    for body in ({"error": error}, [{"error": error}]):
        said = failure_message(orjson.dumps(body))
        assert (said.message, said.code, said.extra) == (error["message"], code, extra)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"7", b'{"error":"no"}', b'{"error":{"details":7}}'])
def test_odd_failures_break_nothing(raw: bytes) -> None:
    assert failure_message(raw).code == ""


# -- streams


def event(data: Any, end: str = "\n\n") -> bytes:
    return b"data: " + orjson.dumps(data) + end.encode()


def piece(*parts: dict[str, Any], finish: str | None = None, index: int | None = None, **more: Any) -> dict[str, Any]:
    numbered = {} if index is None else {"index": index}
    return {"candidates": [{**candidate(*parts, finish=finish), **numbered}], "modelVersion": "gemini-x-001", **more}


def spoken(end: str = "\n\n") -> bytes:
    early = {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10}
    events = [
        piece({"text": "Hmm", "thought": True}, usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9}),
        piece({"text": "Hé"}, usageMetadata=early),
        piece({"text": "llo 漢字 \u2028🎉"}),
        piece({"text": "", "thoughtSignature": "END"}, finish="STOP", usageMetadata=COUNTS),
    ]
    return b"".join(event(one, end) for one in events)


class Heard:
    """What a client and the books get of a stream, whatever way its bytes were cut."""

    def __init__(self, pieces: list[bytes], asked: Asked = ASKED) -> None:
        self.stream = GeminiStream(asked)
        outs = [self.stream.feed(one) for one in pieces]
        outs.append(self.stream.close())
        if self.stream.failure is None:
            assert self.stream.complete()
            outs.append(self.stream.tail(self.stream.usage or Usage(), {}))
        self.raw = b"".join(outs)
        lines = [block.removeprefix(b"data: ") for block in self.raw.split(b"\n\n") if block]
        self.done = bool(lines) and lines[-1] == b"[DONE]"
        self.chunks = [json.loads(line) for line in lines if line != b"[DONE]"]
        choices = [choice for chunk in self.chunks for choice in chunk["choices"]]
        self.deltas = [choice["delta"] for choice in choices]
        self.ends = [(choice["index"], choice["finish_reason"]) for choice in choices if choice["finish_reason"]]

    def joined(self, name: str) -> str:
        return "".join(delta.get(name) or "" for delta in self.deltas)


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
def test_a_stream_is_the_same_however_it_is_cut(end: str) -> None:
    raw = spoken(end)
    whole = Heard([raw])
    assert whole.joined("content") == "Héllo 漢字 \u2028🎉"
    assert whole.joined("reasoning_content") == "Hmm"
    assert whole.ends == [(0, "stop")]
    assert whole.done
    assert whole.stream.usage == READ
    assert whole.stream.reported_model == "gemini-x-001"
    assert whole.chunks[-1]["usage"]["completion_tokens"] == 6
    assert {chunk["id"] for chunk in whole.chunks} == {ID}
    assert [d for d in whole.deltas if "role" in d] == whole.deltas[:1]
    for cut in range(len(raw)):
        assert Heard([raw[:cut], raw[cut:]]).raw == whole.raw
    assert Heard([raw[i : i + 1] for i in range(len(raw))]).raw == whole.raw


def test_calls_in_a_stream_arrive_whole_with_their_signatures() -> None:
    events = [
        piece({"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "SIG"}),
        piece({"functionCall": {"name": "g", "args": {}}}),
        piece(finish="STOP", usageMetadata=COUNTS),
    ]
    heard = Heard([event(one) for one in events])
    calls = [call for delta in heard.deltas for call in delta.get("tool_calls", ())]
    whole = read(answered(candidate(*(part for one in events for part in one["candidates"][0]["content"]["parts"]))))
    assert [c.pop("index") for c in calls] == [0, 1]
    assert calls == whole.body["choices"][0]["message"]["tool_calls"]
    assert heard.stream.thoughts == whole.thoughts
    assert heard.ends == [(0, "tool_calls")]


def test_a_reason_in_every_event_ends_the_stream_once_at_its_end() -> None:
    events = [piece({"text": text}, finish="STOP", usageMetadata=COUNTS) for text in "abc"]
    heard = Heard([event(one) for one in events])
    assert heard.joined("content") == "abc"
    assert heard.ends == [(0, "stop")]
    assert heard.deltas[-1] == {}


def test_candidates_are_interleaved() -> None:
    two = ASKED._replace(choices=2)
    events = [piece({"text": t}, index=i) for t in "ab" for i in (0, 1)]
    ended = [piece(finish="STOP", index=0), piece(finish="MAX_TOKENS", index=1, usageMetadata=COUNTS)]
    heard = Heard([event(one) for one in [*events, *ended]], two)
    assert heard.ends == [(0, "stop"), (1, "length")]
    assert heard.joined("content") == "aabb"
    fewer = Heard([event(one) for one in [events[0], ended[0]]], two)
    assert (fewer.done, fewer.ends) == (True, [(0, "stop")])


def test_pictures_in_a_stream_are_counted_even_after_the_counts() -> None:
    counts = {**COUNTS, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 3}]}
    heard = Heard([event(piece({"text": "See"}, usageMetadata=counts)), event(piece(PNG, finish="STOP"))])
    assert [image for delta in heard.deltas for image in delta.get("images", ())] == [PICTURE]
    assert heard.stream.usage == Usage(input=9, output=1, reasoning=2, output_image=3, images=1)
    assert heard.stream.delivered() > 1000


def test_a_blocked_prompt_ends_a_stream_filtered() -> None:
    blocked = {"promptFeedback": {"blockReason": "OTHER"}, "usageMetadata": {"promptTokenCount": 9}}
    heard = Heard([event(blocked)], ASKED._replace(choices=2))
    assert heard.ends == [(0, "content_filter"), (1, "content_filter")]
    assert heard.stream.usage == Usage(input=9)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        event(piece({"text": "a"})),
        event(piece({"text": "a"})) + event({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
        event(piece({"text": "a"})) + spoken()[:-20].rpartition(b"data")[0],
    ],
)
def test_a_stream_that_breaks_fails(raw: bytes) -> None:
    heard = Heard([raw])
    assert heard.stream.failure is not None
    assert heard.ends == []
    assert not heard.done


def test_a_connection_that_breaks_after_the_last_event_loses_nothing() -> None:
    stream = GeminiStream(ASKED)
    stream.feed(spoken())
    assert stream.complete()
    assert b'"finish_reason":"stop"' in stream.tail(READ, {})
