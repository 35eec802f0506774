"""What Anthropic and Gemini answer to the walk's call: 20 tokens at once, or 100 chunks and their usage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

TEXT, PIECE = " word" * 20, " tick"


def answers(whole: bytes, chunks: list[bytes]) -> dict[str, tuple[bytes, list[bytes]]]:
    """Dialect → a whole answer and the chunks of a stream; OpenAI's are the sandbox's own."""
    return {
        "openai": (whole, chunks),
        "anthropic": (orjson.dumps(_message()), [_named(event) for event in _events()]),
        "gemini": (orjson.dumps(_candidate(TEXT, 20)), [_data(chunk) for chunk in _chunks()]),
    }


def _message() -> dict[str, Any]:
    usage = {"input_tokens": 40, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 20}
    content = [{"type": "text", "text": TEXT}]
    ended = {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    return {"id": "msg_01", "type": "message", "role": "assistant", "model": "theirs", "content": content, **ended}


def _events() -> Iterator[dict[str, Any]]:
    started = {**_message(), "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": started}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for _ in range(100):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": PIECE}}
    yield {"type": "content_block_stop", "index": 0}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 100}}
    yield {"type": "message_stop"}


def _candidate(text: str, written: int, reason: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 40, "candidatesTokenCount": written, "totalTokenCount": 40 + written}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "theirs", "responseId": "r"}


def _chunks() -> Iterator[dict[str, Any]]:
    for number in range(1, 101):
        yield _candidate(PIECE, number, "STOP" if number == 100 else None)


def _named(event: dict[str, Any]) -> bytes:
    return b"event: %s\n" % event["type"].encode() + _data(event)


def _data(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
