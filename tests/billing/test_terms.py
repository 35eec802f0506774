"""Contracts: what tiers, free allowances and a minimum make of a month, on the books and on the invoice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from django.db.utils import IntegrityError

from billing import books, closing, invoice_pdf, invoices, periods, terms
from billing.contract_sums import USD as BY_AMOUNT
from billing.contract_sums import Contract, FreeTerms, TierTerms
from billing.invoices import InvoiceProblem
from billing.meters import Usage
from billing.models import Charge, Invoice, InvoiceLine, Terms, TierRule
from billing.tasks import close_periods
from billing.terms import TermsProblem
from billing.tiers import Tiers
from portal.models import Tenant
from portal.tenancy import as_operator, as_tenant
from tests.billing.world import PRICES, USD, World, as_role, run

PARIS = ZoneInfo("Europe/Paris")
MARCH = datetime(2027, 3, 1, tzinfo=PARIS)
CLOSED = datetime(2027, 4, 1, 7, tzinfo=PARIS)
MILLION = 1_000_000
GRADUATED = TierTerms("*", "input", "tokens", Tiers("graduated", (0, 1_000), (150_000, 100_000)))


@pytest.fixture(autouse=True)
def operator(db: None) -> Iterator[None]:
    with as_operator():
        yield


def agree(world: World, contract: Contract, start: datetime = MARCH, until: datetime | None = None) -> Terms:
    return terms.agree(
        tenant=world.tenant, contract=contract, effective_from=start, effective_to=until, now=world.clock
    )


def close(world: World, month: str = "2027-03", at: datetime = CLOSED) -> Invoice:
    return closing.close(tenant=world.tenant, month=month, now=at, finalise=True)


def charged(world: World, label: str = "2027-03") -> dict[tuple[str, str], int]:
    """The sums of charges of a month by kind and the end of their subject."""
    found: dict[tuple[str, str], int] = {}
    for charge in Charge.objects.filter(tenant_id=world.tenant.id, period_label=label):
        key = (charge.kind, charge.subject.partition(".")[2])
        found[key] = found.get(key, 0) + int(charge.exact)
    return {key: exact for key, exact in found.items() if exact}


def balanced(world: World) -> bool:
    report = books.check(tenant_id=world.tenant.id)
    assert report.differences == ()
    return report.balanced


def lines(invoice: Invoice) -> list[InvoiceLine]:
    return list(invoice.lines.filter(charge__isnull=False).order_by("position"))


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


# -- time


def test_terms_of_half_a_month_count_its_usage_and_prorate_in_kolkata(db: None) -> None:
    world, zone = World(zone="Asia/Kolkata"), ZoneInfo("Asia/Kolkata")
    middle = datetime(2027, 3, 16, 12, tzinfo=zone)
    contract = Contract(minimum=31 * USD, free_tokens=(FreeTerms("*", "input", 6_200),))
    agree(world, contract, middle)
    world.use(Usage(input=50_000), at=middle - timedelta(seconds=1))
    world.use(Usage(input=2_000), at=middle)
    close(world, at=datetime(2027, 4, 1, 7, tzinfo=zone))
    assert charged(world) == {
        ("free", "free-tokens-1"): -2_000 * 150_000,
        ("minimum", "minimum"): 31 * USD // 2,
    }
    free = Charge.objects.get(kind="free")
    assert (free.detail["granted"], free.detail["used"]) == ("3100", "2000")
    assert balanced(world)


@pytest.mark.parametrize(
    ("label", "cut", "hours", "of"),
    [("2027-03", datetime(2027, 3, 28, tzinfo=PARIS), 27 * 24, 743),
     ("2027-03", datetime(2027, 3, 29, tzinfo=PARIS), 28 * 24 - 1, 743),
     ("2027-10", datetime(2027, 11, 1, tzinfo=PARIS), 745, 745)],
)  # fmt: skip
def test_a_minimum_is_prorated_by_true_hours_where_clocks_change(
    world: World, label: str, cut: datetime, hours: int, of: int
) -> None:
    start = periods.month(label, "Europe/Paris").start
    world.clock = start + timedelta(days=1)
    agree(world, Contract(minimum=of * USD), start, cut)
    terms.apply(tenant=world.tenant, period=periods.month(label, "Europe/Paris"), now=start + timedelta(days=40))
    assert charged(world, label) == {("minimum", "minimum"): hours * USD}


def test_a_contract_that_changes_in_mid_month_is_two_parts_of_it(world: World) -> None:
    middle = datetime(2027, 3, 20, tzinfo=PARIS)
    agree(world, Contract(tiers=(GRADUATED,), minimum=743 * USD))
    agree(world, Contract(free_amount=743 * USD), middle)
    world.use(Usage(input=1_500))
    world.use(Usage(input=1_500), at=middle + timedelta(hours=1))
    close(world)
    first, second = Terms.objects.filter(tenant_id=world.tenant.id).order_by("effective_from")
    assert first.effective_to == second.effective_from == middle
    assert charged(world) == {
        ("tier", "tier-1"): -500 * 50_000,
        ("minimum", "minimum"): 19 * 24 * USD - 1_500 * 150_000 + 500 * 50_000,
        ("free", "free-amount"): -1_500 * 150_000,
    }
    assert balanced(world)


def test_the_minimum_comes_only_once_the_month_is_over(world: World) -> None:
    agree(world, Contract(minimum=USD, tiers=(GRADUATED,)))
    world.use(Usage(input=1_500))
    draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    assert [line.exact for line in lines(draft)] == [-500 * 50_000]
    assert charged(world) == {("tier", "tier-1"): -500 * 50_000}
    close(world)
    assert ("minimum", "minimum") in charged(world)


def test_a_draft_that_is_built_again_and_again_has_one_line_for_each_subject(world: World) -> None:
    agree(world, Contract(tiers=(GRADUATED,)))
    for _time in range(3):
        world.use(Usage(input=800))
        draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    assert Charge.objects.filter(tenant_id=world.tenant.id).count() == 2
    (line,) = lines(draft)
    assert (int(line.exact), line.description[-24:]) == (-1_400 * 50_000, "2,400 tokens, up to tier 2"[-24:])
    assert balanced(world)


# -- minimums without usage, and jobs


def test_a_minimum_is_invoiced_once_where_nothing_was_used(world: World) -> None:
    agree(world, Contract(minimum=50 * USD))
    first = closing.close_ended(tenant=world.tenant, now=CLOSED)
    assert first is not None
    assert (first.period_label, first.total) == ("2027-03", 5_000)
    assert closing.close_ended(tenant=world.tenant, now=CLOSED + timedelta(hours=1)) is None
    assert balanced(world)


def test_a_month_that_no_job_closed_is_charged_with_the_next(world: World) -> None:
    agree(world, Contract(minimum=50 * USD))
    invoice = close(world, "2027-05", datetime(2027, 6, 1, 7, tzinfo=PARIS))
    assert [(line.period_label, int(line.exact)) for line in lines(invoice)] == [
        ("2027-03", 50 * USD), ("2027-04", 50 * USD), ("2027-05", 50 * USD),
    ]  # fmt: skip
    assert balanced(world)


def test_a_tenant_without_a_contract_gets_no_charge_and_no_invoice(world: World) -> None:
    close_periods(tenant=world.tenant.slug)
    assert closing.close_ended(tenant=world.tenant, now=CLOSED) is None
    assert not Charge.objects.filter(tenant_id=world.tenant.id).exists()


def test_closing_again_changes_nothing(world: World) -> None:
    agree(world, Contract(minimum=USD, tiers=(GRADUATED,), free_tokens=(FreeTerms("*", "", 100),)))
    world.use(Usage(input=2_000))
    invoice = close(world)
    made = Charge.objects.filter(tenant_id=world.tenant.id).count()
    assert close(world, at=CLOSED + timedelta(hours=1)).pk == invoice.pk
    assert terms.apply_until(tenant=world.tenant, label="2027-03", now=CLOSED + timedelta(hours=2)) == 0
    assert Charge.objects.filter(tenant_id=world.tenant.id).count() == made


def test_a_kill_between_charging_and_drafting_leaves_nothing_half(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(world, Contract(minimum=USD, tiers=(GRADUATED,)))
    world.use(Usage(input=2_000))

    def killed(**_given: object) -> Invoice:
        raise InvoiceProblem("killed")

    with monkeypatch.context() as patch:
        patch.setattr(invoices, "draft", killed)
        with pytest.raises(InvoiceProblem):
            close(world)
    assert charged(world)
    assert balanced(world)
    assert int(close(world).exact) == USD
    assert balanced(world)


def test_a_kill_while_charging_leaves_no_charge(world: World) -> None:
    agree(world, Contract(minimum=USD, tiers=(GRADUATED,)))
    world.use(Usage(input=2_000))
    world.post()
    with transaction.atomic():
        assert terms.apply_until(tenant=world.tenant, label="2027-03", now=CLOSED) == 2
        transaction.set_rollback(True)
    assert charged(world) == {}
    assert int(close(world).exact) == USD


# -- late usage


def test_late_usage_of_a_closed_month_moves_its_tiers_on_the_next_invoice(world: World) -> None:
    agree(world, Contract(tiers=(GRADUATED,), minimum=USD))
    late = world.opening(at=world.clock)
    assert world.open([late]) == []
    world.use(Usage(input=900))
    assert int(close(world).exact) == USD
    world.settle([world.ending(late, Usage(input=300))])
    after = close(world, "2027-04", datetime(2027, 5, 1, 7, tzinfo=PARIS))
    said = {(line.period_label, line.description, int(line.exact)) for line in lines(after)}
    assert said == {
        ("2027-03", "Graduated price of all models (Input tokens): 1,200 tokens, up to tier 2", -200 * 50_000),
        ("2027-03", "Minimum of 1.00 USD: 0.00 USD used (change)", -(300 * 150_000 - 200 * 50_000)),
        ("2027-04", "Minimum of 1.00 USD: 0.00 USD used", USD),
    }
    assert balanced(world)


def test_usage_posted_while_a_month_is_drafted_is_in_its_tiers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agree(world, Contract(tiers=(GRADUATED,)))
    world.use(Usage(input=900))
    drafted = invoices.draft

    def late(*, tenant: Tenant, month: str, now: datetime) -> Invoice:
        monkeypatch.undo()
        world.use(Usage(input=600))
        world.post()
        return drafted(tenant=tenant, month=month, now=now)

    monkeypatch.setattr(invoices, "draft", late)
    assert int(close(world).exact) == 1_000 * 150_000 + 500 * 100_000


# -- who pays how, and where


def test_a_prepaid_wallet_pays_the_minimum_and_gets_back_what_is_free(prepaid: World) -> None:
    agree(prepaid, Contract(minimum=2 * USD, free_tokens=(FreeTerms("*", "", MILLION),)))
    before = prepaid.wallet().spent
    prepaid.use(Usage(input=2 * MILLION))
    prepaid.post()
    close(prepaid)
    wallet = prepaid.wallet()
    assert wallet.spent - before == 2 * USD
    assert prepaid.balance("wallet") == -(wallet.limit - wallet.spent)
    assert balanced(prepaid)


def test_a_minimum_above_the_wallet_leaves_it_below_zero(prepaid: World) -> None:
    agree(prepaid, Contract(minimum=150 * USD))
    close(prepaid)
    wallet = prepaid.wallet()
    assert wallet.limit - wallet.spent == -50 * USD
    assert balanced(prepaid)


def test_a_tenant_that_moves_counts_every_moment_once(world: World) -> None:
    agree(world, Contract(tiers=(TierTerms("*", "input", "tokens", Tiers("volume", (0,), (100_000,))),), minimum=USD))
    edge = datetime(2027, 4, 1, tzinfo=PARIS)
    world.use(Usage(input=1_000), at=edge - timedelta(hours=1))
    late = world.opening(at=edge - timedelta(hours=2))
    assert world.open([late]) == []
    world.clock = edge + timedelta(hours=1)
    world.use(Usage(input=10), at=edge + timedelta(hours=1))
    close(world, at=CLOSED)
    Tenant.objects.filter(pk=world.tenant.pk).update(timezone="America/New_York", billing_anchor_day=15)
    world.tenant.refresh_from_db()
    world.settle([world.ending(late, Usage(input=500))])
    world.use(Usage(input=20), at=edge + timedelta(days=20))
    for month, at in (("2027-03", datetime(2027, 4, 20, tzinfo=UTC)), ("2027-04", datetime(2027, 5, 16, tzinfo=UTC))):
        close(world, month, at)
    tiers = Charge.objects.filter(tenant_id=world.tenant.id, kind="tier")
    assert sum(int(charge.exact) for charge in tiers) == -(1_000 + 10 + 500 + 20) * 50_000
    march = charged(world)
    assert march["tier", "tier-1"] + march["minimum", "minimum"] + 1_500 * 150_000 == USD, "it stays as it was closed"
    # Between the month that was closed and the new calendar lies a part, with its share of the minimum.
    share = periods.share(periods.month("2027-03", "America/New_York", 15), edge, None)
    assert march["minimum", "1.minimum"] == round(USD * share) - 10 * 100_000
    assert balanced(world)


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
