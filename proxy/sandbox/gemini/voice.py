"""An answer as Gemini words it, whole and in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from proxy.sandbox import answers, likelihood, pictures, plans, signatures
from proxy.sandbox.gemini import refusal
from proxy.sandbox.plans import Event, Plan

FINISH_REASONS = {
    "length": "MAX_TOKENS",
    "context-full": "MAX_TOKENS",
    "refusal": "SAFETY",
    "recitation": "RECITATION",
    "prohibited": "PROHIBITED_CONTENT",
    "spii": "SPII",
    "blocklist": "BLOCKLIST",
    "image-safety": "IMAGE_SAFETY",
    "malformed-call": "MALFORMED_FUNCTION_CALL",
}

encode = msgspec.json.Encoder().encode


class Said(NamedTuple):
    """One part of an answer and the tokens generated with it."""

    part: dict[str, Any]
    tokens: int = 0
    thought: int = 0
    drawn: int = 0


@dataclass(frozen=True, slots=True)
class GeminiVoice:
    """See Voice. Without ``sse`` a stream is one array of its chunks."""

    ident: str
    model: str
    kind: str
    sse: bool = True
    streams: bool = True
    newline: bytes = b"\r\n"

    @property
    def head(self) -> bytes:
        """Header lines of every answer."""
        return b"server-timing: gfet4t7; dur=1\r\nvary: X-Origin\r\n"

    def whole(self, plan: Plan) -> bytes:
        """The answer in one piece, indented as Google does; or the array of its chunks."""
        if self.streams and not self.sse:
            return b"[" + b"\n,\r\n".join(event.data[6:] for event in self.events(plan)) + b"\n]"
        parts = _joined([said.part for said in self._said(plan)])
        likely = likelihood.gemini("" if plan.calls else plan.text, plan.likely)
        candidates = [self._candidate(plan, index, parts) | likely for index in range(plan.n)]
        candidates = [] if self.kind == "blocked" else candidates
        body = self._body(plan, candidates, plan.completion)
        return msgspec.json.format(encode(body), indent=2)

    def events(self, plan: Plan) -> Iterator[Event]:
        """Chunks with usage so far; the reason of the end in the last one of each candidate."""
        if self.kind == "blocked":
            yield self._event(self._body(plan, [], 0))
            return
        sent = 0 if plan.thought else plan.n * plan.reasoning
        for said in self._said(plan):
            for index in range(plan.n):
                sent += said.tokens
                candidate = {"content": {"parts": [said.part], "role": "model"}, "index": index}
                if not said.thought:
                    candidate |= likelihood.gemini(said.part.get("text", ""), plan.likely)
                yield self._event(self._body(plan, [candidate], sent), said)
        for index in range(plan.n):
            last = index == plan.n - 1
            candidate = self._candidate(plan, index, [{"text": ""}] if plan.finish not in plans.CUT_SHORT else [])
            short = self.kind == "usage-twice" and last
            yield self._event(self._body(plan, [candidate], max(0, plan.completion - 1) if short else plan.completion))
        if self.kind == "usage-twice":
            yield self._event(self._body(plan, [], plan.completion))

    def ending(self) -> bytes:
        """Nothing: a stream simply ends."""
        return b""

    def failing(self) -> bytes:
        """An error in the place of a chunk."""
        return b"data: " + encode(msgspec.json.decode(refusal.body(*refusal.STATUSES["503"])))

    def garbage(self) -> bytes:
        """See Voice."""
        return b'data: {"candidates": [{"content": {"parts": [{"text": "bro'

    def _said(self, plan: Plan) -> Iterator[Said]:
        """The parts: thoughts, text, pictures, calls. A call is one part with all its arguments."""
        for piece in plan.thought:
            yield Said({"text": piece, "thought": True}, 1, 1)
        for piece in plan.preface if plan.calls else plan.pieces:
            yield Said({"text": piece}, 1)
        for _ in range(plan.images):
            blob = {"mimeType": "image/png", "data": pictures.PNG_BASE64}
            yield Said({"inlineData": blob}, plan.image_tokens, 0, plan.image_tokens)
        signature = signatures.sign(plan.text) if self.kind in plans.THINKERS else ""
        for place, name in enumerate(plan.calls):
            call = {"name": name, "args": _parsed(plan.text), "id": answers.call_id(self.ident, place)}
            part: dict[str, Any] = {"functionCall": call}
            if signature and place == 0:
                part["thoughtSignature"] = signature
            yield Said(part, 1 + len(plan.pieces))
        if signature and not plan.calls:
            yield Said({"text": "", "thoughtSignature": signature})

    def _candidate(self, plan: Plan, index: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """A candidate at its end; one that was stopped for what it said shows why."""
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}} if parts else {}
        candidate |= {"finishReason": FINISH_REASONS.get(plan.finish, "STOP"), "index": index}
        if plan.finish == "refusal":
            rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
            candidate["safetyRatings"] = [rating]
        if plan.finish == "malformed-call":
            candidate["finishMessage"] = "Malformed function call: print(default_api.say("
        if plan.searches:
            candidate["groundingMetadata"] = {
                "webSearchQueries": [f"sandbox {place}" for place in range(plan.searches)],
                "groundingChunks": [{"web": {"uri": "https://example.com/", "title": "Example"}}],
                "searchEntryPoint": {"renderedContent": "<div></div>"},
            }
        return candidate

    def _body(self, plan: Plan, candidates: list[dict[str, Any]], completion: int) -> dict[str, Any]:
        body: dict[str, Any] = {"candidates": candidates} if candidates else {}
        if self.kind == "blocked":
            body["promptFeedback"] = {"blockReason": "PROHIBITED_CONTENT"}
        if self.kind != "no-usage":
            body["usageMetadata"] = self._usage(plan, completion)
        return {**body, "modelVersion": self.model, "responseId": self.ident}

    def _usage(self, plan: Plan, completion: int) -> dict[str, Any]:
        """Usage so far as Google tells it: thoughts are apart from candidates, cached tokens a part of the prompt."""
        thoughts = min(plan.n * plan.reasoning, completion)
        said = completion - thoughts
        usage: dict[str, Any] = {
            "promptTokenCount": plan.prompt,
            "candidatesTokenCount": said,
            "totalTokenCount": plan.prompt + completion,
            "promptTokensDetails": _modalities(TEXT=plan.prompt - plan.audio_in, AUDIO=plan.audio_in),
        }
        drawn = min(plan.drawn, said) if plan.images and said >= plan.image_tokens else 0
        if drawn or plan.audio_out:
            details = _modalities(TEXT=said - drawn - plan.audio_out, IMAGE=drawn, AUDIO=plan.audio_out)
            usage["candidatesTokensDetails"] = details
        if not said:
            del usage["candidatesTokenCount"]
        if plan.reasoning:
            usage["thoughtsTokenCount"] = thoughts
        if plan.cached:
            usage["cachedContentTokenCount"] = plan.cached
            usage["cacheTokensDetails"] = _modalities(TEXT=plan.cached)
        match self.kind:
            case "zero-usage":
                return {"promptTokenCount": 0, "totalTokenCount": 0}
            case "negative-usage":
                return {**usage, "candidatesTokenCount": -7, "totalTokenCount": plan.prompt - 7}
            case "huge-usage":
                return {**usage, "candidatesTokenCount": answers.HUGE, "totalTokenCount": plan.prompt + answers.HUGE}
        return usage

    def _event(self, body: dict[str, Any], said: Said | None = None) -> Event:
        data = b"data: " + encode(body)
        return Event(data) if said is None else Event(data, said.tokens, said.thought, said.drawn)


def _modalities(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring texts of one kind as one part."""
    joined: list[dict[str, Any]] = []
    for part in parts:
        plain = part.keys() <= {"text", "thought"}
        if plain and joined and joined[-1].keys() == part.keys():
            joined[-1] = {**joined[-1], "text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


def _parsed(text: str) -> Any:
    """Arguments as an object; those that the token limit cut off are empty."""
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return {}
