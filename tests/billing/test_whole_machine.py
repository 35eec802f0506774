"""Everything at once: tenants of every kind, random acts on real PostgreSQL, and after each the plain truth.

A run has thousands of steps, its seed printed; ``--hypothesis-seed`` repeats it. ``TOLLGATE_MACHINE_LIVES`` and
``TOLLGATE_MACHINE_STEPS`` make it longer: lives, and the most acts in one. What fails is
shown at once; with ``TOLLGATE_MACHINE_SHRINK`` the same seed is made as short as it can be, in minutes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing import books
from portal.tenancy import as_operator
from tests.billing.whole import found
from tests.billing.whole.life import Kind, Life
from tests.billing.whole.truth import Bill, bounds, month_around
from tests.billing.world import START, USD

LIVES = int(os.environ.get("TOLLGATE_MACHINE_LIVES", "50"))
STEPS = int(os.environ.get("TOLLGATE_MACHINE_STEPS", "50"))
KINDS = (
    Kind("prepaid", "America/New_York", "USD", "US", 0),
    Kind("postpaid", "Europe/Paris", "EUR", "FR", 2000),
    Kind("postpaid", "Asia/Kolkata", "USD", "DE", 1900),
    Kind("prepaid", "Europe/Berlin", "JPY", "DE", 1900),
)
RATES = {"USD": (1, 1), "EUR": (86957, 100_000), "JPY": (15_512, 100)}
WHO = st.integers(0, len(KINDS) - 1)
COUNTS = st.fixed_dictionaries(
    {name: st.integers(0, 200_000) for name in ("input", "cache_read", "output", "reasoning")}
)
CENTS = st.integers(0, 300)
SOME_CALLS = st.lists(COUNTS, max_size=3)
PREPAID = st.sampled_from([place for place, kind in enumerate(KINDS) if kind.mode == "prepaid"])
ABOVE = st.sampled_from([50, 100_000, 0])
PLACE = st.integers(0, 10**6)
BACK = st.sampled_from([0, 0, 5, 20, 40])
SHARE = st.tuples(st.integers(0, 20), st.integers(1, 100))


def clock_changes(zone: str) -> list[datetime]:
    """The hours before which a zone changes its clock, in the two years a life can reach."""
    local = ZoneInfo(zone)
    hours = [START + timedelta(hours=hour) for hour in range(2 * 366 * 24)]
    return [
        hour
        for hour in hours
        if hour.astimezone(local).utcoffset() != (hour + timedelta(hours=1)).astimezone(local).utcoffset()
    ]


CLOCK_CHANGES = {kind.zone: clock_changes(kind.zone) for kind in KINDS}


class Whole(RuleBasedStateMachine):
    """The lives of four tenants under one clock."""

    @initialize()
    def begin(self) -> None:
        self.block = transaction.atomic()
        self.block.__enter__()
        self.lives = [Life(kind) for kind in KINDS]
        self.numbers = self.notes = 0
        self.year = START.year
        self.pass_time(START, 0)

    # -- calls

    @rule(who=WHO, holds=st.lists(st.tuples(CENTS, st.integers(0, 1)), min_size=1, max_size=5))
    def open(self, who: int, holds: list[tuple[int, int]]) -> None:
        self.lives[who].open(holds)

    @rule(who=WHO, counts=SOME_CALLS, post=st.booleans())
    def use(self, who: int, counts: list[dict[str, int]], post: bool) -> None:
        self.lives[who].use(counts)
        if post:
            self.lives[who].post()

    @rule(who=WHO, places=st.lists(PLACE, min_size=1, max_size=4, unique=True), counts=COUNTS)
    def settle(self, who: int, places: list[int], counts: dict[str, int]) -> None:
        if chosen := self.lives[who].chosen(places):
            self.lives[who].settle(chosen, counts)

    @rule(who=WHO, places=st.lists(PLACE, min_size=1, max_size=3, unique=True))
    def void(self, who: int, places: list[int]) -> None:
        if chosen := self.lives[who].chosen(places):
            self.lives[who].void(chosen)

    @rule(who=WHO, place=PLACE, delivered=st.integers(0, 10_000))
    def checkpoint(self, who: int, place: int, delivered: int) -> None:
        for ident in self.lives[who].chosen([place]):
            self.lives[who].checkpoint(ident, delivered)

    @rule(who=WHO, late=st.lists(st.integers(0, 5), max_size=3), counts=COUNTS)
    def sweep(self, who: int, late: list[int], counts: dict[str, int]) -> None:
        """What a dead gateway left open is ended; the truth about some of it comes later."""
        assert self.lives[who].world.sweep() == sum(life.truth.sweep() for life in self.lives)
        assert self.lives[who].world.sweep() == 0
        if chosen := self.lives[who].chosen(late):
            self.lives[who].settle(chosen, counts)

    # -- what people change

    @rule(who=WHO, unit=st.integers(0, 10**6), request=st.integers(0, USD // 50), above=ABOVE, times=st.integers(1, 3))
    def change_price(self, who: int, unit: int, request: int, above: int, times: int) -> None:
        self.lives[who].change_price(unit, request, above, times)

    @rule(who=WHO, cents=CENTS, scope=st.sampled_from(["tenant", "project", "api_key"]),
          window=st.sampled_from(["day", "month", "lifetime"]))  # fmt: skip
    def change_budget(self, who: int, cents: int, scope: str, window: str) -> None:
        self.lives[who].change_budget(cents, scope, window)

    @rule(minutes=st.one_of(st.integers(1, 120), st.integers(1, 60 * 24 * 20)), points=st.integers(-500, 500))
    def let_time_pass(self, minutes: int, points: int) -> None:
        self.pass_time(self.now + timedelta(minutes=minutes), points)

    @rule(who=WHO, what=st.sampled_from(["month", "clock"]), seconds=st.integers(-2, 2), points=st.integers(-500, 500))
    def go_to_an_edge(self, who: int, what: str, seconds: int, points: int) -> None:
        """Around the end of a tenant's month, or where its clock is changed."""
        zone = self.lives[who].truth.zone
        edge = bounds(month_around(self.now + timedelta(minutes=1), zone), zone)[1]
        if what == "clock" and (coming := [hour for hour in CLOCK_CHANGES[zone] if hour > self.now]):
            edge = coming[0] + timedelta(hours=1)
        self.pass_time(max(self.now, edge.astimezone(START.tzinfo) + timedelta(seconds=seconds)), points)

    # -- credit and charges

    @rule(who=WHO, cents=st.integers(1, 500))
    def add_money(self, who: int, cents: int) -> None:
        self.lives[who].add_money(cents)

    @rule(who=PREPAID, kind=st.sampled_from(["paid", "promotional", "goodwill"]), cents=st.integers(1, 300),
          priority=st.integers(0, 2), days=st.integers(0, 4), wait=st.sampled_from([0, 0, 1]))  # fmt: skip
    def grant(self, who: int, kind: str, cents: int, priority: int, days: int, wait: int) -> None:
        self.lives[who].grant(kind, cents, priority, days, wait)

    @rule(who=PREPAID, expire=st.booleans())
    def slice_credit(self, who: int, expire: bool) -> None:
        if expire:
            self.lives[who].expire()
        else:
            self.lives[who].slice_credit()

    @rule(who=PREPAID, place=PLACE, cents=st.integers(1, 200))
    def refund(self, who: int, place: int, cents: int) -> None:
        self.lives[who].refund(place, cents)

    @rule(who=WHO, subject=st.sampled_from("ab"), back=BACK, wanted=st.integers(-USD // 20, USD))
    def charge(self, who: int, subject: str, back: int, wanted: int) -> None:
        self.lives[who].charge(subject, back, wanted)

    # -- invoices

    @rule(who=WHO, before=SOME_CALLS, back=BACK, end=st.sampled_from(["stays", "final", "final", "discarded"]))
    def invoice(self, who: int, before: list[dict[str, int]], back: int, end: str) -> None:
        life = self.lives[who]
        life.use(before)
        life.post()
        ident = life.draft(back)
        if end == "final":
            self.numbers = life.finalise(ident, self.numbers)
        elif end == "discarded":
            life.discard(ident)

    @rule(who=WHO, calls=st.lists(COUNTS, min_size=1, max_size=2), final=st.booleans())
    def invoice_the_month_before_after_this_one(self, who: int, calls: list[dict[str, int]], final: bool) -> None:
        """The draft of a new month holds what the old one has left, until that is drafted, too."""
        life = self.lives[who]
        life.use(calls)
        self.go_to_an_edge(who, "month", 2, 0)
        life.use(calls)
        life.post()
        life.draft(0)
        ident = life.draft(5)
        if final:
            self.numbers = life.finalise(ident, self.numbers)

    @rule(who=WHO, place=PLACE)
    def finalise_a_draft(self, who: int, place: int) -> None:
        """One that was made earlier, exactly as it reads."""
        if drafts := list(self.lives[who].truth.drafts()):
            self.numbers = self.lives[who].finalise(drafts[place % len(drafts)], self.numbers)

    @rule(who=WHO, before=SOME_CALLS, back=BACK)
    def close(self, who: int, before: list[dict[str, int]], back: int) -> None:
        self.lives[who].use(before)
        self.numbers = self.lives[who].close(back, self.numbers)

    @rule(who=WHO, place=PLACE, shares=st.none() | st.lists(SHARE, min_size=1, max_size=4))
    def correct(self, who: int, place: int, shares: list[tuple[int, int]] | None) -> None:
        """A credit note in part or over everything, which makes an unpaid invoice void."""
        if ident := self.pick(who, place, lambda bill: bill.status not in ("draft", "void")):
            self.notes = self.lives[who].correct(ident, shares, self.notes)

    @rule(who=WHO, place=PLACE, percent=st.none() | st.integers(1, 100))
    def pay_or_write_off(self, who: int, place: int, percent: int | None) -> None:
        if ident := self.pick(who, place, lambda bill: bill.status == "finalised" and bill.unpaid > 0):
            if percent is None:
                self.lives[who].write_off(ident)
            else:
                self.lives[who].pay(ident, percent)

    # -- what must hold after every act

    @invariant()
    def invariants_11_13_14_limits_and_accounts_are_as_expected(self) -> None:
        limits = {(row[0], row[1]): tuple(map(int, row[2:])) for row in self.rows(found.LIMITS)}
        assert limits == {
            (life.world.tenant.pk, place): (row.limit, row.spent, row.held)
            for life in self.lives
            for place, row in life.truth.limits.items()
        }
        accounts = {tuple(row[:3]): int(row[3]) for row in self.rows(found.ACCOUNTS)}
        assert accounts == {
            (life.world.tenant.pk, *account): amount
            for life in self.lives
            for account, amount in life.truth.accounts.items()
            if amount
        }
        assert self.rows(found.UNBALANCED) == []

    @invariant()
    def invariant_9_roll_ups_are_the_posted_calls(self) -> None:
        rolled = {tuple(row[:2]): tuple(map(int, row[2:])) for row in self.rows(found.ROLLED_UP) if any(row[2:])}
        assert rolled == {
            (life.world.tenant.pk, price): sums for life in self.lives for price, sums in life.truth.rolled_up().items()
        }

    @invariant()
    def invariant_20_credit_is_all_accounted_for(self) -> None:
        assert self.rows(found.GRANTS) == []
        prepaid = [life for life in self.lives if life.truth.mode == "prepaid"]
        balances = {life.world.tenant.pk: -life.truth.accounts["wallet", "USD"] for life in prepaid}
        assert {row[0]: int(row[1]) for row in self.rows(found.WALLETS)} == {k: v for k, v in balances.items() if v}

    @invariant()
    def invariants_23_24_29_invoices_and_their_credit_notes_are_as_expected(self) -> None:
        rows = []
        for tenant, ident, kind, status, *sums, of_lines in self.rows(found.INVOICES):
            assert sums[0] == of_lines, "the lines of an invoice are its exact amount"
            rows.append((tenant, ident, kind, status if kind == "invoice" else "finalised", *map(int, sums)))
        wanted = []
        for life in self.lives:
            for ident, bill in life.truth.bills.items():
                assert bill.status == "draft" or (bill.left_total >= 0 and bill.sums.total >= 0)
                place = (life.world.tenant.pk, ident)
                wanted.append((*place, "invoice", bill.status, *bill.sums.row()))
                wanted += [(*place, "credit_note", "finalised", *note.row()) for note in bill.notes]
        assert sorted(rows) == sorted(wanted)

    def teardown(self) -> None:
        """The books, by their own SQL, once everything is ended and posted."""
        if not hasattr(self, "block"):
            return
        try:
            if len(getattr(self, "lives", [])) == len(KINDS):
                self.lives[0].world.sweep()
                for life in self.lives:
                    life.world.post()
                with as_operator():
                    assert books.check().differences == ()
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    # -- the machine itself

    @property
    def now(self) -> datetime:
        return max(life.world.clock for life in self.lives)

    def pass_time(self, moment: datetime, points: int) -> None:
        """All clocks go on; each currency is worth some ten-thousandths more or less."""
        if moment.year != self.year:
            self.year, self.numbers, self.notes = moment.year, 0, 0
        for life in self.lives:
            rate = Fraction(*RATES[life.truth.currency]) * (10_000 + points) / 10_000
            life.arrive(max(moment, life.world.clock), rate)

    def pick(self, who: int, place: int, fits: Callable[[Bill], bool]) -> int:
        """One of a tenant's invoices that fit, of a month closed for it if there is none yet; or 0."""
        life = self.lives[who]
        if not any(fits(bill) for bill in life.truth.bills.values()):
            life.use([{"input": 200_003, "cache_read": 0, "output": 1_001 + place, "reasoning": 7}])
            self.numbers = life.close(0, self.numbers)
        fitting = [ident for ident, bill in life.truth.bills.items() if fits(bill)]
        return fitting[place % len(fitting)] if fitting else 0

    def rows(self, query: str) -> found.Rows:
        return found.rows(query, [life.world.tenant.pk for life in self.lives])


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(7200)
def test_invariant_9_11_13_14_20_23_24_29_hold_after_every_act(
    settings: Any, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SELLER = {**settings.SELLER, "country": "DE", "vat_id": "DE136695976"}
    settings.PARK_FACTOR = 0
    seed = request.config.getoption("--hypothesis-seed") or random.SystemRandom().randrange(2**32)
    with capsys.disabled():
        print(f"\nwhole machine: {LIVES} lives of {STEPS} acts, --hypothesis-seed={seed}")
    print(f"--hypothesis-seed={seed}")
    wanted = (Phase.generate, Phase.shrink) if "TOLLGATE_MACHINE_SHRINK" in os.environ else (Phase.generate,)
    profile = hypothesis.settings(
        max_examples=LIVES, stateful_step_count=STEPS, deadline=None, phases=wanted, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(hypothesis.seed(int(seed))(Whole), settings=profile)
