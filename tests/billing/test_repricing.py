"""New prices are previewed exactly as calls rated one by one would come to, and re-ratings charge just that."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing import books, catalog, charges, closing, journal, preview, price_sheets, reratings
from billing.catalog import VariantPrices
from billing.contract_sums import Contract, FreeTerms, TierTerms
from billing.meters import COMPLETION_CLASSES, PROMPT_CLASSES, Usage
from billing.models import Rerating, UsageRollup
from billing.periods import month
from billing.price_sheets import Sheet
from billing.pricing import PriceVersion, rate
from billing.reratings import Asked
from billing.tiers import Tiers
from portal.models import User
from portal.tenancy import as_operator
from tests.billing.contracts import PARIS, agree
from tests.billing.world import PRICES, World

OLD = [
    VariantPrices("flex", 0, "flex", (), {"input": 70_000, "output": 300_000}),
    VariantPrices("above-400", 400, "", (), {"input": 250_000}),
    VariantPrices("night", 0, "", ((1320, 300),), {"input": 1_000}),
]
AMOUNT = st.integers(0, 2_000_000)


@st.composite
def sheets(draw: st.DrawFn, model: str = "") -> Sheet:
    """Prices with any of: long prompts, a tier, hours, and both together."""
    variants = []
    for name, above, tier, hours in (
        ("above-50", 50, "", ()),
        ("above-500", 500, "", ()),
        ("flex", 0, "flex", ()),
        ("flex.above-50", 50, "flex", ()),
        ("night", 0, "", ((1320, 300),)),
        ("flex.noon", 0, "flex", ((720, 721), (800, 900))),
    ):
        if draw(st.booleans()):
            variants.append(VariantPrices(name, above, tier, hours, {"input": draw(AMOUNT), "output": draw(AMOUNT)}))
    if any(one.service_tier for one in variants) and not any(one.variant == "flex" for one in variants):
        variants.append(VariantPrices("flex", 0, "flex", (), {"input": draw(AMOUNT)}))
    numbers = {name: draw(AMOUNT) for name in ("input", "output", "cache_read", "reasoning", "per_request")}
    return Sheet(model, numbers, tuple(variants))


class Calls:
    """Calls of a tenant in March, and what each truly used: the plain list that sums are compared with."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        world.publish(PRICES, world.clock + timedelta(days=1), OLD)
        with as_operator():
            self.prices = catalog.price_list(catalog.default_book(), world.model)
        self.truth: dict[UUID, tuple[datetime, Usage, str]] = {}

    def make(self, count: int) -> None:
        """Some calls: settled, or lost and swept, or swept and then told the truth, or that they were none."""
        for _ in range(count):
            moment = self.world.clock + timedelta(seconds=self.random.randrange(-8 * 86_400, 18 * 86_400))
            usage, tier, kind = self.usage(), self.random.choice(("", "flex")), self.random.randrange(5)
            version = self.prices.at(max(moment, self.world.clock))
            assert version is not None
            tier = tier if version.sells(tier) else ""
            self.world.price = price = version.chosen(usage, tier)
            opening = self.world.opening(rate(usage, price), at=moment)
            assert self.world.open([opening]) == []
            ending = replace(self.world.ending(opening, usage, price), price_id=price.id)
            self.truth[opening.id] = (moment, usage, tier)
            if kind < 2:
                journal.sweep(now=max(moment, journal.database_now()) + timedelta(hours=1))
                event = self.world.event(opening)
                self.truth[opening.id] = (moment, Usage(*(getattr(event, name) for name in Usage._fields)), tier)
            if kind == 0:
                continue
            if kind == 1 and self.random.random() < 0.4:
                ending = replace(ending, state="voided", basis=None, usage=Usage(), cost=0)
                del self.truth[opening.id]
            elif kind == 1:
                self.truth[opening.id] = (moment, usage, tier)
            self.world.settle([ending])

    def usage(self) -> Usage:
        """A little of some classes."""
        some = {
            name: self.random.choice((0, 0, 1, 30, 51, 470, 1000)) for name in (*PROMPT_CLASSES, *COMPLETION_CLASSES)
        }
        return Usage(**some)

    def at(self, version: PriceVersion, start: datetime, end: datetime) -> int:
        """What the calls of a range come to at another price, one by one."""
        return sum(
            rate(usage, version.at_moment(moment).chosen(usage, tier))
            for moment, usage, tier in self.truth.values()
            if start <= moment < end
        )


@pytest.fixture(autouse=True)
def operator(db: None) -> Iterator[None]:
    with as_operator():
        yield


