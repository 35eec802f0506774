"""What Gemini refuses of a request that is well-formed: ranges, tools, the order of turns, lost signatures. Pure."""

from __future__ import annotations

import re
from typing import Any

from proxy.sandbox import signatures
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.gemini import fields
from proxy.sandbox.gemini.refusal import invalid

FUNCTION_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
SIZES = ("1K", "2K", "4K")
MIME_TYPES = ("text/plain", "application/json", "text/x.enum")
MOST_STOPS, MOST_CANDIDATES = 5, 8
#: What the real API takes instead of a signature that was never there.
WITHOUT_SIGNATURE = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
RANGES = {
    "temperature": (0, 2),
    "topP": (0, 1),
    "candidateCount": (1, MOST_CANDIDATES),
    "maxOutputTokens": (1, 2**31),
    "topK": (1, 2**31),
    "presencePenalty": (-2, 2),
    "frequencyPenalty": (-2, 2),
    "logprobs": (0, 20),
}


def check(body: dict[str, Any], asked: Behaviour) -> None:
    """Raise the Refusal that the real API would answer to this body, which has been read already."""
    contents = body.get("contents")
    if not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified\n")
    for index, content in enumerate(contents):
        check_content(content, f"GenerateContentRequest.contents[{index}]")
    if body.get("systemInstruction"):
        check_content(body["systemInstruction"], "GenerateContentRequest.system_instruction")
    _generation(body.get("generationConfig") or {}, asked)
    _tools(body)
    _turns(contents)
    if asked.kind == "thinking":
        _signatures(contents)


def check_content(content: dict[str, Any], path: str) -> None:
    """A content has parts, each with one kind of data, and a role that is known."""
    if content.get("role") not in (None, "", "user", "model", "function", "system"):
        raise invalid("Please use a valid role: user, model.")
    if not content.get("parts"):
        raise invalid(f"* {path}.parts: contents.parts must not be empty.\n")
    for index, part in enumerate(content["parts"]):
        data = [name for name in fields.DATA if name in part]
        if not data and "thoughtSignature" not in part:
            raise invalid(
                f"* {path}.parts[{index}].data: required oneof field 'data' must have one initialized field\n"
            )
        if len(data) > 1:
            raise invalid(
                f"Invalid value at '{path}.parts[{index}]' (oneof), oneof field 'data' is already set. "
                f"Cannot set '{data[1]}'"
            )
        if "inlineData" in part and not part["inlineData"].get("mimeType"):
            raise invalid(f"* {path}.parts[{index}].inline_data.mime_type: mime_type must not be empty\n")


def _generation(config: dict[str, Any], asked: Behaviour) -> None:
    path = "* GenerateContentRequest.generation_config"
    for name, (least, most) in RANGES.items():
        if name in config and not least <= float(config[name]) <= most:
            raise invalid(f"{path}.{name}: must be in the range [{least}, {most}]\n")
    if len(config.get("stopSequences", ())) > MOST_STOPS:
        raise invalid(f"{path}.stop_sequences: must not have more than {MOST_STOPS} elements\n")
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise invalid("logprobs may only be set when response_logprobs is true.")
    mime = config.get("responseMimeType", "text/plain")
    if mime not in MIME_TYPES:
        raise invalid(f"{path}.response_mime_type: allowed mimetypes are `{'`, `'.join(MIME_TYPES)}`.\n")
    schemas = [name for name in ("responseSchema", "responseJsonSchema", "_responseJsonSchema") if name in config]
    if schemas and mime == "text/plain":
        raise invalid("Unable to submit request because a response schema needs a response mime type of JSON.")
    if len(schemas) > 1:
        raise invalid("Only one of response_schema and response_json_schema may be set.")
    if asked.kind == "no-sampling" and {"temperature", "topP", "topK"} & config.keys():
        raise invalid("This model does not support sampling parameters.")
    _thinking(config.get("thinkingConfig") or {})
    _image(config, asked)


def _thinking(config: dict[str, Any]) -> None:
    if "thinkingBudget" in config and "thinkingLevel" in config:
        raise invalid("You can only set only one of thinking budget and thinking level.")
    if not -1 <= int(config.get("thinkingBudget", 0)) <= 32768:
        raise invalid(
            f"The thinking budget {config['thinkingBudget']} is invalid. Please choose a value between 0 and 32768."
        )


