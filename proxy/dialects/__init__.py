"""The wire formats of upstreams, by operation and name: one pure file each."""

from __future__ import annotations

from proxy.dialects.anthropic import Anthropic
from proxy.dialects.anthropic_native import AnthropicNative
from proxy.dialects.embeddings import GeminiEmbeddings, OpenAIEmbeddings
from proxy.dialects.gemini import Gemini
from proxy.dialects.images import GeminiImages, OpenAIImages
from proxy.dialects.openai import OpenAI
from proxy.dialects.openai_thinking import OpenAIThinking
from proxy.dialects.shape import Dialect
from proxy.rules import THINKING

DIALECTS: dict[tuple[str, str], Dialect] = {
    ("chat", "openai"): OpenAI(),
    ("chat", THINKING): OpenAIThinking(),
    ("chat", "anthropic"): Anthropic(),
    ("messages", "anthropic"): AnthropicNative(),
    ("chat", "gemini"): Gemini(),
    ("embeddings", "openai"): OpenAIEmbeddings(),
    ("embeddings", "gemini"): GeminiEmbeddings(),
    ("images", "openai"): OpenAIImages(),
    ("images", "gemini"): GeminiImages(),
    ("embeddings", THINKING): OpenAIEmbeddings(),
    ("images", THINKING): OpenAIImages(),
}

NAMES = frozenset(name for _, name in DIALECTS) - {THINKING}
"""What an upstream can be said to speak."""


def find(operation: str, name: str) -> Dialect | None:
    """The dialect of an upstream for an operation; what only some speak natively is chat to the others."""
    found = DIALECTS.get((operation, name))
    if found is None and operation in ("messages", "responses"):
        found = DIALECTS.get(("chat", name))
    return found
