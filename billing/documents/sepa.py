"""The code to scan for a SEPA transfer, as the European Payments Council lays it down (EPC069-12)."""

from __future__ import annotations

from io import BytesIO

import segno

from billing.documents.paper import Payment
from billing.documents.reading import Reading
from billing.money import format_minor

MOST = 99_999_999_999
"""Cents that such a code can ask for."""

LONGEST_NAME = 70


def code(read: Reading) -> str:
    """SVG of the code; empty for what is not paid in euros, or not by transfer."""
    payment, invoice = read.payment, read.invoice
    if payment is None or invoice.currency != "EUR" or not 0 < invoice.total <= MOST:
        return ""
    drawn = segno.make(said(payment, invoice.total), error="m", micro=False, boost_error=False)
    picture = BytesIO()
    drawn.save(picture, kind="svg", border=0, scale=4, xmldecl=False, dark="#1b2430")
    return picture.getvalue().decode()


def said(payment: Payment, cents: int) -> str:
    """What the code says: version 2, UTF-8, a SEPA credit transfer, with the reference as free text."""
    rows = ("BCD", "002", "1", "SCT", payment.bic, payment.holder[:LONGEST_NAME], payment.iban)
    return "\n".join([*rows, f"EUR{format_minor(cents, 'EUR')}", "", "", payment.reference])