def _image(config: dict[str, Any], asked: Behaviour) -> None:
    modalities = config.get("responseModalities", ())
    if "IMAGE" in modalities and asked.kind != "image":
        raise invalid(
            f"The requested combination of response modalities ({', '.join(modalities)}) is not supported by the model."
        )
    image = config.get("imageConfig")
    if image is None:
        return
    if asked.kind != "image":
        raise invalid("Image config is not supported for this model.")
    if image.get("aspectRatio", "1:1") not in RATIOS:
        raise invalid(
            "* GenerateContentRequest.generation_config.image_config.aspect_ratio: aspect_ratio must be one of "
            f"{', '.join(RATIOS)}\n"
        )
    if image.get("imageSize", "1K") not in SIZES:
        raise invalid(
            f"* GenerateContentRequest.generation_config.image_config.image_size: must be one of {', '.join(SIZES)}\n"
        )


def _tools(body: dict[str, Any]) -> None:
    names = []
    for place, tool in enumerate(body.get("tools") or ()):
        for index, function in enumerate(tool.get("functionDeclarations") or ()):
            path = f"* GenerateContentRequest.tools[{place}].function_declarations[{index}]"
            _declaration(function, path)
            names.append(function["name"])
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise invalid(f"Duplicate function declaration found: {twice}")
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode, allowed = config.get("mode", "AUTO"), config.get("allowedFunctionNames")
    if mode in ("ANY", "VALIDATED") and not names:
        raise invalid("Function calling config is set without function_declarations.")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise invalid("Function calling mode must be ANY or VALIDATED when allowed_function_names is set.")
    if not set(allowed or ()) <= set(names):
        raise invalid("allowed_function_names must be a subset of the function declarations.")


def _declaration(function: dict[str, Any], path: str) -> None:
    if not FUNCTION_NAME.fullmatch(function.get("name", "")):
        raise invalid(
            f"{path}.name: Invalid function name. Must start with a letter or an underscore. Must be alphanumeric "
            "(a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.\n"
        )
    if "parameters" in function and "parametersJsonSchema" in function:
        raise invalid(f"{path}: only one of parameters and parameters_json_schema may be set\n")
    if "parameters" in function:
        _schema(function["parameters"], f"{path}.parameters")


def _schema(schema: dict[str, Any], path: str) -> None:
    """An object has properties, an array has items, and only strings have enums."""
    kind = schema.get("type")
    if kind == "OBJECT" and not schema.get("properties"):
        raise invalid(f"{path}.properties: should be non-empty for OBJECT type\n")
    if kind == "ARRAY" and "items" not in schema:
        raise invalid(f"{path}.items: missing field.\n")
    if schema.get("enum") and kind != "STRING":
        raise invalid(f"{path}.enum: only allowed for STRING type\n")
    for name in schema.get("required", ()):
        if name not in schema.get("properties", {}):
            raise invalid(f"{path}.required: property is not defined: {name}\n")
    for name, inner in schema.get("properties", {}).items():
        _schema(inner, f"{path}.properties[{name}]")
    if "items" in schema:
        _schema(schema["items"], f"{path}.items")


def _turns(contents: list[dict[str, Any]]) -> None:
    """A call comes after the user or a function's answer, and its answers, as many, right after it."""
    called: list[str] = []
    before = ""
    for index, content in enumerate(contents):
        answers = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        for place, answer in enumerate(answers):
            if not answer.get("name"):
                raise invalid(
                    f"* GenerateContentRequest.contents[{index}].parts[{place}].function_response.name: "
                    "Name cannot be empty.\n"
                )
        if answers and not called:
            raise invalid("Please ensure that function response turn comes immediately after a function call turn.")
        if len(answers) != len(called):
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if sorted(answer["name"] for answer in answers) != sorted(called):
            raise invalid("Please ensure that the names of function responses match those of the function calls.")
        role = content.get("role") or "user"
        if calls and (role != "model" or before not in ("user", "function")):
            raise invalid(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        called = [call.get("name", "") for call in calls]
        before = role


def _signatures(contents: list[dict[str, Any]]) -> None:
    """The first call of every step since the user last spoke carries the signature that came with it."""
    spoken = max(
        (
            index
            for index, content in enumerate(contents)
            if content.get("role") != "model" and any("text" in part for part in content["parts"])
        ),
        default=0,
    )
    for index, content in enumerate(contents):
        calls = [part for part in content["parts"] if "functionCall" in part]
        for part in content["parts"]:
            signature = part.get("thoughtSignature")
            if signature is not None and signature not in WITHOUT_SIGNATURE and not signatures.valid(signature):
                raise invalid("Corrupted thought signature.")
        if calls and index > spoken and "thoughtSignature" not in calls[0]:
            raise invalid(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{calls[0]['functionCall'].get('name', '')}` , position {index + 1}. "
                "Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )
