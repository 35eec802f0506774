"""Contracts: agreeing them, and what they make of a month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from django.db.utils import IntegrityError

from billing import closing, invoice_pdf, terms
from billing.contract_sums import USD as BY_AMOUNT
from billing.contract_sums import Contract, FreeTerms, TierTerms
from billing.meters import Usage
from billing.models import Charge, Terms, TierRule
from billing.terms import TermsProblem
from billing.tiers import Tiers
from portal.models import Tenant
from portal.tenancy import as_operator, as_tenant
from tests.billing.contracts import CLOSED, GRADUATED, MARCH, PARIS, agree, balanced, charged, close, lines
from tests.billing.world import PRICES, USD, World, as_role, run


@pytest.fixture(autouse=True)
def operator(db: None) -> Iterator[None]:
    with as_operator():
        yield


# -- what a month comes to


def test_it_goes_through_tiers_free_tokens_free_amount_and_minimum_in_this_order(world: World) -> None:
    contract = Contract(
        minimum=USD, free_amount=30_000_000, tiers=(GRADUATED,), free_tokens=(FreeTerms("*", "input", 500),)
    )
    agree(world, contract)
    world.use(Usage(input=2_000, output=100))
    invoice = close(world)
    assert charged(world) == {
        ("tier", "tier-1"): -1_000 * 50_000,
        ("free", "free-tokens-1"): -500 * 125_000,
        ("free", "free-amount"): -30_000_000,
        ("minimum", "minimum"): USD - (2_000 * 125_000 + 60_000_000 - 500 * 125_000 - 30_000_000),
    }
    assert [line.description for line in lines(invoice)] == [
        "Graduated price of all models (Input tokens): 2,000 tokens, up to tier 2",
        "Free tokens of all models (Input tokens): 500 of 500 used",
        "Free allowance of 0.00 USD: 0.00 USD used",
        "Minimum of 1.00 USD: 0.00 USD used",
    ]
    assert int(invoice.exact) == USD
    assert balanced(world)


@pytest.mark.parametrize("mode", ["graduated", "volume"])
@pytest.mark.parametrize("tokens", [999, 1_000, 1_001, 4_999, 5_000, 5_001])
def test_invariant_8_a_month_at_a_tier_s_edge_costs_what_its_single_tokens_do(
    world: World, mode: str, tokens: int
) -> None:
    rule = Tiers(mode, (0, 1_000, 5_000), (150_000, 120_000, 90_001))
    agree(world, Contract(tiers=(TierTerms("swift-*", "input", "tokens", rule),)))
    for part in (tokens // 3, tokens - tokens // 3):
        world.use(Usage(input=part))
    expected = 0
    for number in range(1, tokens + 1):
        reached = tokens if mode == "volume" else number
        expected += rule.prices[0 if reached <= 1_000 else 1 if reached <= 5_000 else 2]
    assert int(close(world).exact) == expected


def test_discounts_by_amount_are_off_whatever_the_list_price_is(world: World) -> None:
    discount = Tiers("graduated", (0, 150_000_000, 300_000_000), (0, 1_000, 2_500))
    agree(world, Contract(tiers=(TierTerms("*", "", BY_AMOUNT, discount),)))
    world.use(Usage(input=3_000))
    close(world)
    assert charged(world) == {("tier", "tier-1"): -(15_000_000 + 37_500_000)}


def test_the_first_tiers_that_match_are_those_that_price(world: World) -> None:
    first = TierTerms("*", "output", "tokens", Tiers("volume", (0,), (1,)))
    rest = TierTerms("*", "", BY_AMOUNT, Tiers("volume", (0,), (5_000,)))
    agree(world, Contract(tiers=(first, rest)))
    world.use(Usage(input=100, output=100))
    close(world)
    assert charged(world) == {
        ("tier", "tier-1"): 100 - 100 * PRICES["output"],
        ("tier", "tier-2"): -100 * PRICES["input"] // 2,
    }


# -- agreeing


@pytest.mark.parametrize(
    ("contract", "start", "until", "words"),
    [(Contract(), MARCH, None, "say nothing"),
     (Contract(minimum=1), MARCH + timedelta(minutes=5), None, "quarter"),
     (Contract(minimum=1), MARCH, MARCH, "after they begin"),
     (Contract(minimum=1), datetime(2027, 1, 1, tzinfo=PARIS), None, "2027-02"),
     (Contract(minimum=1), datetime(2035, 1, 1, tzinfo=PARIS), None, "five years"),
     (Contract(free_tokens=(FreeTerms("*", "thoughts", 1),)), MARCH, None, "no token class"),
     (Contract(free_tokens=(FreeTerms("*", "", 0),)), MARCH, None, "Free tokens"),
     (Contract(tiers=(TierTerms("*", "", BY_AMOUNT, Tiers("volume", (0,), (10_001,))),)), MARCH, None, "100 per cent"),
     (Contract(tiers=(TierTerms(" ", "", "tokens", Tiers("volume", (0,), (1,))),)), MARCH, None, "which models")],
)  # fmt: skip
def test_it_refuses_terms_that_make_no_sense(
    world: World, contract: Contract, start: datetime, until: datetime | None, words: str
) -> None:
    with pytest.raises(TermsProblem, match=words):
        agree(world, contract, start, until)


def test_no_two_terms_of_a_tenant_overlap(world: World) -> None:
    agree(world, Contract(minimum=1), datetime(2027, 5, 1, tzinfo=PARIS))
    with pytest.raises(TermsProblem, match="Other terms"):
        agree(world, Contract(minimum=2))
    agree(world, Contract(minimum=2), MARCH, datetime(2027, 5, 1, tzinfo=PARIS))
    with pytest.raises(IntegrityError), transaction.atomic():
        Terms.objects.create(tenant=world.tenant, effective_from=MARCH + timedelta(days=3), minimum=1)


def test_what_is_closed_stays_as_it_was_agreed(world: World) -> None:
    agreed = agree(world, Contract(minimum=USD, tiers=(GRADUATED,)))
    close(world)
    world.clock = CLOSED
    with pytest.raises(TermsProblem, match="are closed and invoiced"):
        terms.withdraw(terms=agreed, now=CLOSED)
    with pytest.raises(TermsProblem, match="are closed and invoiced"):
        terms.end(terms=agreed, at=MARCH + timedelta(days=20), now=CLOSED)
    with pytest.raises(TermsProblem, match="are closed and invoiced"):
        agree(world, Contract(minimum=1), MARCH + timedelta(days=20))
    for statement in (
        "UPDATE billing_terms SET minimum = 0 WHERE id = %s",
        "UPDATE billing_terms SET effective_to = '2027-03-20' WHERE id = %s",
        "DELETE FROM billing_tierrule WHERE terms_id = %s",
        "UPDATE billing_tierrule SET prices = '{1,1}' WHERE terms_id = %s",
    ):
        with pytest.raises(IntegrityError, match="closed"), as_role("none"):
            run(statement, agreed.pk)
    ended = terms.end(terms=agreed, at=datetime(2027, 5, 1, tzinfo=PARIS), now=CLOSED)
    assert ended.effective_to == datetime(2027, 5, 1, tzinfo=PARIS)
    close(world, "2027-04", datetime(2027, 5, 1, 7, tzinfo=PARIS))
    assert closing.close_ended(tenant=world.tenant, now=datetime(2027, 6, 1, 7, tzinfo=PARIS)) is None


def test_terms_that_are_withdrawn_or_revised_take_their_charges_with_them(world: World) -> None:
    agreed = agree(world, Contract(tiers=(GRADUATED,)))
    world.use(Usage(input=2_000))
    closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    assert charged(world)
    revised = terms.revise(
        terms=agreed, contract=Contract(free_amount=USD), effective_from=MARCH, effective_to=None, now=world.clock
    )
    draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    assert charged(world) == {("free", "free-amount"): -2_000 * 150_000}
    assert [line.description for line in lines(draft)] == ["Free allowance of 1.00 USD: 0.00 USD used"]
    terms.withdraw(terms=revised, now=world.clock)
    draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    assert charged(world) == {}
    assert lines(draft) == []
    assert not TierRule.objects.filter(tenant_id=world.tenant.id).exists()
    assert balanced(world)


def test_a_tenant_sees_its_own_terms_and_changes_none(world: World) -> None:
    other = World()
    agree(world, Contract(minimum=1))
    agree(other, Contract(minimum=2))
    with as_tenant(world.tenant.pk):
        assert [int(row.minimum) for row in Terms.objects.all()] == [1]


def test_lines_are_in_the_tenant_s_language_and_in_the_document(world: World) -> None:
    Tenant.objects.filter(pk=world.tenant.pk).update(language="de")
    world.tenant.refresh_from_db()
    agree(world, Contract(minimum=USD, tiers=(GRADUATED,)))
    world.use(Usage(input=2_000))
    invoice = close(world)
    assert [line.description for line in lines(invoice)] == [
        "Staffelpreis für alle Modelle (Eingabe-Tokens): 2.000 Tokens, bis Stufe 2",
        "Mindestumsatz von 1,00 USD: 0,00 USD genutzt",
    ]
    assert invoice_pdf.render(invoice).startswith(b"%PDF")


def test_lines_say_the_month_as_it_is_even_where_the_amount_did_not_change(world: World) -> None:
    flat = Tiers("graduated", (0, 1_000), (100_000, 150_000))
    agree(world, Contract(tiers=(TierTerms("*", "input", "tokens", flat),)))
    for tokens in (2_000, 3_000):
        world.use(Usage(input=tokens))
        draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    (line,) = lines(draft)
    assert line.description == "Graduated price of all models (Input tokens): 5,000 tokens, up to tier 2"
    assert Charge.objects.filter(tenant_id=world.tenant.id).count() == 1
