"""Which characters the fonts of a document can draw.

PDF/A forbids the empty boxes that stand for the others (ISO 19005-3, 6.2.11.8), and typst makes none: what cannot be
drawn is replaced by a mark, and the document says so.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache

import typst
from django.conf import settings

MARK = "□"
UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ud800-\udfff"
    r"\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Control characters, and those that join, vary or turn the reading direction of what follows."""

LONG_WORD = re.compile(r"(\S{24})(?=\S)")
DOUBTFUL = re.compile(r"[^\n\t -~\u00a0-\u017f]")
"""ASCII, Latin-1 and Latin Extended-A are in the fonts that come with typst."""

TEXT_FONT = "Libertinus Serif"
PROBE = b"""#let it = json(bytes(sys.inputs.probe))
#set document(title: "-")
#set text(font: it.fonts)
#text(it.text)"""


@cache
def fonts() -> typst.Fonts:
    """Those in typst's wheel and the operator's own; those of the machine would make its PDFs differ from others'."""
    own = [settings.FONTS] if settings.FONTS else []
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=own)


@cache
def families() -> tuple[str, ...]:
    """Where to look for a glyph, one after the other: the document's font, then the operator's."""
    embedded = set(typst.Fonts(include_system_fonts=False, include_embedded_fonts=True).families())
    return TEXT_FONT, *(name for name in fonts().families() if name not in embedded)


def shown(text: str) -> str:
    """User text for the page: nothing unseen, a mark for what cannot be drawn, places to break in long words."""
    seen = UNSEEN.sub("", text.replace("\r\n", "\n"))
    drawn = DOUBTFUL.sub(lambda found: found[0] if drawable(found[0]) else MARK, seen)
    return LONG_WORD.sub("\\1\u200b", drawn)


def whole(text: str) -> bool:
    """Whether every visible character of a text can be drawn."""
    return all(drawable(character) for character in set(DOUBTFUL.findall(UNSEEN.sub("", text))))


@lru_cache(maxsize=8192)
def drawable(character: str) -> bool:
    """Whether a font has a glyph for it, as typst finds when it sets that alone."""
    probe = json.dumps({"fonts": families(), "text": character})
    try:
        typst.Compiler(PROBE, font_paths=fonts(), ignore_system_fonts=True).compile(
            format="pdf", sys_inputs={"probe": probe}, pdf_standards="a-3b", timestamp=0
        )
    except typst.TypstError:
        return False
    return True
