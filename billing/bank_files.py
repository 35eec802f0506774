"""Bank statements as CSV: columns found by their headings in English, German, French or Turkish, money read exactly.

Only what came in is read; what went out is left out. Nothing is written here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from billing.money import MoneyProblem, minor_digits

MOST_BYTES = 2**20
MOST_ROWS = 20_000
PREAMBLE = 30
"""Banks write some lines about the account before the headings: at most so many."""
HEADINGS = {
    "date": (
        "booking date", "date", "transaction date", "posting date", "value date", "buchungstag", "buchungsdatum",
        "datum", "wertstellung", "valuta", "valutadatum", "date operation", "date d operation",
        "date de comptabilisation", "date comptable", "date de valeur", "date valeur", "islem tarihi", "tarih",
        "valor", "valor tarihi",
    ),
    "amount": (
        "amount", "betrag", "umsatz", "betrag eur", "betrag in eur", "montant", "montant de l operation", "tutar",
        "islem tutari", "credit", "paid in", "money in", "haben", "gutschrift", "alacak",
    ),
    "currency": ("currency", "wahrung", "devise", "monnaie", "para birimi", "doviz", "doviz cinsi"),
    "purpose": (
        "reference", "payment reference", "description", "details", "purpose", "remittance information", "memo",
        "verwendungszweck", "buchungstext", "libelle", "motif", "communication", "reference de l operation",
        "aciklama", "referans", "islem aciklamasi",
    ),
    "payer": (
        "payer", "name", "counterparty", "counterparty name", "sender", "debtor", "auftraggeber",
        "zahlungspflichtiger", "beguenstigter zahlungspflichtiger", "begunstigter zahlungspflichtiger",
        "name zahlungsbeteiligter", "auftraggeber beguenstigter", "nom", "emetteur", "donneur d ordre",
        "contrepartie", "gonderen", "gonderen adi", "ad soyad", "unvan",
    ),
}  # fmt: skip


class BankFileProblem(Exception):
    """A file that cannot be read, in plain words with the row where it can be said."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """Money that came in: the bank's day, minor units, who paid and what was written on it.

    ``digest`` is the same wherever this line is read again; of equal lines in a file each has its own.
    """

    booked_on: date
    amount: int
    currency: str
    payer: str
    purpose: str
    digest: str


def read(*, content: bytes, currency: str) -> list[StatementLine]:
    """The lines of a file; ``currency`` is that of files that do not name one. Raises BankFileProblem."""
    if len(content) > MOST_BYTES:
        raise BankFileProblem(f"A file has at most {MOST_BYTES >> 20} MB: export fewer days.")
    rows = _rows(text_of(content))
    place, columns = _columns(rows)
    found: list[StatementLine] = []
    seen: Counter[str] = Counter()
    for number, row in enumerate(rows[place + 1 :], place + 2):
        values = {name: row[column].strip() for name, column in columns.items() if column < len(row)}
        if not values.get("date") and not values.get("amount"):
            continue
        try:
            line = _line(values, currency, seen)
        except ValueError as problem:
            raise BankFileProblem(f"Row {number}: {problem}") from None
        if line is not None:
            found.append(line)
    if not found:
        raise BankFileProblem("No money came in, by this file.")
    return found


def text_of(content: bytes) -> str:
    """What a file says, whichever of the two usual ways it is written in."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
        if set("ÝýÞþÐð") & set(text):  # Turkish, whose code page differs from the western one in these alone
            text = content.decode("cp1254", errors="replace")
    if "\0" in text:
        raise BankFileProblem("This is no CSV file.")
    return text


