"""What stands on the page of an invoice: texts only, formatted, in its language; billing/invoice.typ lays it out."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import groupby
from typing import Any

from billing.documents import sepa
from billing.documents.conventions import Convention, convention
from billing.documents.glyphs import MARK, families, shown
from billing.documents.reading import PER_MILLION, Reading, day_in
from billing.documents.sentences import evidence_of, notes_of, terms_of
from billing.documents.words import words
from billing.models import InvoiceLine
from billing.money import per_cent, usd

ANNEX_COLUMNS = ("key", "model", "requests", "tokens_in", "tokens_out", "exact")
Words = dict[str, str]
Content = dict[str, Any]


def content_of(read: Reading) -> Content:
    """What the template shows of an invoice."""
    invoice, snapshot = read.invoice, read.snapshot
    says, local = words(invoice.language), convention(invoice.language)
    heading = says["draft" if read.draft else "credit_note" if read.credit_note else "invoice"]
    found = {
        "title": f"{heading} {local.month(invoice.period_label) if read.draft else invoice.number}",
        "heading": heading,
        "language": invoice.language,
        "fonts": families(),
        "watermark": says["watermark"] if read.draft else "",
        "words": {
            **{key: local.upper(says[key]) for key in ("from", "to")},
            **{key: says[key] for key in ("page", "pay", "scan", "annex")},
        },
        "seller": _party(snapshot["seller"], says),
        "buyer": _party(snapshot["buyer"], says),
        "facts": [[name, shown(value)] for name, value in _facts(read, says, local)],
        "head": [local.upper(name) for name in _head(read, says)],
        "groups": [_group(read, says, local, list(rows)) for _key, rows in groupby(read.lines, _group_key)],
        "nothing": says["nothing"],
        "totals": _totals(read, says, local),
        "due": _due(read, says, local),
        "notes": [*(shown(note) for note in _notes(read, says, local)), *evidence_of(read)],
        "payment": _payment(read, says),
        "code": sepa.code(read),
        "footer": shown(" · ".join(filter(None, [snapshot["seller"]["name"], snapshot["seller"]["email"]]))),
        **_annex(read, says, local),
    }
    if MARK in json.dumps(found, ensure_ascii=False):
        found["notes"].append(says["undrawn"].format(mark=MARK))
    return found


def _facts(read: Reading, says: Words, local: Convention) -> list[tuple[str, str]]:
    invoice, (first_day, last_day) = read.invoice, read.days
    facts = [
        (says["number"], invoice.number or says["none_yet"]),
        (says["issued"], local.date(read.issued_on) if invoice.finalised_at else says["not_issued"]),
    ]
    if invoice.due_on and not read.prepaid and not read.credit_note:
        facts.append((says["due_on"], local.date(invoice.due_on)))
    if read.corrects and read.corrects.finalised_at:
        issued = local.date(day_in(read.corrects.finalised_at, read.zone))
        facts.append(
            (says["corrects"], says["of_day"].format(number=read.corrects.number, day=issued.replace(" ", "\u00a0")))
        )
    return [
        *facts,
        (says["period"], local.month(invoice.period_label)),
        (says["first_day"], local.date(first_day)),
        (says["last_day"], local.date(last_day)),
        (says["time_zone"], read.snapshot["timezone"]),
    ]


def _taxed(read: Reading) -> bool:
    """Whether lines say their VAT: where nothing is subject to it, they do not."""
    return any(line.tax_category != "O" for line in read.lines)


def _head(read: Reading, says: Words) -> list[str]:
    named = [says["usage"], says["quantity"], says["unit_price"].format(currency="USD")]
    return [
        *named,
        *([says["tax_column"]] if _taxed(read) else []),
        says["amount"].format(currency=read.invoice.currency),
    ]


def _group_key(line: InvoiceLine) -> tuple[str, str, int]:
    return line.period_label, line.model, line.price_id


def _group(read: Reading, says: Words, local: Convention, lines: list[InvoiceLine]) -> Content:
    first = lines[0]
    notes = []
    if first.period_label != read.invoice.period_label:
        notes.append(says["used_in"].format(month=local.month(first.period_label)))
    price = read.snapshot["prices"].get(str(first.price_id)) if first.price_id else None
    if price:
        since = local.date(day_in(datetime.fromisoformat(price["effective_from"]), read.zone))
        notes += filter(None, [price.get("variant", "")])
        notes.append(says["prices_of"].format(day=since, version=first.price_id))
    return {
        "model": shown(first.model) if first.price_id else says["other"],
        "note": " · ".join(notes),
        "lines": [_line(read, says, local, line) for line in lines],
    }


def _line(read: Reading, says: Words, local: Convention, line: InvoiceLine) -> list[str]:
    """The cells of a row; the price has its unit after a line feed."""
    rate = [local.rate(per_cent(line.tax_rate)) if line.tax_category == "S" else line.tax_category]
    amount = local.money(line.amount, read.invoice.currency)
    last = [*(rate if _taxed(read) else []), amount]
    if line.corrects_id and not line.unit_price and not line.description:  # a part of a line
        return [says[line.token_class], "", "", *last]
    if line.description:
        return [shown(line.description), "", "", *last]
    counted = line.token_class.startswith("per_")
    price = local.number(usd(line.unit_price if counted else line.unit_price * PER_MILLION))
    unit = f"{price}\n{says['each' if counted else 'per_million']}"
    return [says[line.token_class], local.number(str(line.quantity)), unit, *last]


def _totals(read: Reading, says: Words, local: Convention) -> list[list[str]]:
    """The net sum and the tax of each group, or a plain subtotal where nothing is subject to VAT."""
    invoice = read.invoice
    if not _taxed(read):
        return [
            [says["subtotal"], local.money(invoice.subtotal, invoice.currency)],
            [says["tax"], local.money(invoice.tax, invoice.currency)],
        ]
    groups = [
        [
            says["tax_at"].format(rate=local.rate(per_cent(group.rate)), base=local.money(group.base, invoice.currency))
            + ("" if group.category == "S" else f" ({group.category})"),
            local.money(group.amount, invoice.currency),
        ]
        for group in read.taxes
    ]
    return [[says["net"], local.money(invoice.subtotal, invoice.currency)], *groups]


def _due(read: Reading, says: Words, local: Convention) -> list[str]:
    key = "total_credited" if read.credit_note else "from_balance" if read.prepaid else "total_due"
    return [says[key], f"{local.money(read.invoice.total, read.invoice.currency)} {read.invoice.currency}"]


def _notes(read: Reading, says: Words, local: Convention) -> list[str]:
    invoice = read.invoice
    rounded = says["rounding"].format(currency=invoice.currency, exact=local.number(usd(int(invoice.exact))))
    notes = [rounded, *notes_of(read)]
    if read.draft:
        notes.append(says["draft_note"])
    if not read.credit_note and (read.prepaid or not read.draft):
        notes.insert(0, terms_of(read))
    return notes


def _payment(read: Reading, says: Words) -> list[list[str]]:
    payment = read.payment
    if payment is None:
        return []
    rows = [
        [says["holder"], payment.holder],
        ["IBAN", " ".join(payment.iban[at : at + 4] for at in range(0, len(payment.iban), 4))],
        ["BIC", payment.bic],
        [says["reference"], payment.reference],
    ]
    return [[name, shown(value)] for name, value in rows if value]


def _annex(read: Reading, says: Words, local: Convention) -> Content:
    rows = read.snapshot["annex"]
    digits = max((len(usd(int(row["exact"])).partition(".")[2]) for row in rows), default=2)

    def exact(pico: int) -> str:
        return local.number(usd(pico, least_digits=digits))

    projects = [(name, list(found)) for name, found in groupby(rows, lambda row: row["project"])]
    return {
        "annex": [
            {
                "name": shown(name),
                "exact": exact(sum(int(row["exact"]) for row in found)),
                "rows": [_annex_row(row, local, exact(int(row["exact"]))) for row in found],
            }
            for name, found in projects
        ],
        "annex_head": [
            local.upper(says[key]) for key in ("key", "model", "requests", "tokens_in", "tokens_out", "exact")
        ],
        "annex_note": says["annex_note"],
        "annex_total": [says["annex_total"], exact(sum(int(row["exact"]) for row in rows))],
    }


def _annex_row(row: dict[str, Any], local: Convention, exact: str) -> list[str]:
    counts = (local.number(str(row[name])) for name in ("requests", "prompt_tokens", "completion_tokens"))
    return [shown(row["key"]), shown(row["model"]), *counts, exact]


def _party(who: dict[str, Any], says: Words) -> Content:
    ids = [(says[key], who.get(key, "")) for key in ("vat_id", "tax_id", "register_id")]
    facts = [[name, shown(value)] for name, value in [*ids, ("", who.get("email", ""))] if value]
    address = "\n".join(filter(None, [who["address"].strip(), who.get("country", "")]))
    return {"name": shown(who["name"]), "address": shown(address), "facts": facts}
