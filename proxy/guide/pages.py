"""Markdown of docs/guide as HTML: anchors, tables that scroll, coloured code with tabs, filled in for its reader."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from proxy.guide import contents
from proxy.guide.reader import Reader

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "guide"
CHANGED = FOLDER / "changed.json"
"""When the text of each page last changed, with the hash of that text: made by ``manage.py date_guide``."""
LANGUAGES = {"sh": "curl", "python": "Python", "js": "Node", "json": "JSON", "toml": "TOML", "yaml": "YAML"}
LINK = re.compile(r"\A([a-z-]+)\.md(#.*)?\Z")


class Heading(NamedTuple):
    """A heading on a page: 2 or 3 deep."""

    depth: int
    anchor: str
    text: str


class Section(NamedTuple):
    """What stands under a heading, as plain text; the first one has no anchor."""

    anchor: str
    heading: str
    text: str


class Source(NamedTuple):
    """A page's parsed Markdown without its title."""

    title: str
    tokens: tuple[Token, ...]
    headings: tuple[Heading, ...]
    sections: tuple[Section, ...]
    names_model: bool


@cache
def source_of(slug: str) -> Source:
    """The page of this name; FileNotFoundError if there is none."""
    text = (FOLDER / f"{slug}.md").read_text(encoding="utf-8")
    tokens = _markdown().parse(text)
    title = _plain(tokens[1])
    tokens = tokens[3:]
    for token in tokens:
        if token.attrs.pop("style", None) == "text-align:right":  # pages allow no style of their own
            token.attrs["class"] = "right"
    return Source(title, tuple(tokens), tuple(_anchored(tokens)), tuple(_sections(tokens)), "sandbox/" in text)


@cache
def changed() -> dict[str, dict[str, str]]:
    """By page: the hash of its text, and the day it became that."""
    return dict(json.loads(CHANGED.read_text(encoding="utf-8")))


def dated(noted: dict[str, dict[str, str]], today: str) -> dict[str, dict[str, str]]:
    """What ``changed`` should say: a page keeps its day while its text has the noted hash."""
    days = {}
    for slug in contents.WRITTEN:
        digest = hashlib.sha256((FOLDER / f"{slug}.md").read_bytes()).hexdigest()[:16]
        before = noted.get(slug, {})
        days[slug] = before if before.get("hash") == digest else {"hash": digest, "on": today}
    return days


@lru_cache(maxsize=512)
def html_of(slug: str, reader: Reader) -> str:
    """The page's HTML below its title. Safe: Markdown's own HTML is off, everything else is escaped."""
    markdown = _markdown()
    parts: list[str] = []
    tokens = list(source_of(slug).tokens)
    place = 0
    while place < len(tokens):
        run = _fences_at(tokens, place)
        if run:
            parts.append(_code(run, reader, number=place))
            place += len(run)
            continue
        end = next((at for at in range(place, len(tokens)) if tokens[at].type == "fence"), len(tokens))
        parts.append(markdown.renderer.render(tokens[place:end], markdown.options, {}))
        place = end
    return "".join(parts)


def _fences_at(tokens: Sequence[Token], place: int) -> list[Token]:
    """Blocks of code that stand directly beneath one another: the same thing in several languages."""
    run: list[Token] = []
    while place + len(run) < len(tokens) and tokens[place + len(run)].type == "fence":
        run.append(tokens[place + len(run)])
    return run


def _code(fences: list[Token], reader: Reader, number: int) -> str:
    panels = [_panel(fence, reader, f"code-{number}-{at}") for at, fence in enumerate(fences)]
    if len(fences) == 1:
        return panels[0]
    tabs = "".join(
        f'<input type="radio" name="code-{number}" id="tab-{number}-{at}"{" checked" if not at else ""}>'
        f'<label for="tab-{number}-{at}">{escape(LANGUAGES.get(fence.info, fence.info))}</label>'
        for at, fence in enumerate(fences)
    )
    shown = "".join(f'<div class="panel">{panel}</div>' for panel in panels)
    return f'<div class="snippets">{tabs}{shown}</div>'


def _panel(fence: Token, reader: Reader, anchor: str) -> str:
    text = reader.fill(fence.content.rstrip("\n"))
    label = escape(LANGUAGES.get(fence.info, fence.info) or "Example")
    return (
        f'<div class="code"><pre id="{anchor}" tabindex="0" role="region" aria-label="{label}">'
        f"{_coloured(text, fence.info)}</pre>"
        f'<button class="button quiet small" type="button" data-copy="{anchor}" aria-live="polite">Copy</button></div>'
    )


def _coloured(text: str, language: str) -> str:
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        return escape(text)
    return str(highlight(text, lexer, HtmlFormatter(nowrap=True))).rstrip("\n")


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", _table_open)
    markdown.add_render_rule("table_close", lambda *_parts: "</table></div>\n")
    markdown.add_render_rule("link_open", _link_open)
    return markdown


def _table_open(*_parts: object) -> str:
    return '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n'


def _link_open(_renderer: object, tokens: Sequence[Token], place: int, _options: object, _env: object) -> str:
    """Pages of the guide link to one another by file, so that they can be read in the repository, too."""
    address = str(tokens[place].attrs.get("href", ""))
    found = LINK.match(address)
    if found:
        address = f"/docs/{found[1]}{found[2] or ''}"
    return f'<a href="{escape(address)}">'


def _anchored(tokens: list[Token]) -> list[Heading]:
    """Give each heading an anchor of its own; returns them."""
    headings: list[Heading] = []
    taken: set[str] = set()
    for token, inline in pairwise(tokens):
        if token.type != "heading_open":
            continue
        text = _plain(inline)
        anchor = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
        while anchor in taken:
            anchor += "-"
        taken.add(anchor)
        token.attrSet("id", anchor)
        headings.append(Heading(int(token.tag[1]), anchor, text))
    return headings


def _sections(tokens: list[Token]) -> list[Section]:
    sections = [Section("", "", "")]
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.type == "heading_open":
            sections.append(Section(str(before.attrs["id"]), _plain(token), ""))
        elif token.type in ("inline", "fence"):
            last = sections[-1]
            text = _plain(token) if token.type == "inline" else token.content
            sections[-1] = last._replace(text=f"{last.text} {text}".strip())
    return sections


def _plain(token: Token) -> str:
    """An inline token's text without marks."""
    return "".join(child.content or " " for child in token.children or []).strip() or token.content
