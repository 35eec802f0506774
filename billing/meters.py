"""Token classes and what was used of each: disjoint counters, so that no token is priced twice."""

from __future__ import annotations

from typing import NamedTuple

PROMPT_CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "input_image")
COMPLETION_CLASSES = ("output", "reasoning", "output_audio", "output_image")
TOKEN_CLASSES = PROMPT_CLASSES + COMPLETION_CLASSES
SURCHARGES = ("per_request", "per_web_search", "per_image")
COUNTERS = (*TOKEN_CLASSES, "web_searches", "images")

PARENT_CLASS = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "input_audio": "input",
    "input_image": "input",
    "reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}
"""Where a class without a price of its own takes one from; never zero."""

MOST_TOKENS = 2**31 - 1


class UsageProblem(Exception):
    """Counts that cannot be true: negative, absurd, or parts larger than their whole."""


class Usage(NamedTuple):
    """What one request used, in tokens by class (disjoint) and in counted surcharges; the order is ``COUNTERS``."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    web_searches: int = 0
    images: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens read, cached or not: OpenAI's ``prompt_tokens``."""
        return sum(self[:6])

    @property
    def completion_tokens(self) -> int:
        """All tokens written, reasoning included: OpenAI's ``completion_tokens``."""
        return sum(self[6:10])


NOTHING = Usage()


def from_openai(usage: dict[str, object], *, context_window: int) -> Usage:
    """OpenAI's ``usage`` object: prompt_tokens includes cached and audio, completion_tokens includes reasoning.

    Details that are null or missing count as zero; raises UsageProblem for negative, non-integer or over-context
    totals and for details larger than their total.
    """
    prompt = _count(usage.get("prompt_tokens"), "prompt_tokens")
    completion = _count(usage.get("completion_tokens"), "completion_tokens")
    if prompt + completion == 0:
        raise UsageProblem("all counts are zero")
    if prompt > context_window or completion > context_window:
        raise UsageProblem(f"{prompt} + {completion} tokens do not fit the context window")
    read = _details(usage.get("prompt_tokens_details"))
    written = _details(usage.get("completion_tokens_details"))
    cached = _part(read, "cached_tokens")
    audio_in = _part(read, "audio_tokens")
    reasoning = _part(written, "reasoning_tokens")
    audio_out = _part(written, "audio_tokens")
    if cached + audio_in > prompt or reasoning + audio_out > completion:
        raise UsageProblem("details are larger than their total")
    return Usage(
        input=prompt - cached - audio_in,
        cache_read=cached,
        input_audio=audio_in,
        output=completion - reasoning - audio_out,
        reasoning=reasoning,
        output_audio=audio_out,
    )


def _part(details: dict[str, object], name: str) -> int:
    """One of the details: null or missing is none of it."""
    value = details.get(name)
    return _count(value, name) if value else 0


def _count(value: object, name: str) -> int:
    """A token count: a whole number from 0 to 2³¹−1; integral floats are taken as whole numbers."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise UsageProblem(f"{name} is not a token count")
    return value


def _details(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
