"""Taxes and currencies: who is charged what, and that it adds up in every currency."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from billing import books, closing, exchange, ledger, taxes, vat_ids
from billing.exchange import ExchangeProblem, Rate
from billing.meters import Usage
from billing.models import Invoice, LedgerEntry, TaxRate
from billing.money import minor_digits, minor_to_pico
from billing.taxes import Group, TaxProblem, Treatment
from billing.vat_ids import VatIdProblem
from portal.models import Tenant
from portal.tenancy import as_operator
from tests.billing.world import USD, World

DAY = date(2027, 3, 31)
CURRENCIES = {"EUR": (86957, 100_000), "GBP": (3, 4), "TRY": (4_183_501, 100_000), "CHF": (88, 100),
              "JPY": (15_512, 100), "KWD": (30_751, 100_000)}  # fmt: skip


@pytest.fixture
def seller(settings: Any) -> Any:
    settings.SELLER = {**settings.SELLER, "country": "DE", "vat_id": "DE136695976"}
    return settings


def change(world: World, **values: object) -> None:
    with as_operator():
        Tenant.objects.filter(pk=world.tenant.pk).update(**values)
        world.tenant.refresh_from_db()


def keep_rate(world: World, currency: str, numerator: int, denominator: int) -> None:
    with as_operator():
        exchange.keep(Rate(currency, numerator, denominator, world.clock.date(), "test"), now=world.clock)


def close(world: World) -> Invoice:
    with as_operator():
        return closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)


def balanced(world: World) -> bool:
    with as_operator():
        return books.check(tenant_id=world.tenant.id).differences == ()


@pytest.mark.parametrize(
    ("country", "vat_id", "category", "rate"),
    [
        ("DE", "", "S", 1900),
        ("DE", "DE136695976", "S", 1900),
        ("AT", "ATU13585627", "AE", 0),
        ("GR", "EL094259216", "AE", 0),
        ("FR", "", "S", 2000),
        ("FI", "", "S", 2550),
        ("CH", "", "G", 0),
        ("TR", "4540536920", "G", 0),
        ("US", "", "G", 0),
    ],
)
def test_the_rule_of_a_german_seller(
    world: World, seller: Any, country: str, vat_id: str, category: str, rate: int
) -> None:
    change(world, country=country, vat_id=vat_id)
    with as_operator():
        found = taxes.treatment_of(tenant=world.tenant, day=DAY)
    assert (found.category, found.rate) == (category, rate)


@pytest.mark.parametrize(("seller_country", "category"), [("TR", "O"), ("GB", "O"), ("CH", "O")])
def test_a_seller_outside_the_eu_charges_nothing_abroad_and_its_own_rate_at_home(
    world: World, settings: Any, seller_country: str, category: str
) -> None:
    settings.SELLER = {**settings.SELLER, "country": seller_country, "vat_id": "1"}
    with as_operator():
        change(world, country="DE")
        assert taxes.treatment_of(tenant=world.tenant, day=DAY) == Treatment(category)
        change(world, country=seller_country)
        home = taxes.treatment_of(tenant=world.tenant, day=DAY)
    assert (home.category, home.rate) == ("S", {"TR": 2000, "GB": 2000, "CH": 810}[seller_country])


def test_a_seller_without_a_vat_id_charges_none_and_a_tenants_own_category_comes_first(
    world: World, seller: Any
) -> None:
    change(world, country="DE", tax_category="E")
    with as_operator():
        assert taxes.treatment_of(tenant=world.tenant, day=DAY) == Treatment("E")
        seller.SELLER = {**seller.SELLER, "vat_id": ""}
        assert taxes.treatment_of(tenant=world.tenant, day=DAY) == Treatment("O")


def test_a_new_rate_holds_from_its_day_on(world: World, seller: Any) -> None:
    change(world, country="DE")
    with as_operator():
        TaxRate.objects.create(country="DE", rate=2100, effective_from=date(2027, 4, 1))
        rates = [taxes.treatment_of(tenant=world.tenant, day=day).rate for day in (DAY, date(2027, 4, 1))]
    assert rates == [1900, 2100]


@pytest.mark.parametrize(
    ("values", "says"),
    [({"country": ""}, "country"), ({"country": "AT", "vat_id": "ATU1"}, "not a VAT id")],
)
def test_what_the_tax_depends_on_is_never_guessed(world: World, seller: Any, values: dict[str, str], says: str) -> None:
    change(world, **values)
    world.use(Usage(input=10**6))
    with as_operator(), pytest.raises(TaxProblem, match=says):
        taxes.treatment_of(tenant=world.tenant, day=DAY)
    parked = close(world)
    assert parked.number is None
    assert says in parked.parked_reason
    assert balanced(world)
    change(world, country="DE", vat_id="")
    assert close(world).tax == 3  # 0.15 × 19 % = 0.0285


@pytest.mark.parametrize("mode", ["postpaid", "prepaid"])
@pytest.mark.django_db
def test_tax_is_charged_posted_and_kept_in_the_snapshot(mode: str, seller: Any) -> None:
    world = World(mode=mode)
    change(world, country="DE")
    world.use(Usage(input=10**8, output=1))
    invoice = close(world)
    assert (invoice.subtotal, invoice.tax, invoice.total) == (1500, 285, 1785)
    assert world.balance("tax") == -minor_to_pico(285, "USD")
    owed = world.balance("receivable") if mode == "postpaid" else world.balance("wallet") + 100 * USD
    assert owed == minor_to_pico(1785, "USD")
    wallet = world.wallet()
    assert wallet.spent == minor_to_pico(1785, "USD")
    assert invoice.snapshot["taxes"] == [{"category": "S", "rate": 1900, "base": 1500, "amount": 285}]
    assert invoice.snapshot["buyer"]["country"] == "DE"
    assert balanced(world)


def test_a_wrong_tax_is_found_by_the_check_of_the_books(world: World, seller: Any) -> None:
    change(world, country="DE")
    world.use(Usage(input=10**8))
    with as_operator():
        draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE billing_invoicetax SET amount = amount + 1 WHERE invoice_id = %s", [draft.pk])
        found = {difference.check for difference in books.check(tenant_id=world.tenant.id).differences}
    assert found == {"tax = its groups = ledger"}


@given(bases=st.lists(st.tuples(st.integers(-(10**9), 10**9), st.sampled_from([0, 810, 1900, 2550])), max_size=12))
def test_invariant_25_tax_is_rounded_once_for_each_category_and_rate(bases: list[tuple[int, int]]) -> None:
    class Line:
        def __init__(self, amount: int, rate: int) -> None:
            self.amount, self.tax_rate, self.tax_category = amount, rate, "S"

    groups = taxes.groups_of([Line(*base) for base in bases])
    assert sum(group.base for group in groups) == sum(base for base, _rate in bases)
    for group in groups:
        exact = Fraction(group.base * group.rate, 10_000)
        assert group == Group("S", group.rate, group.base, group.amount)
        assert abs(group.amount - exact) <= Fraction(1, 2)
        assert abs(group.amount) >= abs(exact) or abs(group.amount - exact) < Fraction(1, 2)


@pytest.mark.parametrize("language", ["en", "de", "fr", "tr"])
def test_every_category_without_tax_has_its_words(language: str) -> None:
    said = {category: taxes.words_of(category, language) for category in ("AE", "G", "O", "E", "Z")}
    assert all(said.values())
    assert len(set(said.values())) == len(said)


@pytest.mark.parametrize(
    ("country", "text", "compact"),
    [
        ("DE", "DE 136 695 976", "DE136695976"),
        ("DE", "136695976", "DE136695976"),
        ("GR", "094259216", "EL094259216"),
        ("GB", "GB 980 7806 84", "GB980780684"),
        ("TR", "4540536920", "4540536920"),
        ("US", "12-3456789", "123456789"),
    ],
)
def test_vat_ids_are_written_in_one_way(country: str, text: str, compact: str) -> None:
    assert vat_ids.checked(country, text) == compact


@pytest.mark.parametrize(("country", "text"), [("DE", "DE136695977"), ("AT", "DE136695976"), ("TR", "1"), ("US", "§")])
def test_a_wrong_vat_id_is_refused(country: str, text: str) -> None:
    with pytest.raises(VatIdProblem):
        vat_ids.checked(country, text)


@pytest.mark.parametrize("mode", ["postpaid", "prepaid"])
@pytest.mark.parametrize("currency", list(CURRENCIES))
@pytest.mark.django_db
def test_invariant_24_exact_and_rounding_make_the_rounded_sum_in_any_currency(
    mode: str, currency: str, seller: Any
) -> None:
    world = World(mode=mode)
    change(world, country="DE", currency=currency)
    keep_rate(world, currency, *CURRENCIES[currency])
    world.use(Usage(input=12_345_678, output=7_654_321, cache_read=999))
    world.use(Usage(input=1, reasoning=77_777))
    invoice = close(world)
    rate = Fraction(*CURRENCIES[currency])
    with as_operator():
        lines = list(invoice.lines.all())
        entries = LedgerEntry.objects.filter(transfer__key=f"invoice:{invoice.pk}", tenant=world.tenant)
        sums: dict[str, int] = {}
        for entry in entries:
            sums[entry.currency] = sums.get(entry.currency, 0) + int(entry.amount)
    for line in lines:
        wanted = int(line.exact) * rate / 10 ** (12 - minor_digits(currency))
        assert abs(line.amount - wanted) <= Fraction(1, 2)
    assert (invoice.rate_numerator, invoice.rate_denominator, invoice.currency) == (*CURRENCIES[currency], currency)
    with as_operator():
        rounding = ledger.balance(tenant_id=world.tenant.id, kind="rounding", currency=currency)
    exact = exchange.rate_of(invoice).convert(int(invoice.exact))
    assert minor_to_pico(invoice.subtotal, currency) == exact - rounding
    assert set(sums.values()) == {0}
    assert set(sums) == {"USD", currency}
    with as_operator():
        wallet = world.wallet()
    assert wallet.spent == int(invoice.usd_total)
    assert balanced(world)


def test_rates_are_kept_once_and_used_while_they_are_fresh(world: World) -> None:
    with as_operator():
        first = Rate("EUR", 9, 10, date(2027, 3, 1), "hand")
        assert exchange.keep(first, now=world.clock) is not None
        assert exchange.keep(first, now=world.clock) is None
        with pytest.raises(ExchangeProblem, match="never changed"):
            exchange.keep(Rate("EUR", 8, 10, date(2027, 3, 1)), now=world.clock)
        assert exchange.rate_for(currency="EUR", day=date(2027, 3, 31)).numerator == 9
        for day in (date(2027, 2, 28), date(2027, 4, 20)):
            with pytest.raises(ExchangeProblem, match="there is none"):
                exchange.rate_for(currency="EUR", day=day)
        with pytest.raises(ExchangeProblem, match="not a currency"):
            exchange.rate_for(currency="XXX", day=DAY)


@given(
    pico=st.integers(-(10**24), 10**24), numerator=st.integers(1, 10**9), denominator=st.integers(1, 10**9),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
)  # fmt: skip
def test_amounts_are_converted_exactly_and_rounded_once(
    pico: int, numerator: int, denominator: int, currency: str
) -> None:
    rate = Rate(currency, numerator, denominator)
    exact = Fraction(pico * numerator, denominator * 10 ** (12 - minor_digits(currency)))
    assert abs(rate.to_minor(pico) - exact) <= Fraction(1, 2)
    assert rate.to_minor(-pico) == -rate.to_minor(pico)