def someone(name: str = "one") -> User:
    return User.objects.get_or_create(email=f"{name}@tollgate.test", defaults={"password": "!"})[0]


def replaced(world: World, sheet: Sheet) -> Sheet:
    (made,) = price_sheets.replacing([replace(sheet, model=world.model)], catalog.default_book())
    return made


def priced_anew(world: World, sheet: Sheet | None, start: datetime, end: datetime, now: datetime) -> Rerating:
    """Asked for, counted, confirmed and posted."""
    asked = Asked(
        catalog.default_book(),
        None,
        [world.model],
        start,
        end,
        [replace(sheet, model=world.model)] if sheet else [],
        "x",
    )
    row = reratings.ask(asked, actor_id=someone().pk, now=now)
    row = reratings.work(row.pk, now=now)
    assert (row.state, row.problem) == ("previewed", "")
    reratings.confirm(rerating_id=row.pk, actor_id=someone().pk, now=now)
    row = reratings.work(row.pk, now=now)
    assert row.state == "done"
    return row


def charged(world: World, label: str = "2027-03") -> int:
    return charges.charged(tenant_id=world.tenant.id, period_label=label, kinds=("rerated",))


@settings(
    max_examples=12, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sheet=sheets(), seed=st.integers(0, 10**9), cut=st.integers(1, 30 * 24 * 60))
def test_invariant_2_preview_closing_and_re_rating_equal_calls_rated_one_by_one(
    sheet: Sheet, seed: int, cut: int
) -> None:
    world = World()
    calls = Calls(world, seed)
    calls.make(15)
    march, now = month("2027-03", "Europe/Paris"), datetime(2027, 4, 2, tzinfo=UTC)
    assert march.end is not None
    version = replace(sheet, model=world.model).version()

    shown = preview.last_month(book=catalog.default_book(), sheets=[replaced(world, sheet)], starts_at=now, now=now)
    (bill,) = shown.bills
    wanted = calls.at(version, march.start, march.end)
    assert (bill.requests, bill.after, bill.label) == (len(calls.truth), wanted, "2027-03")

    row = priced_anew(world, sheet, march.start, march.end, now)
    (line,) = row.lines.all()
    assert (int(line.before), int(line.after), line.requests) == (bill.before, bill.after, bill.requests)
    assert bill.before + charged(world) == wanted
    part = march.start + timedelta(minutes=cut)
    priced_anew(world, None, part, march.end, now)
    world.post()
    used = UsageRollup.objects.filter(tenant=world.tenant).aggregate(total=Sum("cost"))["total"]
    assert int(used) == bill.before
    at_first = charged(world)
    priced_anew(world, sheet, part, march.end, now)
    assert bill.before + charged(world) == wanted
    priced_anew(world, None, march.start, part, now)
    assert charged(world) == wanted - bill.before - at_first
    assert books.check(tenant_id=world.tenant.id).differences == ()


@pytest.mark.parametrize("until", [None, datetime(2027, 3, 12, tzinfo=PARIS)])
def test_a_preview_with_a_contract_is_what_closing_makes_of_it(until: datetime | None) -> None:
    world = World()
    tiers = TierTerms("*", "", "usd", Tiers("graduated", (0, 10**11, 3 * 10**11), (0, 1_000, 2_500)))
    free = FreeTerms("*", "output", 100)
    contract = Contract(minimum=10**12, free_amount=10**9, tiers=(tiers,), free_tokens=(free,))
    agree(world, contract, until=until)
    for day in (0, 1, 4, 9):
        world.use(Usage(input=700_000, output=333), at=world.clock + timedelta(days=day))
    now = datetime(2027, 4, 2, tzinfo=UTC)
    sheet = replaced(world, Sheet("", {"input": 1_234_567, "output": 9_999_999}))
    closing.close(tenant=world.tenant, month="2027-03", now=now, finalise=False)
    (bill,) = preview.last_month(book=catalog.default_book(), sheets=[sheet], starts_at=now, now=now).bills

    draft = closing.close(tenant=world.tenant, month="2027-03", now=now, finalise=False)
    assert (bill.has_contract, bill.before) == (True, int(draft.exact))
    priced_anew(world, sheet, datetime(2027, 3, 1, tzinfo=PARIS), datetime(2027, 4, 1, tzinfo=PARIS), now)
    draft = closing.close(tenant=world.tenant, month="2027-03", now=now, finalise=False)
    if until is None:  # else a re-rating counts at the month's end, which these terms do not see
        assert bill.after == int(draft.exact)
    assert books.check(tenant_id=world.tenant.id).differences == ()
