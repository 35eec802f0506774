"""An invoice as an A4 PDF, typeset by typst from billing/invoice.typ with the fonts in its wheel; no network, no files.

A finalised invoice is drawn from its snapshot and lines alone, so the same invoice gives the same bytes for ever.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typst

from billing import invoices
from billing.models import Invoice, InvoiceLine
from billing.money import format_minor, usd

TEMPLATE = Path(__file__).with_name("invoice.typ")
NAMES = {
    "input": "Input tokens",
    "cache_read": "Input tokens, read from cache",
    "cache_write_5m": "Input tokens, written to cache for 5 minutes",
    "cache_write_1h": "Input tokens, written to cache for 1 hour",
    "input_audio": "Input tokens, audio",
    "input_image": "Input tokens, image",
    "output": "Output tokens",
    "reasoning": "Output tokens, reasoning",
    "output_audio": "Output tokens, audio",
    "output_image": "Output tokens, image",
    "per_request": "Requests",
    "per_web_search": "Web searches",
    "per_image": "Images",
}
LONG_WORD = re.compile(r"(\S{24})(?=\S)")
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that would turn the reading direction of what follows."""


def render(invoice: Invoice) -> bytes:
    """The PDF of an invoice; one that is a draft says so on every page."""
    compiler = typst.Compiler(TEMPLATE.read_bytes(), font_paths=_fonts(), ignore_system_fonts=True)
    content = json.dumps(document(invoice), ensure_ascii=False)
    made_at = invoice.finalised_at or invoice.created_at
    pdf = compiler.compile(format="pdf", sys_inputs={"invoice": content}, timestamp=int(made_at.timestamp()))
    if not isinstance(pdf, bytes):
        raise TypeError("typst returned pages instead of one document")
    return pdf


def document(invoice: Invoice) -> dict[str, Any]:
    """What the template shows: texts only, amounts formatted, nothing left to compute."""
    draft = invoice.status == Invoice.Status.DRAFT
    snapshot = invoices.snapshot_of(invoice) if draft else invoice.snapshot
    lines = list(InvoiceLine.objects.filter(invoice=invoice).order_by("position"))
    prepaid = snapshot["mode"] == "prepaid"
    total = _money(invoice.total, invoice)
    return {
        "title": f"Draft invoice {invoice.period_label}" if draft else f"Invoice {invoice.number}",
        "draft": draft,
        "currency": invoice.currency,
        "seller": _party(snapshot["seller"]),
        "buyer": _party(snapshot["buyer"]),
        "facts": _facts(invoice, snapshot),
        "groups": [_group(invoice, snapshot, key, list(rows)) for key, rows in groupby(lines, _group_key)],
        "totals": [["Subtotal", _money(invoice.subtotal, invoice)], ["Tax", _money(invoice.tax, invoice)]],
        "due": ["Total, paid from balance" if prepaid else "Total due", f"{total} {invoice.currency}"],
        "notes": _notes(invoice, prepaid),
        "footer": _shown(" · ".join(filter(None, [snapshot["seller"]["name"], snapshot["seller"]["email"]]))),
        "annex": _annex(snapshot["annex"]),
        "annex_note": "Exact, before rounding. Tokens in include cached ones, tokens out include reasoning.",
        "exact": usd(int(invoice.exact), least_digits=_digits(snapshot["annex"])),
    }


def _facts(invoice: Invoice, snapshot: dict[str, Any]) -> list[list[str]]:
    zone = ZoneInfo(snapshot["timezone"])
    number = invoice.number or "none yet"
    issued = _day(invoice.finalised_at, zone) if invoice.finalised_at else "not issued"
    first = _moment(invoice.period_start_at, zone)
    end = _moment(invoice.period_end_at, zone)
    return [
        ["Number", number],
        ["Issued", issued],
        ["Period", invoice.period_label],
        ["From", first],
        ["Until", end],
        ["Time zone", snapshot["timezone"]],
    ]


def _group_key(line: InvoiceLine) -> tuple[str, str, int]:
    return line.period_label, line.model, line.price_id


def _group(
    invoice: Invoice, snapshot: dict[str, Any], key: tuple[str, str, int], lines: list[InvoiceLine]
) -> dict[str, Any]:
    label, model, price_id = key
    late = "" if label == invoice.period_label else f"used in {label} · "
    if not price_id:
        return {"model": "Other", "note": late, "lines": [_line(invoice, line) for line in lines]}
    price = snapshot["prices"][str(price_id)]
    since = datetime.fromisoformat(price["effective_from"])
    variant = f"{price['variant']} · " if price.get("variant") else ""
    note = f"{variant}prices of {_day(since, ZoneInfo(snapshot['timezone']))} (version {price_id})"
    return {"model": _shown(model), "note": late + note, "lines": [_line(invoice, line) for line in lines]}


def _line(invoice: Invoice, line: InvoiceLine) -> dict[str, str]:
    if line.description:
        amount = _money(line.amount, invoice)
        return {"what": _shown(line.description), "quantity": "", "unit": "", "per": "", "amount": amount}
    counted = line.token_class.startswith("per_")
    return {
        "what": NAMES[line.token_class],
        "quantity": f"{line.quantity:,}",
        "unit": usd(line.unit_price if counted else line.unit_price * 10**6),
        "per": "each" if counted else "per 1M",
        "amount": _money(line.amount, invoice),
    }


def _notes(invoice: Invoice, prepaid: bool) -> list[str]:
    notes = [
        f"Each line is rounded once, half up, to the minor unit of {invoice.currency}; the total is the sum "
        f"of the lines. The exact sum of all calls is {usd(int(invoice.exact))} USD."
    ]
    if prepaid:
        notes.append("This amount was paid from your prepaid balance. There is nothing left to pay.")
    if invoice.status == Invoice.Status.DRAFT:
        notes.append("This is a draft: it changes with further usage and asks for no payment.")
    return notes


def _annex(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    digits = _digits(rows)
    return [
        {
            "name": _shown(project),
            "exact": usd(sum(int(row["exact"]) for row in group), least_digits=digits),
            "rows": [
                [
                    _shown(row["key"]),
                    _shown(row["model"]),
                    *(f"{row[name]:,}" for name in ("requests", "prompt_tokens", "completion_tokens")),
                    usd(int(row["exact"]), least_digits=digits),
                ]
                for row in group
            ],
        }
        for project, group in ((name, list(found)) for name, found in groupby(rows, lambda row: row["project"]))
    ]


def _digits(rows: list[dict[str, Any]]) -> int:
    """Digits after the point that show every exact amount of the annex, so that points stand in one column."""
    return max((len(usd(int(row["exact"])).partition(".")[2]) for row in rows), default=2)


def _party(who: dict[str, Any]) -> dict[str, Any]:
    facts = [[name, _shown(who[key])] for name, key in (("Tax id", "tax_id"), ("", "email")) if who.get(key)]
    return {"name": _shown(who["name"]), "address": _shown(who["address"]), "facts": facts}


def _shown(text: str) -> str:
    """User text for the page: without control characters, and with places to break in words no line could hold."""
    return LONG_WORD.sub("\\1\u200b", UNSEEN.sub("", text.replace("\r\n", "\n")))


def _money(minor: int, invoice: Invoice) -> str:
    whole, point, rest = format_minor(minor, invoice.currency).partition(".")
    return f"{int(whole):,}{point}{rest}" if whole not in ("-0",) else f"-0{point}{rest}"


def _day(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d}"


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


@cache
def _fonts() -> typst.Fonts:
    """The fonts in typst's wheel; those of the machine would make its PDFs differ from others'."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
