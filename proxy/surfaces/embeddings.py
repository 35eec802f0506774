"""``/v1/embeddings``: a body as a request. Pure."""

from __future__ import annotations

from typing import Any

from proxy import chat, parameters
from proxy.chat import ChatRequest
from proxy.operation_parameters import EMBEDDINGS_CHECKS
from proxy.parameters import bad, wrong_type

MOST_INPUTS = 2048
MOST_TOKENS = 1_000_000


def parse(raw: bytes) -> ChatRequest:
    """Bytes → request with one choice for each input and no output; raises BadRequest naming the parameter."""
    body = parameters.check(chat.decode(raw), EMBEDDINGS_CHECKS, ("model", "input"))
    return ChatRequest(
        model=body["model"],
        body=body,
        stream=False,
        include_usage=False,
        choices=count(body["input"]),
        output_limit=0,
        linked_images=0,
        size=len(raw),
        operation="embeddings",
    )


def count(given: Any) -> int:
    """How many inputs there are; raises BadRequest for what is none, or empty."""
    if type(given) is str:
        _check_text(given, "input")
        return 1
    if type(given) is not list:
        raise wrong_type("input", "a string or an array", given)
    if not given:
        raise bad("Invalid 'input': empty array.", "empty_array", "input")
    if type(given[0]) is int:
        _check_tokens(given, "input")
        return 1
    if len(given) > MOST_INPUTS:
        message = f"Invalid 'input': array too long. Expected at most {MOST_INPUTS}, but got {len(given)} instead."
        raise bad(message, "array_above_max_length", "input")
    wanted = type(given[0])
    if wanted is list and sum(len(one) for one in given if type(one) is list) > MOST_TOKENS:
        raise bad(f"Invalid 'input': more than {MOST_TOKENS} tokens.", "array_above_max_length", "input")
    for index, one in enumerate(given):
        path = f"input[{index}]"
        if type(one) is not wanted or wanted not in (str, list):
            raise wrong_type(path, "an array of tokens" if wanted is list else "a string", one)
        _check_tokens(one, path) if wanted is list else _check_text(one, path)
    return len(given)


def _check_text(text: str, path: str) -> None:
    if not text:
        raise bad(f"Invalid '{path}': empty string.", "string_below_min_length", path)


def _check_tokens(tokens: list[Any], path: str) -> None:
    if not tokens:
        raise bad(f"Invalid '{path}': empty array.", "empty_array", path)
    if len(tokens) > MOST_TOKENS:
        raise bad(f"Invalid '{path}': more than {MOST_TOKENS} tokens.", "array_above_max_length", path)
    for index, token in enumerate(tokens):
        if type(token) is not int or token < 0:
            raise wrong_type(f"{path}[{index}]", "a token's number", token)
