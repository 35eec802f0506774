"""Elements of namespaces, written tersely: Factur-X and UBL are both trees of many small texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import cast

from lxml import etree

from billing.documents.paper import NO_RATE, Paper, Tax
from billing.money import format_minor

EXEMPT = {
    "AE": ("VATEX-EU-AE", "Reverse charge"),
    "E": ("", "Exempt from VAT"),
    "G": ("VATEX-EU-G", "Export outside the EU"),
    "K": ("VATEX-EU-IC", "Intra-community supply"),
    "O": ("VATEX-EU-O", "Not subject to VAT"),
}
"""Why no VAT is charged, by category, as a code of the CEF list and in words (BT-121, BT-120)."""

PIECE = "C62"
"""UN/ECE recommendation 20: one. Tokens, requests, searches and images have no unit of their own."""

UNPRINTABLE = {code: None for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: None, 0xFFFF: None, 0x7F: None}


@dataclass(frozen=True, slots=True)
class Node:
    """An element that others are put into, by prefixed name."""

    element: etree._Element
    namespaces: Mapping[str, str]

    def add(self, name: str, text: str | None = None, /, **attributes: str) -> Node:
        """A new last child, such as ``add("ram:ID", "7", schemeID="VA")``."""
        child = etree.SubElement(self.element, self._tag(name))
        if text is not None:
            child.text = text.translate(UNPRINTABLE)
        for key, value in attributes.items():
            child.set(key, value)
        return Node(child, self.namespaces)

    def add_if(self, name: str, text: str, /, **attributes: str) -> None:
        """A new last child unless its text is empty: EN 16931 allows no empty elements."""
        if text:
            self.add(name, text, **attributes)

    def _tag(self, name: str) -> str:
        prefix, _colon, local = name.partition(":")
        return f"{{{self.namespaces[prefix]}}}{local}"


def root(name: str, namespaces: Mapping[str, str], *, default: str = "") -> Node:
    """The outermost element; ``default`` is the prefix whose namespace is written without one."""
    prefix, _colon, local = name.partition(":")
    shown = {None if key == default else key: uri for key, uri in namespaces.items()}
    nsmap = cast("dict[str, str]", shown)  # None is the namespace without a prefix, which the stubs do not know
    return Node(etree.Element(f"{{{namespaces[prefix]}}}{local}", nsmap=nsmap), namespaces)


def written(node: Node) -> bytes:
    """The document as UTF-8 text, the same bytes for the same tree."""
    return etree.tostring(node.element, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def money(paper: Paper, minor: int) -> str:
    """An amount in the document's currency."""
    return format_minor(minor, paper.currency)


def rate_of(tax: Tax) -> str:
    """The rate in per cent, empty where there must be none."""
    return "" if tax.category == NO_RATE else tax.rate


def day(value: date) -> str:
    """ISO 8601."""
    return value.isoformat()
