"""Reads files of exchange rates as the European Central Bank publishes them: XML, and CSV by day. No I/O.

They say how many units of each currency are one euro; what Tollgate keeps is units for one USD, as exact fractions.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import date
from io import StringIO

from lxml import etree

from billing.exchange import PRICED_IN, Rate
from billing.money import MINOR_DIGITS

SOURCE = "ECB"
BASE = "EUR"
_RATE = re.compile(r"(\d{1,9})(?:\.(\d{1,8}))?", re.ASCII)


class RateFileProblem(Exception):
    """A file that holds no rates in either format, or one that cannot be read."""


def read(text: bytes) -> list[Rate]:
    """The rates of the currencies Tollgate invoices in, the oldest day first. Raises RateFileProblem."""
    days = _xml_days(text) if text.lstrip()[:1] == b"<" else _csv_days(text)
    rates = [rate for day, units in sorted(days) for rate in _rates(day, units)]
    if not rates:
        raise RateFileProblem(f"There is no rate of {PRICED_IN} in this file.")
    return rates


def _rates(day: date, units: dict[str, tuple[int, int]]) -> Iterator[Rate]:
    """Units for one USD from units for one euro: a quotient of fractions."""
    if PRICED_IN not in units:
        return
    usd_numerator, usd_denominator = units[PRICED_IN]
    for currency, (numerator, denominator) in sorted({**units, BASE: (1, 1)}.items()):
        if currency in MINOR_DIGITS and currency != PRICED_IN:
            yield Rate(currency, numerator * usd_denominator, denominator * usd_numerator, day, SOURCE)


def _xml_days(text: bytes) -> list[tuple[date, dict[str, tuple[int, int]]]]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        tree = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise RateFileProblem(f"This is no XML file: {error}") from None
    found = []
    for cube in tree.iterfind(".//{*}Cube[@time]"):
        units = {str(row.get("currency")): _unit(str(row.get("rate"))) for row in cube.iterfind("{*}Cube[@currency]")}
        found.append((_day(str(cube.get("time"))), units))
    return found


def _csv_days(text: bytes) -> list[tuple[date, dict[str, tuple[int, int]]]]:
    try:
        rows = list(csv.DictReader(StringIO(text.decode("utf-8-sig")), skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RateFileProblem(f"This is no CSV file: {error}") from None
    return [(_day(row.get("Date") or ""), _units(row)) for row in rows]


def _units(row: dict[str, str]) -> dict[str, tuple[int, int]]:
    """The currencies a row has a rate for; ECB writes N/A where there is none."""
    return {
        name.strip(): _unit(value.strip())
        for name, value in row.items()
        if name and re.fullmatch(r"[A-Z]{3}", name.strip()) and value and value.strip() not in ("", "N/A")
    }


def _unit(text: str) -> tuple[int, int]:
    match = _RATE.fullmatch(text)
    if not match or not int(match[1] + (match[2] or "")):
        raise RateFileProblem(f"{text[:20]!r} is not a rate such as 1.0876.")
    digits = match[2] or ""
    return int(match[1] + digits), 10 ** len(digits)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise RateFileProblem(f"{text[:20]!r} is not a day such as 2026-11-20.") from None
