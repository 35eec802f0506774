"""What one call will be answered, whatever the wire format: the tokens that are said, and what they count. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import NamedTuple

import msgspec

from proxy.sandbox import likelihood, words
from proxy.sandbox.behaviour import Behaviour

HIDDEN, SHOWN = "hidden", "shown"
THINKERS = ("reasoning", "thinking", "redacted")
TOOL_USERS = ("tools", "thinking", "redacted")
CUT_SHORT = ("refusal", "recitation", "prohibited", "spii", "blocklist", "image-safety", "malformed-call")
OTHER_ENDS = ("pause-turn", "context-full")
THOUGHT_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Ask:
    """What the sandbox heeds of a request, read by the face it came to.

    ``said`` is the newest user text, ``result`` the text of tool results that came after it. ``tools`` are the names
    that may be called, the wanted one first. ``thinks`` is HIDDEN, SHOWN or nothing; ``hour`` says that what is cached
    is cached for an hour, ``likely`` how many likely tokens to show for each.
    """

    prompt: int
    said: str
    result: str | None = None
    tools: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    limit: int | None = None
    n: int = 1
    thinks: str = ""
    hour: bool = False
    draws: bool = True
    likely: int = likelihood.NONE


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call will be answered: the same tokens for each of ``n`` choices, and what they count.

    ``pieces`` are the tokens of the text or, with ``calls``, of the arguments of each call. ``finish`` is ``stop``,
    ``stop_sequence``, ``length``, ``tool_calls`` or the kind that ended the answer. ``prompt`` includes the cached and
    the written tokens, and those of audio.
    """

    pieces: tuple[str, ...]
    finish: str
    prompt: int
    n: int = 1
    cached: int = 0
    reasoning: int = 0
    calls: tuple[str, ...] = ()
    preface: tuple[str, ...] = ()
    thought: tuple[str, ...] = ()
    stopped_by: str = ""
    written: int = 0
    hour: bool = False
    audio_in: int = 0
    audio_out: int = 0
    searches: int = 0
    images: int = 0
    image_tokens: int = 0
    likely: int = likelihood.NONE

    @property
    def completion(self) -> int:
        """Tokens of all choices, reasoning included. Naming a tool is one token."""
        said = len(self.preface) + len(self.pieces)
        if self.calls:
            said = len(self.preface) + len(self.calls) * (1 + len(self.pieces))
        return self.n * (said + self.reasoning) + self.drawn + self.audio_out

    @property
    def drawn(self) -> int:
        """Tokens of all pictures."""
        return self.images * self.image_tokens

    @property
    def text(self) -> str:
        """What is said, or the arguments of each call."""
        return "".join(self.pieces)


class Event(NamedTuple):
    """One event of a stream as bytes without its end, and the tokens that are generated with it."""

    data: bytes
    tokens: int = 0
    thought: int = 0
    drawn: int = 0


def make(ask: Ask, asked: Behaviour) -> Plan:
    """The answer to a call, before anything goes wrong with it."""
    kind = asked.kind
    calls = _calls(ask, asked)
    text, stopped_by = (_arguments(ask), "") if calls else before_stop(_text(ask, asked), ask.stop)
    pieces = [text] if kind == "longline" else words.pieces(text)
    finish = "tool_calls" if calls else "stop_sequence" if stopped_by else "stop"
    if kind in CUT_SHORT or kind in OTHER_ENDS:
        finish = kind
        pieces = pieces[: (len(pieces) + 1) // 2] if kind in CUT_SHORT else pieces
    reasoning = _thoughts(ask, asked)
    preface = tuple(words.pieces(" well" * asked.second)) if calls and kind == "tools" else ()
    if ask.limit is not None and reasoning + len(preface) + len(calls) + len(pieces) * max(1, len(calls)) > ask.limit:
        finish = "length"
        reasoning = min(reasoning, ask.limit)
        left = ask.limit - reasoning
        calls = calls[:1] if left else ()
        preface = preface[: max(0, left - len(calls))]
        pieces = pieces[: max(0, left - len(preface) - len(calls))]
    thought = _thinking(ask.said, reasoning) if ask.thinks == SHOWN else ()
    cached, written = _cache(ask.prompt, asked)
    counts = _counts(ask, asked)
    return Plan(
        tuple(pieces), finish, ask.prompt + counts[0], ask.n, cached, reasoning, calls, preface, thought, stopped_by,
        written, ask.hour, *counts, ask.likely,
    )  # fmt: skip


def before_stop(text: str, stop: tuple[str, ...]) -> tuple[str, str]:
    """The text up to the first stop sequence, and that sequence or nothing."""
    ends = [(text.find(sequence), sequence) for sequence in stop if sequence]
    end, sequence = min((found for found in ends if found[0] >= 0), default=(len(text), ""))
    return text[:end], sequence


def _text(ask: Ask, asked: Behaviour) -> str:
    match asked.kind:
        case "paced":
            return " tick" * asked.first
        case "fixed":
            return " word" * asked.second
        case "json":
            return msgspec.json.encode({"echo": ask.said}).decode()
        case "longline":
            return "x" * (1024 * asked.first)
        case "split":
            return ask.said + " é 漢字 🎉"
        case "blocked":
            return ""
        case "tools" | "thinking" | "redacted" if ask.result is not None:
            return "The tool says: " + ask.result
    return ask.said


def _calls(ask: Ask, asked: Behaviour) -> tuple[str, ...]:
    """The tools to call: in turn from the wanted one on; none after a tool's result."""
    if asked.kind not in TOOL_USERS or not ask.tools or ask.result is not None:
        return ()
    return tuple(islice(cycle(ask.tools), asked.first if asked.kind == "tools" else asked.second or 1))


def _arguments(ask: Ask) -> str:
    return msgspec.json.encode({"text": ask.said}).decode()


def _thoughts(ask: Ask, asked: Behaviour) -> int:
    if not ask.thinks:
        return 0
    return asked.first if asked.kind in THINKERS else THOUGHT_TOKENS


def _thinking(said: str, tokens: int) -> tuple[str, ...]:
    """The tokens of a thought about what was said."""
    return tuple(islice(_musing(said), tokens))


def _musing(said: str) -> Iterator[str]:
    yield "Hmm"
    yield from cycle([*words.pieces(" they say"), *words.pieces(" " + said), *words.pieces(" so let me think.")])


def _cache(prompt: int, asked: Behaviour) -> tuple[int, int]:
    """Tokens read from the cache and written to it."""
    if asked.kind != "cached":
        return 0, 0
    cached = prompt // 2 if asked.first < 0 else min(asked.first, prompt)
    return cached, min(asked.second, prompt - cached)


def _counts(ask: Ask, asked: Behaviour) -> tuple[int, int, int, int, int]:
    """Audio in and out, searches, pictures and the tokens of each."""
    match asked.kind:
        case "audio":
            return asked.first, asked.second, 0, 0, 0
        case "search":
            return 0, 0, asked.first, 0, 0
        case "image" if ask.draws:
            return 0, 0, 0, asked.second, asked.first
    return 0, 0, 0, 0, 0
