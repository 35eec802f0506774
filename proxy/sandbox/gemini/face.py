"""Gemini's likeness: generateContent, streamGenerateContent, countTokens, embedContent and batchEmbedContents."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.sandbox import behaviour, likelihood, plans, words
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.gemini import embeddings, fields, proto, refusal, rules
from proxy.sandbox.gemini.voice import GeminiVoice
from proxy.sandbox.plans import HIDDEN, SHOWN, Ask, Plan
from proxy.sandbox.voices import Job, Refusal
from proxy.sandbox.wire import Request

PATH = re.compile(r"/gemini/(?:v1beta|v1|v1alpha)/models/(?P<model>[^:]+):(?P<verb>[A-Za-z]+)")
GENERATING = ("generateContent", "streamGenerateContent")


class Gemini:
    """See Face."""

    def read(self, request: Request) -> Job | Failure:
        """What one of the verbs asks for."""
        match = PATH.fullmatch(unquote(request.path))
        if match is None:
            raise Refusal(Failure(404, b"", b"text/html"))
        _check_key(request)
        model, verb = match["model"].removeprefix("models/"), match["verb"]
        asked = behaviour.parse(model)
        if asked is None or verb not in (*GENERATING, *embeddings.VERBS, "countTokens"):
            raise refusal.refused(
                404,
                "NOT_FOUND",
                f"models/{model[:64]} is not found for API version v1beta, or is not supported for {verb}. Call "
                "ListModels to see the list of available models and their supported methods.",
            )
        try:
            return self._accept(request, model, verb, asked)
        except Refusal as problem:
            problem.model = model
            raise

    def failure(self, asked: Behaviour) -> Failure | None:
        """See Face."""
        return refusal.failure(asked)

    def models(self, request: Request) -> Failure:
        """``GET /v1beta/models``."""
        _check_key(request)
        limits = {"inputTokenLimit": 1048576, "outputTokenLimit": 65536}
        verbs = {"supportedGenerationMethods": [*GENERATING, "countTokens"]}
        names = [f"sandbox-{kind}" for kind in behaviour.DEFAULTS]
        models = [{"name": f"models/{name}", "displayName": name, **limits, **verbs} for name in names]
        return Failure(200, msgspec.json.encode({"models": models}))

    def _accept(self, request: Request, model: str, verb: str, asked: Behaviour) -> Job | Failure:
        body = _parse(request.body)
        who = request.header(b"x-goog-api-key")
        if verb in embeddings.VERBS:
            return embeddings.job(body, model, verb, asked)
        if verb == "countTokens":
            return _count(proto.read(body, fields.COUNT))
        body = proto.read(body, fields.GENERATE)
        rules.check(body, asked)
        streams, sse = verb == "streamGenerateContent", "alt=sse" in request.query

        def voice(request_id: str) -> GeminiVoice:
            return GeminiVoice(request_id.removeprefix("req_"), model, asked.kind, sse, streams)

        return Job(model, asked, plan_of(body, asked), streams and sse, voice, who)


def plan_of(body: dict[str, Any], asked: Behaviour) -> Plan:
    """What a checked request will be answered. Thinking models think; whether it is shown is the client's choice."""
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    modalities = config.get("responseModalities") or ("TEXT", "IMAGE")
    shown = bool(thinking.get("includeThoughts"))
    thinks = SHOWN if shown else HIDDEN if asked.kind in plans.THINKERS else ""
    if asked.kind not in plans.THINKERS and thinking.get("thinkingBudget") == 0:
        thinks = ""
    ask = Ask(
        prompt_tokens(body),
        "" if "TEXT" not in modalities else _last_text(body["contents"]),
        _results(body["contents"][-1]),
        _tool_names(body),
        tuple(config.get("stopSequences") or ()),
        None if "maxOutputTokens" not in config else int(config["maxOutputTokens"]),
        int(config.get("candidateCount", 1)),
        thinks,
        draws="IMAGE" in modalities,
        likely=int(config.get("logprobs", 0)) if config.get("responseLogprobs") else likelihood.NONE,
    )
    return plans.make(ask, asked)


def prompt_tokens(body: dict[str, Any]) -> int:
    """As everywhere in the sandbox: pieces of text, three a message, eight a part without text, tools as JSON."""
    total = sum(_part_tokens(part) for part in (body.get("systemInstruction") or {}).get("parts") or ())
    for content in body.get("contents") or ():
        total += words.PER_MESSAGE + sum(_part_tokens(part) for part in content.get("parts") or ())
    if body.get("tools"):
        total += len(words.pieces(msgspec.json.encode(body["tools"]).decode()))
    return total


def _part_tokens(part: dict[str, Any]) -> int:
    if "text" in part:
        return len(words.pieces(part["text"]))
    for name, member in (("functionCall", "args"), ("functionResponse", "response")):
        if name in part:
            return len(words.pieces(msgspec.json.encode(part[name].get(member) or {}).decode()))
    return words.PER_PART


def _last_text(contents: list[dict[str, Any]]) -> str:
    """The newest text of the user."""
    for content in reversed(contents):
        text = "".join(part.get("text", "") for part in content["parts"])
        if content.get("role") != "model" and text:
            return text
    return ""


def _results(content: dict[str, Any]) -> str | None:
    """What functions answered, if the last turn is theirs: its one text, or its JSON."""
    found = [part["functionResponse"].get("response") or {} for part in content["parts"] if "functionResponse" in part]
    texts = []
    for response in found:
        values = list(response.values())
        plain = len(values) == 1 and isinstance(values[0], str)
        texts.append(values[0] if plain else msgspec.json.encode(response).decode())
    return "".join(texts) if found else None


def _tool_names(body: dict[str, Any]) -> tuple[str, ...]:
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if config.get("mode") == "NONE":
        return ()
    if config.get("allowedFunctionNames"):
        return tuple(config["allowedFunctionNames"])
    tools = body.get("tools") or ()
    return tuple(function["name"] for tool in tools for function in tool.get("functionDeclarations") or ())


def _count(body: dict[str, Any]) -> Failure:
    tokens = prompt_tokens(body.get("generateContentRequest") or body)
    details = [{"modality": "TEXT", "tokenCount": tokens}]
    return Failure(200, msgspec.json.encode({"totalTokens": tokens, "promptTokensDetails": details}))


def _check_key(request: Request) -> None:
    key = request.header(b"x-goog-api-key")
    if not key:
        key = next((pair[4:] for pair in request.query.split("&") if pair.startswith("key=")), "")
    if not key:
        raise refusal.refused(403, "PERMISSION_DENIED", refusal.UNREGISTERED)
    if key.startswith("invalid"):
        raise refusal.bad_key()


def _parse(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError as problem:
        raise refusal.invalid(f"Invalid JSON payload received. {problem}") from None
