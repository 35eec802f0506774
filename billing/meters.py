"""Token classes and what was used of each: disjoint counters, so that no token is priced twice.

Each provider counts in its own way; ``from_…`` turn its words into ``Usage``, ``as_…`` say ``Usage`` in its words.
Details that are null or missing count as zero; counts that are all zero are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

PROMPT_CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "input_image")
COMPLETION_CLASSES = ("output", "reasoning", "output_audio", "output_image")
TOKEN_CLASSES = PROMPT_CLASSES + COMPLETION_CLASSES
SURCHARGES = ("per_request", "per_web_search", "per_image")
COUNTERS = (*TOKEN_CLASSES, "web_searches", "images")
UNIT_PRICES = dict(zip(COUNTERS, (*TOKEN_CLASSES, "per_web_search", "per_image"), strict=True))
"""Which price each counter is multiplied with."""

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
NO_DETAILS: dict[str, object] = {}
OPENAIS_OWN = {
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
}
OPENAIS_READ = {"cached_tokens", "audio_tokens"}
OPENAIS_WRITTEN = {"reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}


Reported = Mapping[str, object]
"""A provider's usage object, as it came."""


def from_openai(usage: Reported, *, context_window: int) -> Usage:
    """OpenAI's ``usage`` of chat and embeddings: prompt_tokens include cached, written, audio and image tokens,
    completion_tokens include reasoning; also as DeepSeek, OpenRouter, xAI and others widen it.

    Raises UsageProblem for negative, non-integer or over-context totals and for parts larger than their total.
    """
    found = usual(usage, context_window)
    if found is not None:
        return found
    if "prompt_tokens" not in usage and _is_of_images(usage):
        return from_openai_images(usage, context_window=context_window)
    prompt = _count(usage.get("prompt_tokens"), "prompt_tokens")
    written = _details(usage.get("completion_tokens_details"))
    reasoning = _part(written, "reasoning_tokens")
    completion = _completion(usage, prompt, reasoning)
    _check_totals(prompt, completion, context_window)
    read = _details(usage.get("prompt_tokens_details"))
    cached = _first((read, "cached_tokens"), (usage, "prompt_cache_hit_tokens"), (usage, "cached_tokens"),
                    (usage, "cache_read_input_tokens"))  # fmt: skip
    if cached + _part(usage, "prompt_cache_miss_tokens") > prompt:
        raise UsageProblem("cache hits and misses are more than the prompt")
    made = _first((read, "cache_write_tokens"), (read, "cache_creation_tokens"), (usage, "cache_creation_input_tokens"))
    five, hour = _split(made, read.get("cache_creation_token_details") or usage.get("cache_creation"))
    searches = _first((_details(usage.get("server_tool_use")), "web_search_requests"), (usage, "num_search_queries"))
    prompt_side = _prompt_classes(
        prompt, (cached, five, hour), audio=_part(read, "audio_tokens"), image=_part(read, "image_tokens")
    )
    return prompt_side._replace(
        web_searches=searches,
        **_completion_classes(
            completion, reasoning, audio=_part(written, "audio_tokens"), image=_part(written, "image_tokens")
        ),
    )


def usual(usage: Reported, context_window: int) -> Usage | None:
    """The classes of a usage that says nothing but what OpenAI's own says, and adds up: every call comes here.

    None for anything else, which ``from_openai`` then reads with more care.
    """
    read, written = (
        usage.get("prompt_tokens_details") or NO_DETAILS,
        usage.get("completion_tokens_details") or NO_DETAILS,
    )
    if type(read) is not dict or type(written) is not dict:
        return None
    if not (usage.keys() <= OPENAIS_OWN and read.keys() <= OPENAIS_READ and written.keys() <= OPENAIS_WRITTEN):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int or usage.get("total_tokens") != prompt + completion:
        return None
    cached, heard = read.get("cached_tokens") or 0, read.get("audio_tokens") or 0
    reasoning, spoken = written.get("reasoning_tokens") or 0, written.get("audio_tokens") or 0
    if type(cached) is not int or type(heard) is not int or type(reasoning) is not int or type(spoken) is not int:
        return None
    text, output = prompt - cached - heard, completion - reasoning - spoken
    if cached < 0 or heard < 0 or reasoning < 0 or spoken < 0 or text < 0 or output < 0 or not prompt + completion:
        return None
    if prompt > context_window or completion > context_window:
        return None
    return Usage(text, cached, 0, 0, heard, 0, output, reasoning, spoken)


