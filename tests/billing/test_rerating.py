"""Past calls priced anew: stored events and invoices stay, the difference is charged once, and the books balance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.utils import IntegrityError

from billing import books, catalog, charges, closing, rerating_stack, reratings
from billing.charges import Wanted
from billing.meters import Usage
from billing.models import Charge, Price, Rerating, UsageEvent
from billing.periods import month
from billing.price_sheets import Sheet
from billing.reratings import Asked, ReratingProblem
from portal.models import User
from portal.tenancy import as_operator
from tests.billing.world import World, run

MARCH, APRIL, MAY = (datetime(2027, month, 1, tzinfo=UTC) for month in (3, 4, 5))
NOW = APRIL + timedelta(days=2)
MILLION = Usage(input=10**6)


@pytest.fixture(autouse=True)
def operator(db: None) -> Iterator[None]:
    with as_operator():
        yield


def someone(name: str = "one") -> User:
    return User.objects.get_or_create(email=f"{name}@tollgate.test", defaults={"password": "!"})[0]


def ask(
    world: World, *, price: int | None, start: datetime = MARCH, end: datetime = APRIL, now: datetime = NOW
) -> Rerating:
    """Asked for by one operator, and counted."""
    sheets = [] if price is None else [Sheet(world.model, {"input": price, "output": 600_000})]
    asked = Asked(catalog.default_book(), None, [world.model], start, end, sheets, "agreed by phone")
    return reratings.work(reratings.ask(asked, actor_id=someone().pk, now=now).pk, now=now)


def charge(row: Rerating, *, now: datetime = NOW) -> Rerating:
    """Confirmed, and posted."""
    reratings.confirm(rerating_id=row.pk, actor_id=someone().pk, now=now)
    return reratings.work(row.pk, now=now)


def rerated(world: World, label: str = "2027-03") -> int:
    return charges.charged(tenant_id=world.tenant.id, period_label=label, kinds=("rerated",))


def events(world: World) -> list[dict[str, Any]]:
    rows: Any = UsageEvent.objects.filter(tenant_id=world.tenant.id).order_by("id").values()
    return list(rows)


def balanced(world: World) -> bool:
    return books.check(tenant_id=world.tenant.id).differences == ()


def test_invariant_5_neither_new_prices_nor_re_rating_change_a_stored_event(world: World) -> None:
    for _ in range(3):
        world.use(MILLION)
    world.post()
    before = events(world)
    world.publish({"input": 1, "output": 1}, world.clock + timedelta(days=1))
    charge(ask(world, price=50_000))
    assert events(world) == before
    assert rerated(world) == 3 * (50_000 - 150_000) * 10**6
    assert balanced(world)


def test_invariant_4_a_hole_in_a_tenants_book_is_refused(world: World) -> None:
    book = catalog.own_book(tenant_id=world.tenant.id, name="Own")

    def publish(day: int) -> None:
        moment = world.clock + timedelta(days=day)
        catalog.publish(
            book=book, model=world.model, prices={"input": day + 1, "output": 1}, effective_from=moment, now=world.clock
        )

    publish(1)
    Price.objects.filter(book=book).update(effective_to=world.clock + timedelta(days=2))
    with pytest.raises(catalog.PriceProblem, match="there would be no price"):
        publish(3)
    publish(2)
    twin = Price.objects.filter(book=book).first()
    assert twin is not None
    twin.pk = None
    with pytest.raises(IntegrityError, match="price_versions_never_overlap"), as_operator():
        twin.save(force_insert=True)


def test_a_closed_month_stays_and_the_next_invoice_has_the_line(world: World) -> None:
    world.use(MILLION)
    march = closing.close(tenant=world.tenant, month="2027-03", now=NOW, finalise=True)
    row = charge(ask(world, price=350_000))
    (line,) = row.lines.all()
    assert (int(line.before), int(line.after), line.requests) == (150_000 * 10**6, 350_000 * 10**6, 1)
    world.use(MILLION, at=APRIL + timedelta(days=3))
    april = closing.close(tenant=world.tenant, month="2027-04", now=MAY + timedelta(days=1), finalise=True)
    march_again = type(march).objects.get(pk=march.pk)
    assert (march_again.total, march_again.exact) == (march.total, march.exact)
    found = {(one.period_label, one.description): int(one.exact) for one in april.lines.exclude(charge=None)}
    assert found == {("2027-03", f"{world.model}, priced anew (2027-03-01 to 2027-03-31 UTC)"): 200_000 * 10**6}
    assert balanced(world)


def test_a_prepaid_wallet_gets_back_what_was_too_much(prepaid: World) -> None:
    prepaid.use(MILLION)
    prepaid.post()
    left = prepaid.balance("wallet")
    charge(ask(prepaid, price=50_000))
    assert prepaid.balance("wallet") == left - 100_000 * 10**6
    assert balanced(prepaid)


def test_the_last_decided_holds_where_ranges_overlap(world: World) -> None:
    for day in (1, 11, 21):
        world.use(MILLION, at=MARCH + timedelta(days=day, hours=12))
    charge(ask(world, price=200_000))
    charge(ask(world, price=300_000, start=MARCH + timedelta(days=10), now=NOW), now=NOW + timedelta(minutes=1))
    assert rerated(world) == (50_000 + 150_000 + 150_000) * 10**6
    row = ask(world, price=250_000, start=MARCH + timedelta(days=20), now=NOW + timedelta(minutes=2))
    (line,) = row.lines.all()
    assert (int(line.before), int(line.after)) == (300_000 * 10**6, 250_000 * 10**6)
    charge(row, now=NOW + timedelta(minutes=3))
    assert rerated(world) == (50_000 + 150_000 + 100_000) * 10**6
    charge(ask(world, price=None, now=NOW + timedelta(minutes=4)), now=NOW + timedelta(minutes=5))
    assert rerated(world) == 0
    assert balanced(world)


def test_it_goes_on_where_it_was_stopped_and_charges_nobody_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = World()
    other.model, other.price = world.model, world.price
    for one in (world, other):
        one.use(MILLION)
        one.post()
    row = ask(world, price=250_000)
    assert (row.steps, row.steps_done) == (4, 4)
    reratings.confirm(rerating_id=row.pk, actor_id=someone().pk, now=NOW)
    bring = charges.bring_to

    def stopped(**values: Any) -> Any:
        if values["tenant"].id == other.tenant.id:
            raise ConnectionError("the worker is gone")
        return bring(**values)

    monkeypatch.setattr(charges, "bring_to", stopped)
    with pytest.raises(ConnectionError):
        reratings.work(row.pk, now=NOW)
    row.refresh_from_db()
    assert (row.state, row.steps_done) == ("running", 2)
    assert (rerated(world), rerated(other)) == (100_000 * 10**6, 0)
    assert row.pk in reratings.unfinished()

    monkeypatch.setattr(charges, "bring_to", bring)
    for _ in range(2):
        row = reratings.work(row.pk, now=NOW)
    assert (row.state, rerated(world), rerated(other)) == ("done", 100_000 * 10**6, 100_000 * 10**6)
    assert Charge.objects.filter(kind="rerated", tenant_id=world.tenant.id).count() == 1
    assert balanced(world)
    assert balanced(other)


def test_usage_that_ends_late_is_brought_in(world: World) -> None:
    lost = world.opening(10**12, at=MARCH + timedelta(days=15))
    world.open([lost])
    world.use(MILLION)
    world.post()
    row = charge(ask(world, price=250_000))
    assert reratings.catch_up(now=NOW) == 0
    world.settle([world.ending(lost, MILLION)])
    world.clock = NOW + timedelta(hours=1)
    world.post()
    assert reratings.catch_up(now=NOW + timedelta(hours=2)) == 1
    assert rerated(world) == 200_000 * 10**6
    assert reratings.catch_up(now=NOW + timedelta(hours=3)) == 0
    assert balanced(world)
    assert row.state == "done"


def test_a_month_is_the_tenants_own() -> None:
    world = World(zone="Asia/Kolkata")
    world.tenant.billing_anchor_day = 31
    world.tenant.save()
    world.use(MILLION, at=datetime(2027, 3, 30, 18, 15, tzinfo=UTC))
    world.use(MILLION, at=datetime(2027, 3, 30, 18, 45, tzinfo=UTC))  # a quarter past midnight of the 31st
    row = charge(ask(world, price=250_000))
    assert dict(row.lines.values_list("period_label", "requests")) == {"2027-02": 1, "2027-03": 1}
    assert (rerated(world, "2027-02"), rerated(world)) == (100_000 * 10**6, 100_000 * 10**6)


def test_calls_of_another_book_are_not_meant(world: World) -> None:
    book = catalog.own_book(tenant_id=world.tenant.id, name="Own")
    catalog.publish(
        book=book, model=world.model, prices={"input": 1, "output": 1}, effective_from=world.clock, now=world.clock
    )
    own = catalog.price_list(book, world.model).versions[0]
    world.use(MILLION)
    world.price = own
    world.use(MILLION)
    row = ask(world, price=250_000)
    assert [line.requests for line in row.lines.all()] == [1]


def test_surcharges_that_the_new_prices_do_not_sell_stop_it(world: World) -> None:
    world.price = world.publish({"input": 1, "output": 1, "per_web_search": 5}, world.clock + timedelta(days=1))
    world.use(Usage(input=1, web_searches=3), at=world.clock + timedelta(days=2))
    row = ask(world, price=250_000)
    assert row.problem == "Web searches or images were used that the new prices do not sell."
    with pytest.raises(ReratingProblem, match="do not sell"):
        charge(row)


def test_what_stops_it_is_not_forgotten_when_counting_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = World()
    other.model = world.model
    world.price = world.publish({"input": 1, "output": 1, "per_web_search": 5}, world.clock + timedelta(days=1))
    other.price = world.price
    for one in (world, other):
        one.use(Usage(input=1, web_searches=3 if one is world else 0), at=one.clock + timedelta(days=2))
    count = rerating_stack.sums

    def stopped(parts: Any, *rest: Any) -> Any:
        if any(part.tenant_id == other.tenant.id for part in parts):
            raise ConnectionError("the worker is gone")
        return count(parts, *rest)

    monkeypatch.setattr(rerating_stack, "sums", stopped)
    with pytest.raises(ConnectionError):
        ask(world, price=250_000)
    monkeypatch.setattr(rerating_stack, "sums", count)
    row = reratings.work(Rerating.objects.get().pk, now=NOW)
    assert (row.state, row.steps_done) == ("previewed", row.steps)
    with pytest.raises(ReratingProblem, match="do not sell"):
        charge(row)


class TestFourEyes:
    """A re-rating waits for another operator."""

    @pytest.fixture(autouse=True)
    def four_eyes(self, settings: Any) -> None:
        settings.FOUR_EYES = True

    def test_another_operator_decides(self, world: World) -> None:
        world.use(MILLION)
        row = charge(ask(world, price=250_000))
        assert (row.state, rerated(world)) == ("waiting", 0)
        with pytest.raises(ReratingProblem, match="another operator"):
            reratings.approve(rerating_id=row.pk, actor_id=someone().pk, now=NOW)
        reratings.approve(rerating_id=row.pk, actor_id=someone("two").pk, now=NOW)
        row = reratings.work(row.pk, now=NOW)
        assert (row.state, rerated(world)) == ("done", 100_000 * 10**6)
        with pytest.raises(ReratingProblem, match="done already"):
            reratings.reject(rerating_id=row.pk, actor_id=someone().pk, reason="no", now=NOW)

    def test_the_database_refuses_the_same_one(self, world: World) -> None:
        world.use(MILLION)
        row = charge(ask(world, price=250_000))
        with pytest.raises(IntegrityError, match="rerating_four_eyes"), as_operator():
            run("UPDATE billing_rerating SET state = 'running', decided_by_id = proposed_by_id WHERE id = %s", row.pk)

    def test_it_is_refused_if_the_same_calls_were_priced_anew_since(self, world: World) -> None:
        world.use(MILLION)
        first, second = (charge(ask(world, price=price)) for price in (250_000, 260_000))
        later = NOW + timedelta(minutes=1)
        reratings.approve(rerating_id=second.pk, actor_id=someone("two").pk, now=later)
        with pytest.raises(ReratingProblem, match="decided since"):
            reratings.approve(rerating_id=first.pk, actor_id=someone("two").pk, now=later)
        row = reratings.reject(rerating_id=first.pk, actor_id=someone("two").pk, reason="outdated", now=later)
        assert (row.state, row.reason) == ("rejected", "outdated")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"end": MARCH}, "to a later one"),
        ({"end": NOW + timedelta(days=1)}, "is past"),
        ({"start": MARCH - timedelta(days=500)}, "400 days"),
        ({"note": " "}, "Say why"),
        ({"models": []}, "1 to 200 models"),
    ],
)
def test_it_says_what_cannot_be_asked(world: World, change: dict[str, Any], says: str) -> None:
    asked = Asked(catalog.default_book(), None, [world.model], MARCH, APRIL, [], "x")
    with pytest.raises(ReratingProblem, match=says):
        reratings.ask(replace(asked, **change), actor_id=None, now=NOW)


def test_a_charge_of_something_else_is_left_alone(world: World) -> None:
    world.use(MILLION)
    march = month("2027-03", "Europe/Paris")
    charges.bring_to(tenant=world.tenant, period=march, wanted=Wanted("rerated", "by hand", "By hand", 7), now=NOW)
    charge(ask(world, price=150_000))
    assert rerated(world) == 7
