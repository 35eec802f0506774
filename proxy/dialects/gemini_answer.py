"""What Gemini answers in OpenAI's words: candidates, thoughts, calls with their signatures, pictures, counts. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from billing import meters
from billing.meters import Usage
from proxy.dialects import decoding, failures
from proxy.dialects.gemini_contents import FORMAT
from proxy.dialects.shape import Answer, Asked, MalformedAnswer

FILTERED = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "NO_IMAGE"}
)
PICTURE_SIZE = 4 * 1290
"""How much text a picture is taken for where no counts came: in bytes, of the tokens Google bills for a usual one."""


class Reading:
    """Turns parts into deltas, over one answer: numbers its calls, keeps their signatures, counts its pictures.

    Gemini mostly names no calls; they get ids that are the same for the same place in the same answer.
    """

    def __init__(self, answer_id: str) -> None:
        self.thoughts: dict[str, list[dict[str, Any]]] = {}
        self.images = 0
        self._answer_id = answer_id
        self._calls = 0
        self._places: dict[int, int] = {}
        self._details: dict[int, int] = {}

    def called(self, index: int) -> bool:
        """Whether a candidate has called anything."""
        return index in self._places

    def delta(self, parts: object, index: int) -> tuple[dict[str, Any], int]:
        """What parts add to a candidate, and how many bytes of the model's own words that is."""
        delta: dict[str, Any] = {}
        for part in parts if type(parts) is list else ():
            if type(part) is dict:
                self._take(part, delta, index)
        size = sum(len(delta.get(name, "").encode()) for name in ("content", "reasoning_content"))
        return delta, size + sum(len(call["function"]["arguments"].encode()) for call in delta.get("tool_calls", ()))

    def _take(self, part: dict[str, Any], delta: dict[str, Any], index: int) -> None:
        text, call, data = part.get("text"), part.get("functionCall"), part.get("inlineData")
        signature = part.get("thoughtSignature")
        signature = signature if type(signature) is str else ""
        if type(text) is str and text:
            name = "reasoning_content" if part.get("thought") is True else "content"
            delta[name] = delta.get(name, "") + text
        if type(call) is dict:
            delta.setdefault("tool_calls", []).append(self._call(call, signature, delta, index))
        elif type(data) is dict and part.get("thought") is not True:
            self._draw(data, signature, delta)
        elif signature:
            self._sign("", signature, delta, index)

    def _call(self, call: dict[str, Any], signature: str, delta: dict[str, Any], index: int) -> dict[str, Any]:
        ident = call.get("id")
        if type(ident) is not str or not ident:
            ident = call_id(self._answer_id, self._calls)
        self._calls += 1
        place = self._places[index] = self._places.get(index, -1) + 1
        function = {"name": str(call.get("name") or ""), "arguments": _arguments(call.get("args"))}
        made: dict[str, Any] = {"index": place, "id": ident, "type": "function", "function": function}
        if signature:
            made["extra_content"] = {"google": {"thought_signature": signature}}
            self.thoughts[ident] = [self._sign(ident, signature, delta, index)]
        return made

    def _sign(self, ident: str, signature: str, delta: dict[str, Any], index: int) -> dict[str, Any]:
        """A signature among the reasoning details; with no id it is that of the text."""
        place = self._details[index] = self._details.get(index, -1) + 1
        detail: dict[str, Any] = {"type": "reasoning.encrypted", "data": signature, "format": FORMAT, "index": place}
        if ident:
            detail["id"] = ident
        delta.setdefault("reasoning_details", []).append(detail)
        return detail

    def _draw(self, data: dict[str, Any], signature: str, delta: dict[str, Any]) -> None:
        mime, content = data.get("mimeType"), data.get("data")
        if type(mime) is not str or type(content) is not str or not mime.startswith("image/"):
            return
        self.images += 1
        image: dict[str, Any] = {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{content}"}}
        image["index"] = self.images - 1
        if signature:
            image["extra_content"] = {"google": {"thought_signature": signature}}
        delta.setdefault("images", []).append(image)


def read(raw: bytes, asked: Asked) -> Answer:
    """A whole answer. A blocked prompt is an empty one that was filtered."""
    body = decoded(raw)
    candidates = candidates_of(body)
    if not candidates and not blocked(body) and type(body.get("usageMetadata")) is not dict:
        raise MalformedAnswer("no candidates")
    reading = Reading(asked.answer_id)
    choices, size = [], 0
    for place, candidate in enumerate(candidates):
        choice, said = _choice(candidate, place, reading)
        choices.append(choice)
        size += said
    if not choices:
        choices = [_written({}, index, "content_filter", None) for index in range(asked.choices)]
    usage, ignored = read_usage(body.get("usageMetadata"), asked.context_window, reading.images)
    answer = {
        "id": asked.answer_id,
        "object": "chat.completion",
        "created": asked.created,
        "model": asked.model,
        "choices": choices,
    }
    if usage is not None:
        answer["usage"] = meters.as_openai(usage)
    finish = choices[-1]["finish_reason"]
    size += reading.images * PICTURE_SIZE
    tier = service_tier(body)
    if tier:
        answer["service_tier"] = tier
    model = reported_model(body)
    return Answer(answer, usage, ignored, finish, size, model, tier, thoughts=reading.thoughts)


def decoded(raw: bytes) -> dict[str, Any]:
    """A JSON object; raises MalformedAnswer, or the error that it holds."""
    body = decoding.answer(raw)
    if type(body) is list and len(body) == 1:
        body = body[0]
    if type(body) is not dict:
        raise MalformedAnswer("not an object")
    if body.get("error"):
        raise failures.embedded(body)
    return body


def candidates_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The candidates that are any."""
    found = body.get("candidates")
    return [one for one in found if type(one) is dict] if type(found) is list else []


def parts_of(candidate: dict[str, Any]) -> object:
    """The parts of a candidate's content."""
    content = candidate.get("content")
    return content.get("parts") if type(content) is dict else None


def blocked(body: dict[str, Any]) -> bool:
    """Whether the prompt itself was refused."""
    feedback = body.get("promptFeedback")
    return type(feedback) is dict and bool(feedback.get("blockReason"))


def reported_model(body: dict[str, Any]) -> str:
    """The model that says it answered."""
    version = body.get("modelVersion")
    return version if type(version) is str else ""


def service_tier(body: dict[str, Any]) -> str:
    """The tier that was served, which may be a lower one than was asked for; empty where it is not said."""
    counts = body.get("usageMetadata")
    tier = counts.get("serviceTier") if type(counts) is dict else None
    tier = tier.lower().removeprefix("service_tier_") if type(tier) is str else ""
    return "default" if tier in ("standard", "unspecified") else tier


def read_usage(counts: object, context_window: int, images: int) -> tuple[Usage | None, bool]:
    """The token classes and the pictures, or None and whether counts were there that cannot be true."""
    if type(counts) is not dict:
        return None, False
    try:
        return meters.from_gemini(counts, context_window=context_window)._replace(images=images), False
    except meters.UsageProblem:
        names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount")
        return None, any(counts.get(name) not in (None, 0) for name in names)


def finish_reason(reason: object, *, called: bool) -> str:
    """Gemini's ends in OpenAI's words; those nobody knows mean that it stopped."""
    if reason == "MAX_TOKENS":
        return "length"
    if type(reason) is str and (reason in FILTERED or reason.startswith("IMAGE_")):
        return "content_filter"
    return "tool_calls" if called else "stop"


def logprobs_of(candidate: dict[str, Any]) -> dict[str, Any] | None:
    """``logprobsResult`` as OpenAI's ``logprobs``."""
    result = candidate.get("logprobsResult")
    if type(result) is not dict or type(result.get("chosenCandidates")) is not list:
        return None
    tops = result.get("topCandidates")
    tops = tops if type(tops) is list else []
    content = []
    for place, chosen in enumerate(result["chosenCandidates"]):
        top = tops[place] if place < len(tops) and type(tops[place]) is dict else {}
        entry = _likely(chosen)
        if entry is not None:
            others = top.get("candidates")
            likely = [_likely(one) for one in others] if type(others) is list else []
            content.append({**entry, "top_logprobs": [one for one in likely if one is not None]})
    return {"content": content, "refusal": None}


def call_id(answer_id: str, ordinal: int) -> str:
    """A tool call's id where Gemini gives none: the same for the same place in the same answer."""
    return "call_" + hashlib.sha256(f"{answer_id}/{ordinal}".encode()).hexdigest()[:24]


def _choice(candidate: dict[str, Any], place: int, reading: Reading) -> tuple[dict[str, Any], int]:
    index = candidate.get("index")
    index = index if type(index) is int else place
    message, size = reading.delta(parts_of(candidate), index)
    for call in message.get("tool_calls", ()):
        del call["index"]
    reason = finish_reason(candidate.get("finishReason"), called=reading.called(index))
    return _written(message, index, reason, logprobs_of(candidate)), size


def _written(message: dict[str, Any], index: int, reason: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    content = message.pop("content", None if "tool_calls" in message else "")
    whole = {"role": "assistant", "content": content, "refusal": None, **message}
    return {"index": index, "message": whole, "logprobs": logprobs, "finish_reason": reason}


def _arguments(args: object) -> str:
    """A call's arguments as JSON; none where they are no object, or nested deeper than JSON is written here."""
    try:
        return orjson.dumps(args).decode() if type(args) is dict else "{}"
    except orjson.JSONEncodeError:
        return "{}"


def _likely(candidate: object) -> dict[str, Any] | None:
    if type(candidate) is not dict or type(candidate.get("token")) is not str:
        return None
    token = candidate["token"]
    return {"token": token, "logprob": candidate.get("logProbability", 0.0), "bytes": list(token.encode())}
