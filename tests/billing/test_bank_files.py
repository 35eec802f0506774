"""Bank statements: headings in four languages, amounts and days as banks write them, and whose money each line is."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import bank_files, bank_lines
from billing.bank_files import BankFileProblem, StatementLine, parse_amount, parse_day
from billing.models import BankLine, Payment
from billing.money import format_minor
from billing.payments import PaymentProblem
from portal.tenancy import as_operator
from tests.billing.test_payments import advance, balanced, invoiced, left, status
from tests.billing.world import USD, World

FILES = {
    "english": "Account;12345\n\nBooking date;Amount;Currency;Reference;Payer\n"
    "2026-11-20;119.00;EUR;INV-2026-00001;Acme\n",
    "german": "Buchungstag;Betrag;Währung;Verwendungszweck;Auftraggeber\n20.11.2026;119,00;EUR;INV-2026-00001;Acme\n",
    "french": '"Date opération","Montant","Devise","Libellé","Émetteur"\n'
    '"20/11/2026","119,00","EUR","INV-2026-00001","Acme"\n',
    "turkish": "İşlem Tarihi\tTutar\tPara Birimi\tAçıklama\tGönderen\n20.11.2026\t119,00\tEUR\tINV-2026-00001\tAcme\n",
}


@pytest.mark.parametrize("language", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_it_reads_files_in_four_languages(language: str, encoding: str) -> None:
    (line,) = bank_files.read(content=FILES[language].encode(encoding), currency="USD")
    assert (line.booked_on, line.amount, line.currency) == (date(2026, 11, 20), 11_900, "EUR")
    assert (line.payer, line.purpose) == ("Acme", "INV-2026-00001")


def test_the_older_encodings_of_banks_are_read_too() -> None:
    for language, encoding in (("german", "cp1252"), ("french", "cp1252"), ("turkish", "cp1254")):
        (line,) = bank_files.read(content=FILES[language].encode(encoding), currency="USD")
        assert line.amount == 11_900


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1.234,56", "EUR", 123_456), ("1,234.56", "EUR", 123_456), ("1 234,56", "EUR", 123_456),
        ("1\u202f234,56", "EUR", 123_456), ("1'234.56", "CHF", 123_456), ("+12", "EUR", 1_200), ("12,5", "EUR", 1_250),
        ("-3,00", "EUR", -300), ("3,00-", "EUR", -300), ("−3,00", "EUR", -300), ("1.234", "EUR", 123_400),
        ("1.234.567", "EUR", 123_456_700), ("1.234", "KWD", 1_234), ("1,234", "JPY", 1_234), ("12", "JPY", 12),
        ("0,07", "EUR", 7), ("12.00", "JPY", 12),
    ],
)  # fmt: skip
def test_amounts_are_read_exactly(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@given(st.integers(0, 10**10), st.sampled_from(["EUR", "JPY"]), st.sampled_from([",.", ".,", " ."]))
def test_an_amount_is_what_was_written(minor: int, currency: str, signs: str) -> None:
    text = format_minor(minor, currency)
    whole, _point, rest = text.partition(".")
    written = f"{int(whole):,}".replace(",", signs[0]) + (signs[1] + rest if rest else "")
    assert parse_amount(written, currency) == minor


@pytest.mark.parametrize("text", ["", "abc", "1,2,3", "1.23.4", "1e5", "12.345,678", "NaN"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|digits"):
        parse_amount(text, "EUR")


@pytest.mark.parametrize(
    "text", ["2026-11-20", "20.11.2026", "20/11/2026", "20.11.26", "20-11-2026", "2026-11-20T09:00"]
)
def test_days_are_read(text: str) -> None:
    assert parse_day(text) == date(2026, 11, 20)


def test_problems_name_the_row() -> None:
    for rows, says in (
        ("11/20/2026;5,00;x\n", "Row 2: .*before the month"), ("20.11.2026;five;x\n", "Row 2: .*no amount"),
        ("20.11.2026;-5,00;x\n", "No money came in"),
    ):  # fmt: skip
        with pytest.raises(BankFileProblem, match=says):
            bank_files.read(content=f"Datum;Betrag;Verwendungszweck\n{rows}".encode(), currency="EUR")
    for content, says in ((b"a;b\n1;2\n", "No headings"), (b"\0", "no CSV"), (b"x" * 2**21, "at most 1 MB")):
        with pytest.raises(BankFileProblem, match=says):
            bank_files.read(content=content, currency="EUR")


def statement(world: World, *rows: tuple[int, str, str]) -> list[StatementLine]:
    """Lines of (minor units, reference, payer)."""
    said = "".join(f"2027-03-09;{format_minor(amount, 'USD')};{text};{payer}\n" for amount, text, payer in rows)
    return bank_files.read(content=f"Date;Amount;Reference;Payer\n{said}".encode(), currency="USD")


def take_in(world: World, lines: list[StatementLine]) -> tuple[int, int]:
    with as_operator():
        return bank_lines.take_in(matches=bank_lines.match(lines), actor="Ana", now=world.clock)


def states(lines: list[StatementLine]) -> list[str]:
    with as_operator():
        return [each.state for each in bank_lines.match(lines)]


def test_lines_are_matched_by_number_and_taken_in_once(world: World) -> None:
    first, second, third = invoiced(world), invoiced(world, 10**7), invoiced(world, 3 * 10**7)
    lines = statement(
        world,
        (first.total, f"Rechnung {str(first.number).lower().replace('-', ' ')} danke", ""),
        (second.total - 5, f"{second.number}", ""),
        (third.total, "no number", world.tenant.name),
        (77, "hello", "somebody"),
        (77, "hello", "somebody"),
    )
    assert states(lines) == ["matched"] * 3 + ["unmatched"] * 2
    assert take_in(world, lines) == (3, 2)
    assert (status(first), left(second), status(third)) == ("paid", 5, "paid")
    assert states(lines) == ["duplicate"] * 5
    assert take_in(world, lines) == (0, 0)
    with as_operator():
        assert Payment.objects.filter(tenant=world.tenant).count() == 3
        paid = Payment.objects.earliest("id")
        assert (paid.received_on, paid.method, paid.actor) == (date(2027, 3, 9), "bank", "Ana")
    assert balanced(world)


def test_a_longer_number_is_no_shorter_one_and_two_tenants_are_nobody(world: World) -> None:
    mine, theirs = invoiced(world), invoiced(World())
    lines = statement(
        world, (mine.total, f"{mine.number}0", ""), (mine.total, f"{mine.number} {theirs.number}", ""),
    )  # fmt: skip
    assert states(lines) == ["unmatched", "unmatched"]


def test_too_much_is_credit_and_two_invoices_are_paid_at_once(world: World) -> None:
    first, second = invoiced(world), invoiced(world, 10**7)
    take_in(world, statement(world, (first.total + second.total + 300, f"{second.number}, {first.number}", "")))
    assert (status(first), status(second), advance(world)) == ("paid", "paid", {"USD": 300})


def test_a_transfer_for_the_wallet_names_the_tenant(prepaid: World) -> None:
    lines = statement(prepaid, (2_500, f"TOP-UP {prepaid.tenant.slug}", "x"), (1, "top-up nobody-here", "x"))
    assert states(lines) == ["matched", "unmatched"]
    take_in(prepaid, lines)
    assert prepaid.wallet().limit == 125 * USD


def test_what_nobody_knew_is_assigned_once(world: World) -> None:
    invoice = invoiced(world)
    take_in(world, statement(world, (invoice.total, "hello", "somebody")))
    with as_operator():
        line = BankLine.objects.get()
        for _ in range(2):
            try:
                bank_lines.assign(line=line, tenant=world.tenant, chosen=None, actor="Ana", now=world.clock)
            except PaymentProblem as problem:
                assert "already" in str(problem)  # noqa: PT017 - the second time
    assert status(invoice) == "paid"
    with as_operator():
        assert Payment.objects.filter(tenant=world.tenant).count() == 1
