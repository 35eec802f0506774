"""Electronic invoices: valid by the official schemas and rules, saying what the document says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from lxml import etree

from billing.documents import factur_x, ubl
from billing.documents.paper import Paper, PaperProblem, Tax, Totals
from tests.billing.papers import (
    BUYER,
    EXEMPT,
    EXPORT,
    OUTSIDE,
    REDUCED,
    REVERSE,
    SELLER,
    STANDARD,
    broken_rules,
    paper,
    schema_problems,
)

ABROAD = replace(BUYER, country="US", vat_id="")
PAPERS = {
    "standard": paper(),
    "two rates and an allowance": paper(STANDARD, REDUCED, allowance=500),
    "reverse charge": paper(REVERSE),
    "export": paper(EXPORT, buyer=ABROAD),
    "outside the scope": paper(OUTSIDE, buyer=ABROAD, currency="USD"),
    "exempt": paper(EXEMPT),
    "credit note": paper(credit_note=True, due_on=None, corrects=("INV-2027-00001", date(2027, 3, 1))),
    "paid before": paper(payment=None, due_on=None, terms="", totals=Totals(10_019, 0, 10_019, 1_904, 11_923, 11_923)),
    "currency without minor units": paper(currency="JPY"),
    "odd texts": paper(buyer=replace(BUYER, name="<&>\x00\x1f ]]> 株式会社 \ufffe", address=("a", "", "b", "c", "d"))),
}
Build = Callable[[Paper], bytes]
BOTH = pytest.mark.parametrize("build", [factur_x.build, ubl.build], ids=["factur-x", "ubl"])


@BOTH
@pytest.mark.parametrize("name", PAPERS)
def test_it_writes_xml_that_schema_and_rules_accept(build: Build, name: str) -> None:
    xml = build(PAPERS[name])
    assert schema_problems(xml) == []
    assert broken_rules(xml) == set()
    assert build(PAPERS[name]) == xml


def totals(**changes: int) -> Totals:
    return replace(paper().totals, **changes)


@BOTH
@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (paper(totals=totals(lines=10_020)), "BR-CO-10"),
        (paper(totals=totals(net=10_020)), "BR-CO-13"),
        (paper(totals=totals(gross=11_924)), "BR-CO-15"),
        (paper(taxes=(replace(paper().taxes[0], amount=1_504),)), "BR-CO-17"),
        (paper(taxes=(replace(paper().taxes[0], base=9_000),)), "BR-S-08"),
        (paper(REVERSE, buyer=replace(BUYER, vat_id="")), "BR-AE-02"),
        (paper(REVERSE, taxes=(replace(paper(REVERSE).taxes[0], amount=1),)), "BR-AE-09"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_rules_are_really_checked(build: Build, wrong: Paper, rule: str) -> None:
    assert rule in broken_rules(build(wrong))


def texts(xml: bytes, name: str) -> list[str]:
    return [found.text or "" for found in etree.fromstring(xml).iterfind(f".//{{*}}{name}")]


def test_it_says_the_price_per_million_tokens() -> None:
    crossed, universal = factur_x.build(paper()), ubl.build(paper())
    assert texts(crossed, "ChargeAmount")[0] == texts(universal, "PriceAmount")[0] == "0.15"
    assert texts(crossed, "BasisQuantity")[0] == texts(universal, "BaseQuantity")[0] == "1000000"
    assert texts(crossed, "BilledQuantity")[0] == texts(universal, "InvoicedQuantity")[0] == "1234567"


def test_it_is_of_the_profile_and_customization_that_receivers_look_for() -> None:
    assert factur_x.PROFILE in texts(factur_x.build(paper()), "ID")
    assert texts(ubl.build(paper()), "CustomizationID") == [ubl.CUSTOMIZATION]


def test_a_credit_note_is_of_type_381_and_names_its_invoice() -> None:
    for xml in (factur_x.build(PAPERS["credit note"]), ubl.build(PAPERS["credit note"])):
        assert b">381<" in xml
        assert b"INV-2027-00001" in xml
    assert etree.QName(etree.fromstring(ubl.build(PAPERS["credit note"]))).localname == "CreditNote"


def test_reverse_charge_says_why_and_names_both_ids() -> None:
    for build in (factur_x.build, ubl.build):
        xml = build(PAPERS["reverse charge"]).decode()
        assert all(said in xml for said in ("VATEX-EU-AE", "Reverse charge", SELLER.vat_id, BUYER.vat_id))


def test_outside_the_scope_of_vat_there_are_no_rates_and_no_vat_ids() -> None:
    for build in (factur_x.build, ubl.build):
        xml = build(PAPERS["outside the scope"]).decode()
        assert SELLER.vat_id not in xml
        assert "Percent" not in xml


@BOTH
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seller": replace(SELLER, country="")}, "country of the seller"),
        ({"buyer": replace(BUYER, country="")}, "country of the buyer"),
        ({"seller": replace(SELLER, vat_id="", tax_id="", register_id="")}, "VAT id"),
    ],
)
def test_it_refuses_what_could_not_be_valid(build: Build, changes: dict[str, object], said: str) -> None:
    with pytest.raises(PaperProblem, match=said):
        build(replace(paper(), **changes))  # type: ignore[arg-type]


def test_two_rates_of_one_category_are_two_groups() -> None:
    rates = texts(ubl.build(paper(STANDARD, Tax("S", "7"))), "Percent")
    assert rates[:2] == ["19", "7"]
