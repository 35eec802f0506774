"""Finding a section of the guide by words."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from proxy import reference
from proxy.error_table import ERRORS
from proxy.guide import contents, pages

WORD = re.compile(r"[a-z0-9_]+")
MOST_FOUND = 20
MOST_WORDS = 8
AROUND = 90
"""Characters of text shown on each side of the first word found."""


class Passage(NamedTuple):
    """A section as it is searched: where it is, its words in small letters."""

    address: str
    page: str
    heading: str
    text: str
    words: frozenset[str]
    title_words: frozenset[str]


class Found(NamedTuple):
    """One result: the page, the section, and some of its text."""

    address: str
    page: str
    heading: str
    excerpt: str


def find(question: str) -> list[Found]:
    """Sections that have every word, or a word that begins so; those that have it in a heading first."""
    asked = WORD.findall(question.lower())[:MOST_WORDS]
    if not asked:
        return []
    scored = [(_score(passage, asked), passage) for passage in _passages()]
    best = sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])[:MOST_FOUND]
    return [Found(one.address, one.page, one.heading, _excerpt(one.text, asked)) for _score_, one in best]


@cache
def _passages() -> list[Passage]:
    passages = []
    for slug, entry in contents.WRITTEN.items():
        passages += [
            _passage(f"/docs/{slug}" + (f"#{section.anchor}" if section.anchor else ""), entry.title, section.heading,
                     section.text)
            for section in pages.source_of(slug).sections
        ]  # fmt: skip
    title = contents.REFERENCE.title
    passages += [_passage(f"/docs/api#{row.name}", title, row.name, row.meaning) for row in reference.rows()]
    passages += [
        _passage("/docs/errors", "Error codes", error.code, f"{error.status} {error.when} {error.remedy}")
        for error in ERRORS
        if error.code
    ]
    return passages


def _passage(address: str, page: str, heading: str, text: str) -> Passage:
    title = frozenset(WORD.findall(f"{page} {heading}".lower()))
    return Passage(address, page, heading, text, frozenset(WORD.findall(text.lower())) | title, title)


def _score(passage: Passage, asked: list[str]) -> int:
    """0 if a word is missing; whole words and words of headings count more."""
    worths = [_worth(passage, word) for word in asked]
    return sum(worths) if all(worths) else 0


def _worth(passage: Passage, word: str) -> int:
    places = ((passage.title_words, 12, 8), (passage.words, 3, 1))
    for known, whole, begun in places:
        if word in known:
            return whole
        if any(one.startswith(word) for one in known):
            return begun
    return 0


def _excerpt(text: str, asked: list[str]) -> str:
    low = text.lower()
    places = [place for word in asked if (place := low.find(word)) >= 0]
    start = max(0, min(places, default=0) - AROUND)
    start = text.find(" ", start) + 1 if start else 0
    cut = text[start : start + 2 * AROUND].strip()
    return f"{'… ' if start else ''}{cut}{' …' if start + 2 * AROUND < len(text) else ''}"
