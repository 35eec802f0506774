"""Documents: PDF/A-3b with Factur-X inside, in the tenant's language, the same bytes for ever."""

from __future__ import annotations

import re
import string
from datetime import date, timedelta
from io import BytesIO

import pytest
from lxml import etree
from pypdf import PdfReader

from billing import closing, invoice_pdf
from billing.documents import conventions, glyphs, sepa, xmp
from billing.documents.paper import Payment
from billing.documents.words import LANGUAGES, WORDS, words
from billing.meters import COUNTERS, UNIT_PRICES, Usage
from billing.models import Invoice
from portal.models import Tenant
from portal.tenancy import as_operator
from tests.billing.papers import broken_rules, schema_problems
from tests.billing.world import USD, World

MARCH = "2027-03"
SELLER = {
    "name": "Tollgate GmbH", "address": "Hafenstraße 1\n20457 Hamburg", "country": "DE", "vat_id": "DE136695976",
    "tax_id": "", "register_id": "HRB 1", "email": "ar@toll.test", "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
}  # fmt: skip


@pytest.fixture
def seller(settings: pytest.FixtureRequest) -> None:
    """A seller that says all an electronic invoice must say."""
    settings.SELLER = SELLER  # type: ignore[attr-defined]


def close(world: World, month: str = MARCH, *, finalise: bool = True) -> Invoice:
    with as_operator():
        world.tenant.refresh_from_db()
        return closing.close(tenant=world.tenant, month=month, now=world.clock, finalise=finalise)


def change(world: World, **fields: object) -> None:
    with as_operator():
        Tenant.objects.filter(pk=world.tenant.pk).update(**fields)


def drawn(invoice: Invoice) -> bytes:
    with as_operator():
        return invoice_pdf.render(invoice)


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def attached(pdf: bytes) -> dict[str, bytes]:
    return {name: files[0] for name, files in PdfReader(BytesIO(pdf)).attachments.items()}


@pytest.mark.usefixtures("seller")
def test_it_carries_a_valid_factur_x_that_is_announced(world: World) -> None:
    change(world, country="US", address="1 Main St")
    world.use(Usage(input=10**6, cache_read=12_345, output=777))
    invoice = close(world)
    pdf = drawn(invoice)
    xml = attached(pdf)["factur-x.xml"]
    assert schema_problems(xml) == []
    assert broken_rules(xml) == set()
    catalog = PdfReader(BytesIO(pdf)).trailer["/Root"]
    assert catalog["/AF"][0].get_object()["/AFRelationship"] == "/Alternative"  # type: ignore[index]
    told = PdfReader(BytesIO(pdf)).xmp_metadata
    assert told is not None
    packet = etree.tostring(etree.fromstring(told.stream.get_data()), encoding="unicode")
    for said in ("<pdfaid:part>3<", "<pdfaid:conformance>B<", "<fx:ConformanceLevel>EN 16931<", xmp.NAMESPACE):
        assert said in packet


def test_metadata_are_announced_only_in_a_layout_that_is_known() -> None:
    with pytest.raises(xmp.UnknownLayout):
        xmp.announce(b"%PDF-1.7\nnothing", file_name="factur-x.xml")


@pytest.mark.usefixtures("seller")
def test_invariant_26_the_pdf_with_its_attachment_is_the_same_bytes(world: World) -> None:
    change(world, country="FR", vat_id="FR40303265045", language="fr")
    world.use(Usage(input=10**6))
    invoice = close(world)
    first = drawn(invoice)
    change(world, country="US", vat_id="", language="tr", name="Other")
    with as_operator():
        assert drawn(Invoice.objects.get(pk=invoice.pk)) == first


def test_a_draft_and_an_invoice_that_cannot_be_valid_carry_none(world: World) -> None:
    world.use(Usage(input=10**6))
    assert attached(drawn(close(world, finalise=False))) == {}
    assert attached(drawn(close(world))) == {}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["Invoice", "1,234,567", "31 March 2027", "per 1M"]),
        ("de", ["Rechnung", "1.234.567", "31. März 2027", "je 1 Mio.", "0,15"]),
        ("fr", ["Facture", "1\u202f234\u202f567", "1er mars 2027", "par million"]),
        ("tr", ["Fatura", "1.234.567", "31 Mart 2027", "milyon başına", "Girdi tokenleri"]),
        ("xx", ["Invoice", "31 March 2027"]),
    ],
)
def test_it_is_in_the_language_of_the_tenant(world: World, language: str, said: list[str]) -> None:
    change(world, language=language)
    world.use(Usage(input=1_234_567))
    text = text_of(drawn(close(world))).replace("\xa0", " ")
    for part in said:
        assert part in text or part.replace("\u202f", " ") in text, part


