"""What upstreams were seen to send, as files in ``corpus/``, and what a client must get of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from billing.meters import Usage
from proxy.dialects import DIALECTS
from proxy.dialects.shape import Answer, Asked, MalformedAnswer
from proxy.errors import GatewayError
from proxy.sandbox.replay import Case

CORPUS = Path(__file__).parent / "corpus"
DIALECT_NAMES = ("openai", "anthropic", "gemini")
CONTEXT_WINDOW = 200_000


@dataclass(slots=True)
class Got:
    """What came out of a translation, by choice where there are several."""

    texts: dict[int, str] = field(default_factory=dict)
    reasoning: str = ""
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finishes: dict[int, str] = field(default_factory=dict)
    usage: Usage | None = None
    failed: bool = False
    images: int = 0
    signatures: list[str] = field(default_factory=list)

    def add(self, index: int, message: dict[str, Any]) -> None:
        """A message, or a delta of one."""
        self.texts[index] = self.texts.get(index, "") + (message.get("content") or "")
        self.reasoning += message.get("reasoning_content") or ""
        self.images += len(message.get("images") or ())
        for detail in message.get("reasoning_details") or ():
            if detail.get("signature") or detail.get("data"):
                self.signatures.append(detail.get("signature") or detail["data"])
        for place, call in enumerate(message.get("tool_calls") or ()):
            self._call(call.get("index", place), call)

    def _call(self, place: int, call: dict[str, Any]) -> None:
        known = self.calls.setdefault(place, {"id": "", "name": "", "arguments": ""})
        known["id"] = known["id"] or call.get("id") or ""
        known["name"] = known["name"] or call["function"].get("name") or ""
        known["arguments"] += call["function"].get("arguments") or ""


def cases(suffix: str) -> list[tuple[str, Path]]:
    """Dialect and file of every case with this suffix, for ``parametrize``."""
    return [(name, path) for name in DIALECT_NAMES for path in sorted((CORPUS / name).glob(f"*{suffix}"))]


def asked(case: Case) -> Asked:
    """What the client asked for."""
    return Asked("chatcmpl-1", "acme/model", True, CONTEXT_WINDOW, case.told.get("choices", 1))


def streamed(dialect: str, case: Case, parts: Iterable[bytes]) -> Got:
    """The case as a client's stream, from parts of its bytes."""
    stream = DIALECTS["chat", dialect].stream(asked(case))
    out = b"".join(map(stream.feed, parts)) + stream.close()
    if stream.failure is None:
        out += stream.tail(stream.usage or Usage(), {})
        assert out.endswith(b"data: [DONE]\n\n")
        out = out.removesuffix(b"data: [DONE]\n\n")
    got = heard(out)
    got.usage, got.failed = stream.usage, stream.failure is not None
    return got


def heard(out: bytes) -> Got:
    """What a client hears in chunks."""
    got = Got()
    for event in events(out):
        for choice in event["choices"]:
            got.add(choice["index"], choice["delta"])
            if choice.get("finish_reason"):
                got.finishes[choice["index"]] = choice["finish_reason"]
    return got


def events(out: bytes) -> list[dict[str, Any]]:
    """The chunks, each checked for what clients stumble over: nothing but data lines, one name and id, a delta."""
    found = []
    for block in out.split(b"\n\n")[:-1]:
        assert block.startswith(b"data: {")
        assert b"\n" not in block
        assert b"\r" not in block
        event = json.loads(block[6:])
        assert all(type(choice["delta"]) is dict for choice in event["choices"])
        found.append(event)
    assert out[-2:] in (b"", b"\n\n")
    assert len({(event["id"], event["model"]) for event in found}) <= 1
    return found


def whole(dialect: str, case: Case) -> Got:
    """The case as a client's whole answer."""
    try:
        answer: Answer = DIALECTS["chat", dialect].answer(case.data, asked(case))
    except (MalformedAnswer, GatewayError):
        return Got(failed=True)
    got = said(answer.body)
    got.usage = answer.usage
    return got


def said(body: dict[str, Any]) -> Got:
    """What a client reads in a whole answer."""
    got = Got()
    for choice in body["choices"]:
        got.add(choice["index"], choice["message"])
        got.finishes[choice["index"]] = choice["finish_reason"]
    return got


def check(case: Case, got: Got) -> None:
    """Compare with what the sidecar expects; ``any_…`` says that several outcomes are right."""
    told = case.told
    if not told.get("any_failure"):
        assert got.failed == told.get("failure", False)
    if got.failed and not told.get("failure", False):
        return
    _check_words(told, got)
    wanted = told.get("finish_reason")
    allowed = wanted if isinstance(wanted, list) else [wanted]
    assert got.finishes.get(0, "") in allowed
    if not told.get("any_usage"):
        counts = told["usage"] if isinstance(told["usage"], list) else [told["usage"]]
        assert got.usage in [None if count is None else Usage(**count) for count in counts]


def _check_words(told: dict[str, Any], got: Got) -> None:
    text = got.texts.get(0, "")
    if "text_fill" in told:
        assert text == told["text_fill"][0] * told["text_fill"][1]
    elif "text_ends" in told:
        assert text.endswith(told["text_ends"])
    elif not told.get("any_text"):
        filled = told["text"]
        for mark, (part, times) in told.get("fill", {}).items():
            filled = filled.replace(mark, part * times)
        assert text == filled
    if "texts" in told:
        assert [got.texts[index] for index in sorted(got.texts)] == told["texts"]
    assert got.reasoning == told.get("reasoning", got.reasoning)
    assert got.images == told.get("images", 0)
    assert got.signatures == told.get("signatures", got.signatures)
    if not told.get("partial"):
        _check_calls(told.get("tool_calls", []), got)


def _check_calls(wanted: list[dict[str, Any]], got: Got) -> None:
    calls = [got.calls[place] for place in sorted(got.calls)]
    assert len(calls) == len(wanted)
    for call, told in zip(calls, wanted, strict=True):
        assert call["name"] == told["name"]
        assert json.loads(call["arguments"]) == json.loads(told["arguments"])
        assert call["id"] == told.get("id", call["id"])
        assert call["id"]
