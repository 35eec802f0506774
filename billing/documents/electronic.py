"""An invoice as what electronic invoices are written from: in its own currency, in the terms of EN 16931."""

from __future__ import annotations

from datetime import date
from itertools import groupby
from typing import Any

from billing.documents import factur_x, reading, ubl
from billing.documents.conventions import Convention, convention
from billing.documents.paper import Allowance, Item, Paper, PaperProblem, Party, Tax, TaxGroup, Totals
from billing.documents.reading import PER_MILLION, Reading, decimal, follows, in_currency
from billing.documents.sentences import evidence_of, notes_of, terms_of
from billing.documents.words import words
from billing.models import Invoice, InvoiceLine
from billing.money import format_minor, per_cent


def universal(invoice: Invoice) -> bytes:
    """UBL 2.1. Raises PaperProblem for a draft, and if something that must be said is not known."""
    return ubl.build(paper_of(reading.of(invoice)))


def hybrid(read: Reading) -> bytes | None:
    """Factur-X for inside the PDF; None for a draft, and for an invoice that cannot say what it must."""
    try:
        return factur_x.build(paper_of(read))
    except PaperProblem:
        return None


def paper_of(read: Reading) -> Paper:
    """The picture of an invoice with a number. Amounts given back on it are allowances; those of events are lines."""
    invoice = read.invoice
    if read.draft or not invoice.number:
        raise PaperProblem("A draft has no electronic invoice: it has no number yet.")
    items = tuple(_item(read, line) for line in read.lines if not _gives_back(line))
    allowances = tuple(_allowance(line) for line in read.lines if _gives_back(line))
    first_day, last_day = read.days
    return Paper(
        credit_note=read.credit_note,
        number=invoice.number,
        issued_on=read.issued_on,
        due_on=None if read.prepaid else invoice.due_on,
        currency=invoice.currency,
        language=invoice.language,
        seller=_seller(read.snapshot["seller"]),
        buyer=_buyer(read.snapshot["buyer"]),
        first_day=first_day,
        last_day=last_day,
        items=items,
        allowances=allowances,
        taxes=_groups(read),
        totals=_totals(read, items, allowances),
        terms="" if read.credit_note else terms_of(read),
        notes=(*notes_of(read), *evidence_of(read)),
        payment=read.payment,
        corrects=(read.corrects.number or "", _issued(read)) if read.corrects else None,
    )


def _issued(read: Reading) -> date:
    corrected = read.corrects
    if corrected is None or corrected.finalised_at is None:
        raise PaperProblem("A credit note corrects an invoice that has a number.")
    return reading.day_in(corrected.finalised_at, read.zone)


def _gives_back(line: InvoiceLine) -> bool:
    return bool(line.description) and line.amount < 0


def _item(read: Reading, line: InvoiceLine) -> Item:
    language = read.invoice.language
    if line.description:
        name, detail = line.description, convention(language).month(line.period_label)
    else:
        name, detail = f"{line.model}: {words(language)[line.token_class]}", _detail(read, line, convention(language))
    tax = Tax(line.tax_category, per_cent(line.tax_rate))
    if line.description or not follows(read.invoice, line):
        price, per, quantity = format_minor(abs(line.amount), read.invoice.currency), 1, -1 if line.amount < 0 else 1
    else:
        per = 1 if line.token_class.startswith("per_") else PER_MILLION
        price, quantity = decimal(in_currency(read.invoice, line.unit_price * per)), line.quantity
    return Item(line.position, name, detail, quantity, price, per, line.amount, tax)


def _detail(read: Reading, line: InvoiceLine, local: Convention) -> str:
    price = read.snapshot["prices"].get(str(line.price_id), {})
    return " · ".join(filter(None, [local.month(line.period_label), price.get("variant", "")]))


def _allowance(line: InvoiceLine) -> Allowance:
    return Allowance(line.description, -line.amount, Tax(line.tax_category, per_cent(line.tax_rate)))


def _groups(read: Reading) -> tuple[TaxGroup, ...]:
    """As stored; an invoice from before taxes has one group, outside their scope."""
    if read.taxes:
        stored = ((Tax(row.category, per_cent(row.rate)), row.base, row.amount) for row in read.taxes)
        return tuple(TaxGroup(tax, base, amount) for tax, base, amount in stored)
    by_tax = sorted(read.lines, key=lambda line: (line.tax_category, line.tax_rate))
    return tuple(
        TaxGroup(Tax(category, per_cent(rate)), sum(line.amount for line in lines), 0)
        for (category, rate), lines in groupby(by_tax, key=lambda line: (line.tax_category, line.tax_rate))
    )


def _totals(read: Reading, items: tuple[Item, ...], allowances: tuple[Allowance, ...]) -> Totals:
    invoice = read.invoice
    return Totals(
        lines=sum(item.amount for item in items),
        allowances=sum(allowance.amount for allowance in allowances),
        net=invoice.subtotal,
        tax=invoice.tax,
        gross=invoice.total,
        paid=invoice.total if read.prepaid else 0,
    )


def _seller(who: dict[str, Any]) -> Party:
    keys = ("country", "vat_id", "tax_id", "register_id", "email")
    return Party(name=who["name"], address=_rows(who), **{key: who.get(key, "") for key in keys})


def _buyer(who: dict[str, Any]) -> Party:
    keys = ("country", "vat_id", "email")
    found = {key: who.get(key, "") for key in keys}
    return Party(name=who["name"], address=_rows(who), reference=who.get("slug", ""), **found)


def _rows(who: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row.strip() for row in who["address"].splitlines() if row.strip())