def test_no_word_is_missing_in_any_language() -> None:
    for key, row in WORDS.items():
        assert len(row) == len(LANGUAGES)
        assert all(said.strip() for said in row), key
        fields = [sorted(name for _text, name, *_ in string.Formatter().parse(said) if name) for said in row]
        assert fields.count(fields[0]) == len(fields), key
    assert set(UNIT_PRICES.values()) | {"per_request"} <= WORDS.keys()
    assert set(COUNTERS[:10]) <= WORDS.keys()
    assert set(conventions.CONVENTIONS) == set(LANGUAGES) == set(Tenant.Language.values)


def test_every_word_can_be_drawn() -> None:
    for language in LANGUAGES:
        months = conventions.convention(language).months
        assert glyphs.whole("".join([*words(language).values(), *months]))


@pytest.mark.parametrize(
    ("language", "number", "rate", "day"),
    [
        ("en", "−1,234.50", "7.5%", "1 August 2027"),
        ("de", "−1.234,50", "7,5\xa0%", "1. August 2027"),
        ("fr", "−1\u202f234,50", "7,5\xa0%", "1er août 2027"),
        ("tr", "−1.234,50", "%7,5", "1 Ağustos 2027"),
    ],
)
def test_numbers_and_days_follow_the_language(language: str, number: str, rate: str, day: str) -> None:
    local = conventions.convention(language)
    assert local.money(-123450, "EUR") == number
    assert local.rate("7.5") == rate
    assert local.date(date(2027, 8, 1)) == day
    assert local.upper("Birim fiyatı") == ("BİRİM FİYATI" if language == "tr" else "BIRIM FIYATI")


def test_names_no_font_can_draw_are_marked_and_said_to_be(world: World) -> None:
    change(world, name="株式会社 Ağaç 😀", address="Ω Привет\u202e\nשלום")
    world.use(Usage(input=10**6))
    text = text_of(drawn(close(world)))
    assert "□□□□ Ağaç □" in text
    assert "no glyphs" in text
    assert "Привет" in text


@pytest.mark.usefixtures("seller")
def test_it_says_where_to_pay_in_groups_of_four(world: World) -> None:
    change(world, country="US")
    world.use(Usage(input=10**6))
    text = text_of(drawn(close(world)))
    assert "DE89 3704 0044 0532 0130 00" in text
    assert "COBADEFFXXX" in text


@pytest.mark.usefixtures("seller")
def test_what_was_paid_from_a_balance_asks_for_no_transfer(prepaid: World) -> None:
    change(prepaid, country="US")
    prepaid.use(Usage(input=10**6))
    pdf = drawn(close(prepaid))
    assert "IBAN" not in text_of(pdf)
    assert re.search(rb"<ram:DuePayableAmount>0\.00<", attached(pdf)["factur-x.xml"])


def test_long_invoices_repeat_their_head_and_number_their_pages(world: World) -> None:
    for _version in range(40):
        world.clock += timedelta(minutes=16)
        world.price = world.publish({"input": 150_000 + _version, "output": USD // 10**6})
        world.use(Usage(input=10**6, output=10))
    pages = [page.extract_text() for page in PdfReader(BytesIO(drawn(close(world)))).pages]
    assert len(pages) >= 3
    assert all(f"page {place} of {len(pages)}" in text for place, text in enumerate(pages, 1))
    assert all("QUANTITY" in text for text in pages[:2])


def test_the_code_to_scan_says_account_amount_and_reference() -> None:
    payment = Payment("DE89370400440532013000", "COBADEFFXXX", "x" * 80, "INV-2027-00001")
    rows = sepa.said(payment, 12_345).split("\n")
    assert rows[:5] == ["BCD", "002", "1", "SCT", "COBADEFFXXX"]
    assert (len(rows[5]), *rows[6:]) == (70, "DE89370400440532013000", "EUR123.45", "", "", "INV-2027-00001")
