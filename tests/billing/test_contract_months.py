"""Contracts in time: mid-month, clocks that change, late usage, jobs, wallets, and tenants that move."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import charges, closing, invoices, periods, terms, tiers
from billing.charges import Wanted
from billing.contract_sums import USD as BY_AMOUNT
from billing.contract_sums import Contract, FreeTerms, TierTerms
from billing.invoices import CarriedOver, InvoiceProblem
from billing.meters import Usage
from billing.models import Charge, Invoice, Terms
from billing.tasks import close_periods
from billing.tiers import Tiers
from portal import closing as portal_closing
from portal.models import Tenant
from portal.tenancy import as_operator
from tests.billing.contracts import CLOSED, GRADUATED, MARCH, MILLION, PARIS, agree, balanced, charged, close, lines
from tests.billing.world import USD, World


@pytest.fixture(autouse=True)
def operator(db: None) -> Iterator[None]:
    with as_operator():
        yield


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


def test_a_draft_from_before_the_month_s_end_is_not_made_final_after_it(world: World) -> None:
    agree(world, Contract(minimum=USD))
    world.use(Usage(input=2_000))
    draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
    with pytest.raises(InvoiceProblem, match="build the draft anew"):
        portal_closing.finalise(invoice=draft, actor=None, now=CLOSED)
    assert charged(world) == {}
    draft = portal_closing.draft_month(tenant=world.tenant, month="2027-03", actor=None, now=CLOSED)
    assert int(portal_closing.finalise(invoice=draft, actor=None, now=CLOSED).exact) == USD


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


def test_a_tenant_that_moves_after_a_draft_of_the_month_that_is_over_is_charged_once(world: World) -> None:
    agree(world, Contract(tiers=(GRADUATED,), minimum=USD))
    world.use(Usage(input=2_000))
    closing.close(tenant=world.tenant, month="2027-03", now=CLOSED, finalise=False)
    Tenant.objects.filter(pk=world.tenant.pk).update(timezone="Asia/Kolkata")
    world.tenant.refresh_from_db()
    with pytest.raises(
        CarriedOver
    ):  # what was charged stands behind the end of the new month, and is on the next invoice
        close(world)
    assert balanced(world)
    april = close(world, "2027-04", datetime(2027, 5, 1, 7, tzinfo=PARIS))
    share = periods.share(periods.month("2027-03", "Asia/Kolkata"), MARCH, None)
    assert int(april.exact) == tiers.part_of(USD, share) + USD
    assert balanced(world)


def test_what_is_priced_anew_moves_what_the_contract_makes_of_it(world: World) -> None:
    discount = TierTerms("*", "", BY_AMOUNT, Tiers("graduated", (0,), (1_000,)))
    agree(world, Contract(tiers=(discount,)))
    world.use(Usage(input=1_000_000))
    close(world)
    assert charged(world) == {("tier", "tier-1"): -15_000_000_000}
    march = periods.month("2027-03", "Europe/Paris")
    half = Wanted("rerated", f"book 1: {world.model}", "Priced anew", -75_000_000_000, {"model": world.model})
    charges.bring_to(tenant=world.tenant, period=march, wanted=half, now=CLOSED)
    world.use(Usage(input=1_000_000), at=CLOSED)
    close(world, "2027-04", datetime(2027, 5, 1, 7, tzinfo=PARIS))
    assert charged(world)["tier", "tier-1"] == -7_500_000_000
    assert balanced(world)


# -- the job, and whatever usage is split into


def test_a_prepaid_wallet_gets_back_what_is_cheaper_while_the_month_runs(prepaid: World) -> None:
    agree(prepaid, Contract(minimum=USD, free_tokens=(FreeTerms("*", "input", MILLION),)))
    postpaid = World()
    agree(postpaid, Contract(free_amount=USD))
    before = prepaid.wallet().spent
    for world in (prepaid, postpaid):
        world.use(Usage(input=2 * MILLION))
        world.post()
    assert postpaid.tenant.id not in terms.prepaid_tenants(now=prepaid.clock)
    assert prepaid.tenant.id in terms.prepaid_tenants(now=prepaid.clock)
    for made in (1, 0):
        assert terms.apply_running(tenant=prepaid.tenant, now=prepaid.clock) == made
    assert prepaid.wallet().spent - before == MILLION * 150_000
    assert balanced(prepaid)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(st.tuples(st.integers(1, 900), st.integers(0, 21 + 30)), min_size=1, max_size=8),
    mode=st.sampled_from(["graduated", "volume"]),
    free=st.integers(0, 700),
)
def test_invariant_8_months_come_to_what_their_tokens_do_however_usage_is_split(
    db: None, calls: list[tuple[int, int]], mode: str, free: int
) -> None:
    rule = Tiers(mode, (0, 500, 1_200), (150_000, 120_000, 60_000))
    contract = Contract(
        tiers=(TierTerms("*", "input", "tokens", rule),),
        free_tokens=(FreeTerms("*", "input", free),) if free else (),
    )
    with transaction.atomic():
        world = World()
        agree(world, contract)
        used = {"2027-03": 0, "2027-04": 0}
        for tokens, day in calls:
            at = world.clock + timedelta(days=day)
            used[f"{at.astimezone(PARIS):%Y-%m}"] += tokens
            world.use(Usage(input=tokens), at=at)
        closing.close(tenant=world.tenant, month="2027-03", now=CLOSED, finalise=False)
        closing.close(tenant=world.tenant, month="2027-04", now=CLOSED + timedelta(days=30), finalise=False)
        for label, tokens in used.items():
            cost = 0
            for number in range(1, tokens + 1):
                reached = tokens if mode == "volume" else number
                cost += 150_000 if reached <= 500 else 120_000 if reached <= 1_200 else 60_000
            worth = tiers.whole(Fraction(cost * min(free, tokens), tokens)) if tokens else 0
            assert sum(charged(world, label).values()) == cost - worth - tokens * 150_000
        assert balanced(world)
        transaction.set_rollback(True)