def from_openai_images(usage: Reported, *, context_window: int) -> Usage:
    """``usage`` of OpenAI's images: input_tokens of text and images; output_tokens are of images unless it says else.

    Raises UsageProblem as ``from_openai`` does.
    """
    prompt = _count(usage.get("input_tokens"), "input_tokens")
    completion = _part(usage, "output_tokens")
    _check_totals(prompt, completion, context_window)
    read = _details(usage.get("input_tokens_details"))
    written = _details(usage.get("output_tokens_details"))
    text = _part(written, "text_tokens")
    drawn = _part(written, "image_tokens") if written.get("image_tokens") is not None else completion - text
    if drawn < 0:
        raise UsageProblem("parts are larger than the output")
    prompt_side = _prompt_classes(
        prompt, (_part(read, "cached_tokens"), 0, 0), audio=0, image=_part(read, "image_tokens")
    )
    return prompt_side._replace(**_completion_classes(completion, 0, audio=0, image=drawn))


def from_anthropic(usage: Reported, *, context_window: int) -> Usage:
    """Anthropic's ``usage``: input_tokens exclude what was read from a cache and written to one; output_tokens include
    thinking. Raises UsageProblem as ``from_openai`` does.
    """
    fresh, cached = _part(usage, "input_tokens"), _part(usage, "cache_read_input_tokens")
    split = _details(usage.get("cache_creation"))
    of_split = _part(split, "ephemeral_5m_input_tokens") + _part(split, "ephemeral_1h_input_tokens")
    made = _part(usage, "cache_creation_input_tokens")
    five, hour = _split(made or of_split, split)
    completion = _part(usage, "output_tokens")
    _check_totals(fresh + cached + five + hour, completion, context_window)
    written = _details(usage.get("output_tokens_details"))
    thinking = _first((written, "thinking_tokens"), (written, "reasoning_tokens"))
    searches = _part(_details(usage.get("server_tool_use")), "web_search_requests")
    return Usage(
        input=fresh,
        cache_read=cached,
        cache_write_5m=five,
        cache_write_1h=hour,
        web_searches=searches,
        **_completion_classes(completion, thinking, audio=0, image=0),
    )


def from_gemini(usage: Reported, *, context_window: int) -> Usage:
    """Gemini's ``usageMetadata``: promptTokenCount includes what came from a cache, candidatesTokenCount excludes
    thoughts, unless the total says that they are inside. Tokens of tool results are prompt, too.

    Raises UsageProblem as ``from_openai`` does.
    """
    given, tools = _part(usage, "promptTokenCount"), _part(usage, "toolUsePromptTokenCount")
    candidates, thoughts = _part(usage, "candidatesTokenCount"), _part(usage, "thoughtsTokenCount")
    prompt, total = given + tools, _part(usage, "totalTokenCount")
    inside = candidates >= thoughts and candidates > 0 and total in (prompt + candidates, given + candidates)
    completion = candidates if inside else candidates + thoughts
    _check_totals(prompt, completion, context_window)
    cached = _part(usage, "cachedContentTokenCount")
    read, kept, written = (
        _by_modality(usage.get(name))
        for name in ("promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails")
    )
    prompt_side = _prompt_classes(
        prompt,
        (cached, 0, 0),
        audio=max(0, read.get("AUDIO", 0) - kept.get("AUDIO", 0)),
        image=max(0, read.get("IMAGE", 0) - kept.get("IMAGE", 0)),
    )
    return prompt_side._replace(
        **_completion_classes(completion, thoughts, audio=written.get("AUDIO", 0), image=written.get("IMAGE", 0))
    )


