"""Says in a PDF's metadata that it carries a Factur-X invoice: typst attaches files, and has no words for that.

The new metadata are appended as an incremental update (ISO 32000-1, 7.5.6), so that not a byte of the PDF/A before it
changes, and the same document gives the same bytes.
"""

from __future__ import annotations

import re

NAMESPACE = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
PROPERTIES = {
    "DocumentFileName": "The name of the embedded XML document",
    "DocumentType": "The type of the hybrid document in capital letters, e.g. INVOICE or ORDER",
    "Version": "The actual version of the standard applying to the embedded XML document",
    "ConformanceLevel": "The conformance level of the embedded XML document",
}
METADATA = re.compile(rb"/Type/Catalog\b[^\n]*?/Metadata (\d+) 0 R")
TRAILER = re.compile(rb"\ntrailer\s*<<(.*?)>>\s*startxref\s+(\d+)\s+%%EOF\s*\Z", re.DOTALL)
SCHEMAS, END = b"<pdfaExtension:schemas><rdf:Bag>", b"</rdf:RDF>"


class UnknownLayout(Exception):
    """A PDF that is not laid out as typst does: another version of it needs another look here."""


def announce(pdf: bytes, *, file_name: str, level: str = "EN 16931") -> bytes:
    """The PDF with metadata that name the embedded invoice, and describe those names as PDF/A asks (6.6.2.3).

    Raises UnknownLayout if the metadata are not where they are expected.
    """
    number, trailer, start = _places(pdf)
    values = {"DocumentFileName": file_name, "DocumentType": "INVOICE", "Version": "1.0", "ConformanceLevel": level}
    packet = _packet(pdf, number)
    if packet.count(SCHEMAS) != 1 or packet.count(END) != 1:
        raise UnknownLayout("the metadata have no list of schemas")
    told = packet.replace(SCHEMAS, SCHEMAS + _schema()).replace(END, _description(values) + END)
    head = b"%d 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n" % (number, len(told))
    update = head + told + b"\nendstream\nendobj\n"
    table = b"xref\n0 1\n0000000000 65535 f \n%d 1\n%010d 00000 n \n" % (number, len(pdf) + 1)
    end = b"trailer\n<<%b/Prev %d>>\nstartxref\n%d\n%%%%EOF\n" % (trailer, start, len(pdf) + 1 + len(update))
    return pdf + b"\n" + update + table + end


def _places(pdf: bytes) -> tuple[int, bytes, int]:
    """The number of the metadata's object, what the trailer says, and where its table of objects starts."""
    catalogs, trailer = METADATA.findall(pdf), TRAILER.search(pdf)
    if len(catalogs) != 1 or trailer is None:
        raise UnknownLayout("there is no one catalog with metadata, or no trailer")
    return int(catalogs[0]), trailer[1].strip(), int(trailer[2])


def _packet(pdf: bytes, number: int) -> bytes:
    found = re.search(rb"\n%d 0 obj\n<</Length (\d+)/Type/Metadata/Subtype/XML>>\nstream\n" % number, pdf)
    if found is None:
        raise UnknownLayout("the metadata are not plain XML")
    return pdf[found.end() : found.end() + int(found[1])]


def _schema() -> bytes:
    described = "".join(
        '<rdf:li rdf:parseType="Resource"><pdfaProperty:category>external</pdfaProperty:category>'
        f"<pdfaProperty:description>{words}</pdfaProperty:description><pdfaProperty:name>{name}</pdfaProperty:name>"
        "<pdfaProperty:valueType>Text</pdfaProperty:valueType></rdf:li>"
        for name, words in PROPERTIES.items()
    )
    return (
        '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{described}</rdf:Seq></pdfaSchema:property></rdf:li>"
    ).encode()


def _description(values: dict[str, str]) -> bytes:
    said = "".join(f"<fx:{name}>{values[name]}</fx:{name}>" for name in PROPERTIES)
    return f'<rdf:Description rdf:about="" xmlns:fx="{NAMESPACE}">{said}</rdf:Description>'.encode()
