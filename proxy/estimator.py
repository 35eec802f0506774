"""Likely tokens where nobody counted them: by a tokenizer on the text, else by what was learned of the model. Pure.

An upstream's own count is always preferred; nothing here runs for a call that has one, but for a multiplication.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from proxy import tokenizers
from proxy.chat import ChatRequest
from proxy.dialects.shape import OPENAI, Answer, AnswerStream
from proxy.directory import ModelEntry
from proxy.factors import USUAL, tokens

PER_PROMPT, PER_MESSAGE = 3, 3
"""Tokens of the frame that OpenAI's chat models put around a prompt, and around each message of it."""


def prompt_tokens(chat: ChatRequest, entry: ModelEntry) -> int:
    """Likely prompt tokens, at most what fits: all of the text is read where the vocabulary is known."""
    count = tokenizers.find(entry.tokenizer) if entry.tokenizer else None
    if count is None:
        likely = chat.input_estimate(entry.factors.input)
    else:
        likely = _framing(chat) + chat.attachments() + tokenizers.counted(list(_texts(chat)), count)
    return min(likely, chat.input_bound(entry.context_window))


def answer_tokens(chat: ChatRequest, entry: ModelEntry, answer: Answer, limit: int) -> int:
    """Likely output tokens of a whole answer, at most ``limit`` for each choice."""
    if chat.operation == "embeddings":
        return 0
    count = None
    if answer.usage is None and entry.tokenizer and answer.speaks == OPENAI:
        count = tokenizers.find(entry.tokenizer)
    if count is None:
        likely = tokens(answer.text_size, entry.factors.output)
    else:
        likely = tokenizers.counted(list(_said(answer.body)), count)
    if chat.operation != "images":
        likely = min(likely, limit * chat.choices)
    return max(1, likely)


def unread_tokens(chat: ChatRequest, answer: Answer, limit: int) -> int:
    """Likely output tokens of a whole answer by its size alone, at most ``limit`` for each choice."""
    if chat.operation == "embeddings":
        return 0
    likely = answer.text_size // 4
    return max(1, likely if chat.operation == "images" else min(likely, limit * chat.choices))


def delivered(translator: AnswerStream, factor: int, most: int) -> int:
    """Likely output tokens of a stream so far, by bytes per 1,000 tokens if that was learned; at most ``most``.

    An upstream that says more than it may, and does not count it, is not believed: what is held covers the limit.
    """
    size = 0 if factor == USUAL else translator.said()
    return min(most, tokens(size, factor) if size else translator.delivered())


def _framing(chat: ChatRequest) -> int:
    """Tokens that are no text of the request."""
    if chat.operation in ("embeddings", "images"):
        given = chat.body.get("input")
        lists = [given] if type(given) is list and given and type(given[0]) is int else given
        return sum(len(one) for one in lists if type(one) is list) if type(lists) is list else 0
    return PER_PROMPT + PER_MESSAGE * len(chat.body["messages"])


def _texts(chat: ChatRequest) -> Iterator[str]:
    """What is read of a request: messages with their calls, tools, a schema; or what is to be embedded or drawn."""
    if chat.operation in ("embeddings", "images"):
        given = chat.body.get("input", chat.body.get("prompt"))
        yield from (text for text in (given if type(given) is list else [given]) if type(text) is str)
        return
    for message in chat.body["messages"]:
        yield message["role"]
        yield from _spoken(message)
    for name in ("tools", "functions", "response_format"):
        if name in chat.body:
            yield orjson.dumps(chat.body[name]).decode()


def _said(body: dict[str, Any]) -> Iterator[str]:
    """What an answer says."""
    for choice in body.get("choices") or ():
        yield from _spoken(choice["message"])


def _spoken(message: dict[str, Any]) -> Iterator[str]:
    """The texts of a message: its words, what it thought, the names and arguments of its calls."""
    for name in ("name", "content", "refusal", "reasoning_content"):
        said = message.get(name)
        if type(said) is str:
            yield said
        elif type(said) is list:
            yield from (part["text"] for part in said if type(part) is dict and type(part.get("text")) is str)
    for call in message.get("tool_calls") or ():
        function = call.get("function") if type(call) is dict else None
        if type(function) is dict:
            yield from (text for text in (function.get("name"), function.get("arguments")) if type(text) is str)