def as_openai(usage: Usage) -> dict[str, Any]:
    """The counts in OpenAI's shape: prompt_tokens include cached ones, completion_tokens include reasoning."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    read: dict[str, Any] = {"cached_tokens": usage.cache_read, "audio_tokens": usage.input_audio}
    written: dict[str, Any] = {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.output_audio}
    if usage.input_image:
        read["image_tokens"] = usage.input_image
    if usage.output_image:
        written["image_tokens"] = usage.output_image
    if usage.cache_write_5m or usage.cache_write_1h:
        read["cache_write_tokens"] = usage.cache_write_5m + usage.cache_write_1h
    if usage.cache_write_1h:
        read["cache_creation_token_details"] = _as_split(usage)
    said = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": read,
        "completion_tokens_details": written,
    }
    if usage.web_searches:
        said["server_tool_use"] = {"web_search_requests": usage.web_searches}
    return said


def as_anthropic(usage: Usage) -> dict[str, Any]:
    """The counts in Anthropic's shape: input_tokens exclude both cache classes, output_tokens include thinking."""
    made = usage.cache_write_5m + usage.cache_write_1h
    said: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens - usage.cache_read - made,
        "cache_creation_input_tokens": made,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": _as_split(usage),
        "output_tokens": usage.completion_tokens,
    }
    if usage.web_searches:
        said["server_tool_use"] = {"web_search_requests": usage.web_searches}
    return said


def _as_split(usage: Usage) -> dict[str, int]:
    return {
        "ephemeral_5m_input_tokens": usage.cache_write_5m,
        "ephemeral_1h_input_tokens": usage.cache_write_1h,
    }


def _is_of_images(usage: Reported) -> bool:
    """Images name their parts as no answer in words does, which also says input_tokens."""
    details = _details(usage.get("input_tokens_details"))
    return "image_tokens" in details or "text_tokens" in details


def _completion(usage: Reported, prompt: int, reasoning: int) -> int:
    """All tokens written. Embeddings write none and leave it out; xAI leaves reasoning out, as its total shows."""
    total = usage.get("total_tokens")
    if usage.get("completion_tokens") is None and total is not None:
        return _count(_count(total, "total_tokens") - prompt, "completion_tokens")
    completion = _count(usage.get("completion_tokens"), "completion_tokens")
    return completion + reasoning if reasoning and total == prompt + completion + reasoning else completion


def _check_totals(prompt: int, completion: int, context_window: int) -> None:
    if prompt + completion == 0:
        raise UsageProblem("all counts are zero")
    if prompt > context_window or completion > context_window:
        raise UsageProblem(f"{prompt} + {completion} tokens do not fit the context window")


def _prompt_classes(prompt: int, cache: tuple[int, int, int], *, audio: int, image: int) -> Usage:
    """The prompt in its classes. What a cache held may have been audio or images, too: it stays with the cache."""
    left = prompt - sum(cache)
    if left < 0 or audio + image > prompt:
        raise UsageProblem("details are larger than their total")
    audio = min(audio, left)
    image = min(image, left - audio)
    return Usage(left - audio - image, *cache, audio, image)


def _completion_classes(completion: int, reasoning: int, *, audio: int, image: int) -> dict[str, int]:
    output = completion - reasoning - audio - image
    if output < 0:
        raise UsageProblem("details are larger than their total")
    return {"output": output, "reasoning": reasoning, "output_audio": audio, "output_image": image}


def _split(made: int, details: object) -> tuple[int, int]:
    """Tokens written to a cache by how long they stay: five minutes unless it says an hour."""
    hour = _part(_details(details), "ephemeral_1h_input_tokens")
    if hour + _part(_details(details), "ephemeral_5m_input_tokens") > made:
        raise UsageProblem("details are larger than their total")
    return made - hour, hour


def _by_modality(details: object) -> dict[str, int]:
    """Gemini's list of ``{modality, tokenCount}``."""
    found: dict[str, int] = {}
    for entry in details if isinstance(details, list) else ():
        row = _details(entry)
        modality = row.get("modality")
        if isinstance(modality, str):
            found[modality] = found.get(modality, 0) + _part(row, "tokenCount")
    return found


def _first(*places: tuple[Reported, str]) -> int:
    """The first count that is there: providers say the same under several names, and a sum would count it twice."""
    for details, name in places:
        if details.get(name) is not None:
            return _part(details, name)
    return 0


def _part(details: Reported, name: str) -> int:
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
