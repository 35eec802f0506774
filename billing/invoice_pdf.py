"""An invoice as an A4 PDF/A-3b with its Factur-X inside, typeset by typst from billing/invoice.typ; no network.

A finalised invoice is drawn from its snapshot and lines alone, so the same invoice gives the same bytes for ever.
"""

from __future__ import annotations

import json
from pathlib import Path

import typst

from billing.documents import electronic, page, reading, xmp
from billing.documents.factur_x import FILE_NAME
from billing.documents.glyphs import fonts
from billing.models import Invoice

TEMPLATE = Path(__file__).with_name("invoice.typ")


def render(invoice: Invoice) -> bytes:
    """The PDF of an invoice; one that is a draft says so on every page, and carries no electronic invoice.

    Nor does one that could not be a valid one, because the seller's or buyer's country is not known.
    """
    read = reading.of(invoice)
    xml = None if read.draft else electronic.hybrid(read)
    content = {**page.content_of(read), "attachment": xml.decode() if xml else "", "attachment_name": FILE_NAME}
    compiler = typst.Compiler(TEMPLATE.read_bytes(), font_paths=fonts(), ignore_system_fonts=True)
    made_at = invoice.finalised_at or invoice.created_at
    pdf = compiler.compile(
        format="pdf",
        sys_inputs={"invoice": json.dumps(content, ensure_ascii=False)},
        pdf_standards="a-3b",
        timestamp=int(made_at.timestamp()),
    )
    if not isinstance(pdf, bytes):
        raise TypeError("typst returned pages instead of one document")
    return xmp.announce(pdf, file_name=FILE_NAME) if xml else pdf
