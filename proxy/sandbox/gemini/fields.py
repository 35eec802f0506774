"""The messages of Gemini's API that the sandbox reads, field by field. Pure."""

from __future__ import annotations

from typing import Any

from proxy.sandbox.gemini.proto import ANY, BOOL, BYTES, FLOAT, INT, INT64, STRING, STRUCT, Enum, Many, Mapping, Message

TYPE = Enum(
    "Type", frozenset({"TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
)
MODALITY = Enum("GenerationConfig.Modality", frozenset({"MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO"}))
LEVEL = Enum(
    "ThinkingConfig.ThinkingLevel", frozenset({"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"})
)
MODE = Enum("FunctionCallingConfig.Mode", frozenset({"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"}))
HARM = Enum(
    "HarmCategory",
    frozenset(
        "HARM_CATEGORY_" + name
        for name in ("UNSPECIFIED", "HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
    )
    | {"HARM_CATEGORY_CIVIC_INTEGRITY"},
)
THRESHOLD = Enum(
    "SafetySetting.HarmBlockThreshold",
    frozenset(
        {
            "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
            "BLOCK_LOW_AND_ABOVE",
            "BLOCK_MEDIUM_AND_ABOVE",
            "BLOCK_ONLY_HIGH",
            "BLOCK_NONE",
            "OFF",
        }
    ),
)
RESOLUTION = Enum(
    "MediaResolution",
    frozenset("MEDIA_RESOLUTION_" + name for name in ("UNSPECIFIED", "LOW", "MEDIUM", "HIGH", "ULTRA_HIGH")),
)
BEHAVIOR = Enum("FunctionDeclaration.Behavior", frozenset({"UNSPECIFIED", "BLOCKING", "NON_BLOCKING"}))


def _schema() -> dict[str, Any]:
    counts = ("maxItems", "minItems", "minProperties", "maxProperties", "minLength", "maxLength")
    return {
        "type": TYPE,
        **dict.fromkeys(("format", "title", "description", "pattern"), STRING),
        **dict.fromkeys(counts, INT64),
        **dict.fromkeys(("minimum", "maximum"), FLOAT),
        **dict.fromkeys(("enum", "required", "propertyOrdering"), Many(STRING)),
        **dict.fromkeys(("example", "default"), ANY),
        "nullable": BOOL,
        "properties": Mapping(SCHEMA),
        "items": SCHEMA,
        "anyOf": Many(SCHEMA),
    }


SCHEMA = Message(_schema)
BLOB = Message(lambda: {"mimeType": STRING, "data": BYTES, "displayName": STRING})
FILE = Message(lambda: {"mimeType": STRING, "fileUri": STRING, "displayName": STRING})
FUNCTION_CALL = Message(lambda: {"id": STRING, "name": STRING, "args": STRUCT})
FUNCTION_RESPONSE = Message(
    lambda: {
        "id": STRING,
        "name": STRING,
        "response": STRUCT,
        "parts": Many(Message(lambda: {"inlineData": BLOB, "fileData": FILE})),
        "willContinue": BOOL,
        "scheduling": STRING,
    }
)
DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")
PART = Message(
    lambda: {
        "text": STRING,
        "inlineData": BLOB,
        "fileData": FILE,
        "functionCall": FUNCTION_CALL,
        "functionResponse": FUNCTION_RESPONSE,
        "executableCode": STRUCT,
        "codeExecutionResult": STRUCT,
        "thought": BOOL,
        "thoughtSignature": BYTES,
        "videoMetadata": STRUCT,
        "mediaResolution": STRUCT,
    }
)
CONTENT = Message(lambda: {"role": STRING, "parts": Many(PART)})
DECLARATION = Message(
    lambda: {
        "name": STRING,
        "description": STRING,
        "behavior": BEHAVIOR,
        "parameters": SCHEMA,
        "parametersJsonSchema": ANY,
        "response": SCHEMA,
        "responseJsonSchema": ANY,
    }
)
TOOL = Message(
    lambda: {
        "functionDeclarations": Many(DECLARATION),
        "googleSearch": STRUCT,
        "googleSearchRetrieval": STRUCT,
        "codeExecution": STRUCT,
        "urlContext": STRUCT,
        "googleMaps": STRUCT,
        "fileSearch": STRUCT,
        "computerUse": STRUCT,
    }
)
FUNCTION_CALLING = Message(lambda: {"mode": MODE, "allowedFunctionNames": Many(STRING)})
TOOL_CONFIG = Message(lambda: {"functionCallingConfig": FUNCTION_CALLING, "retrievalConfig": STRUCT})
THINKING = Message(lambda: {"includeThoughts": BOOL, "thinkingBudget": INT, "thinkingLevel": LEVEL})
IMAGE = Message(lambda: {"aspectRatio": STRING, "imageSize": STRING})
GENERATION = Message(
    lambda: {
        **dict.fromkeys(("candidateCount", "maxOutputTokens", "topK", "seed", "logprobs"), INT),
        **dict.fromkeys(("temperature", "topP", "presencePenalty", "frequencyPenalty"), FLOAT),
        **dict.fromkeys(("responseLogprobs", "enableEnhancedCivicAnswers"), BOOL),
        **dict.fromkeys(("responseJsonSchema", "_responseJsonSchema"), ANY),
        "stopSequences": Many(STRING),
        "responseMimeType": STRING,
        "responseSchema": SCHEMA,
        "responseModalities": Many(MODALITY),
        "mediaResolution": RESOLUTION,
        "speechConfig": STRUCT,
        "thinkingConfig": THINKING,
        "imageConfig": IMAGE,
    }
)
SAFETY = Message(lambda: {"category": HARM, "threshold": THRESHOLD})
GENERATE = Message(
    lambda: {
        "model": STRING,
        "contents": Many(CONTENT),
        "systemInstruction": CONTENT,
        "generationConfig": GENERATION,
        "tools": Many(TOOL),
        "toolConfig": TOOL_CONFIG,
        "safetySettings": Many(SAFETY),
        "cachedContent": STRING,
        "serviceTier": STRING,
        "store": BOOL,
    }
)
COUNT = Message(lambda: {"contents": Many(CONTENT), "generateContentRequest": GENERATE})
EMBED = Message(
    lambda: {
        "model": STRING,
        "content": CONTENT,
        "taskType": STRING,
        "title": STRING,
        "outputDimensionality": INT,
        "autoTruncate": BOOL,
    }
)
BATCH_EMBED = Message(lambda: {"requests": Many(EMBED)})