def _rows(text: str) -> list[list[str]]:
    """The cells, split by what the file splits by."""
    head = "\n".join(text.splitlines()[:PREAMBLE])
    delimiter = max(";\t,", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as problem:
        raise BankFileProblem(f"This is no CSV file: {problem}.") from None
    if len(rows) > MOST_ROWS:
        raise BankFileProblem(f"A file has at most {MOST_ROWS} rows: export fewer days.")
    return rows


def _columns(rows: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
    """Which row has the headings, and which column is what. Earlier headings of HEADINGS win."""
    for place, row in enumerate(rows[:PREAMBLE]):
        plain = [_plain(cell) for cell in row]
        found = {}
        for name, headings in HEADINGS.items():
            column = next((plain.index(heading) for heading in headings if heading in plain), None)
            if column is not None:
                found[name] = column
        if {"date", "amount"} <= found.keys() and ({"purpose", "payer"} & found.keys()):
            return place, found
    raise BankFileProblem(
        "No headings were found. There must be a column for the date, one for the amount, and one for the reference or "
        "the payer, such as Date, Amount, Reference."
    )


def _plain(heading: str) -> str:
    """A heading without case, accents and signs: ``Währung`` → ``wahrung``, ``İşlem Tarihi`` → ``islem tarihi``."""
    text = heading.replace("İ", "i").replace("ı", "i")
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare).split())


def _line(values: Mapping[str, str], otherwise: str, seen: Counter[str]) -> StatementLine | None:
    currency = (values.get("currency") or otherwise).upper()
    amount = parse_amount(values.get("amount", "") or "0", currency)
    booked_on = parse_day(values.get("date", ""))
    if amount <= 0:
        return None
    payer, purpose = (" ".join(values.get(name, "").split()) for name in ("payer", "purpose"))
    said = json.dumps([booked_on.isoformat(), amount, currency, payer, purpose], ensure_ascii=False)
    seen[said] += 1
    digest = hashlib.sha256(f"{said}#{seen[said]}".encode()).hexdigest()
    return StatementLine(booked_on, amount, currency, payer[:200], purpose[:500], digest)


def parse_amount(text: str, currency: str) -> int:
    """``1.234,56``, ``1,234.56``, ``1 234,56`` or ``+12`` → minor units; raises ValueError in plain words."""
    try:
        digits = minor_digits(currency)
    except MoneyProblem as problem:
        raise ValueError(f"{problem}.") from None
    bare = re.sub(r"[\s\u00a0\u202f'’]", "", text).replace("−", "-")
    match = re.fullmatch(r"([+-]?)(\d[\d.,]*)(-?)", bare)
    if not match:
        raise ValueError(f"{text[:40]!r} is no amount.")
    whole, fraction = _split(match[2], digits, text)
    unit: int = 10**digits
    amount = int(whole) * unit + int(fraction.ljust(digits, "0") or 0)
    return -amount if "-" in (match[1], match[3]) else amount


def _split(number: str, digits: int, text: str) -> tuple[str, str]:
    """Whole units and fraction: the last sign divides them, unless what follows it can only be thousands."""
    place = max(number.rfind("."), number.rfind(","))
    fraction = number[place + 1 :] if place >= 0 else ""
    sign = number[place] if place >= 0 else ""
    if place >= 0 and (number.count(sign) > 1 or (len(fraction) == 3 and digits != 3)):
        if len(fraction) != 3 or len({*number} & {".", ","}) > 1:
            raise ValueError(f"{text[:40]!r} is no amount.")
        return re.sub(r"[.,]", "", number), ""
    if len(fraction) > digits and fraction.strip("0"[: len(fraction)]):
        raise ValueError(f"{text[:40]!r} has more digits than the currency.")
    whole = re.sub(r"[.,]", "", number[:place]) if place >= 0 else number
    return whole or "0", fraction[:digits]


def parse_day(text: str) -> date:
    """``2026-11-21``, ``21.11.2026``, ``21.11.26`` or ``21/11/2026``; raises ValueError in plain words."""
    match = re.match(r"(\d{4})-(\d{2})-(\d{2})(?!\d)", text)
    if match:
        year, month, day = (int(part) for part in match.groups())
    else:
        match = re.match(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})(?!\d)", text)
        if not match:
            raise ValueError(f"{text[:20]!r} is no day such as 2026-11-21 or 21.11.2026.")
        day, month, year = (int(part) for part in match.groups())
        year += 2000 if year < 100 else 0
    try:
        return date(year, month, day)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is no day: the day stands before the month.") from None
