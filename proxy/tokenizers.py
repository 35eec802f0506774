"""Tokenizers whose vocabulary is in an installed package, nothing downloaded: counting the tokens of a text.

They are an extra of the installation (``tokenizers``): without it, or for models of other vocabularies, tokens are
estimated by what was learned of the model (proxy/factors.py).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from functools import cache

logger = logging.getLogger(__name__)

Count = Callable[[str], int]

NAMES = ("o200k_base", "cl100k_base")
FAMILIES = (
    ("gpt-4o", "o200k_base"),
    ("gpt-4.1", "o200k_base"),
    ("gpt-4.5", "o200k_base"),
    ("gpt-5", "o200k_base"),
    ("gpt-oss", "o200k_base"),
    ("chatgpt-4o", "o200k_base"),
    ("o1", "o200k_base"),
    ("o3", "o200k_base"),
    ("o4", "o200k_base"),
    ("gpt-4", "cl100k_base"),
    ("gpt-3.5", "cl100k_base"),
    ("text-embedding-3", "cl100k_base"),
    ("text-embedding-ada-002", "cl100k_base"),
)
"""How names of OpenAI's models begin, the longer beginnings first, and the vocabulary each family counts in."""

SAMPLE = 128 * 1024
"""Characters that are counted of one request at most; a longer text is counted in part, and the rest by proportion."""


def guess(model: str) -> str:
    """The vocabulary of a model by its name, without provider; empty for families that none is known of."""
    bare = model.rsplit("/", 1)[-1].lower()
    return next((name for start, name in FAMILIES if _begins(bare, start)), "")


def _begins(name: str, start: str) -> bool:
    """``o1-mini`` begins with ``o1``; ``o100`` does not."""
    return name.startswith(start) and not name[len(start) : len(start) + 1].isdigit()


@cache
def find(name: str) -> Count | None:
    """What counts in a vocabulary, special tokens as the text they are; None where it is unknown or not installed.

    Loading one takes about 50 ms and 40 MB, when the first text is counted.
    """
    if name not in NAMES:
        return None
    try:
        package = importlib.import_module("bpe_openai")
    except ImportError:
        logger.info("no tokenizer is installed: tokens of %s are estimated by bytes", name)
        return None
    encode = package.get_encoding(name).encode_ordinary
    return lambda text: len(encode(text))


def counted(texts: list[str], count: Count) -> int:
    """Tokens of texts; of the first SAMPLE characters, and for more in proportion."""
    whole, room, seen = 0, SAMPLE, 0
    for text in texts:
        whole += len(text)
    for text in texts:
        if room <= 0:
            break
        seen += count(text[:room])
        room -= len(text)
    return seen if whole <= SAMPLE else seen * whole // SAMPLE
