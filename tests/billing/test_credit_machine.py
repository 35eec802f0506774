"""A wallet's life, against an oracle: credit of every kind, calls, charges and corrections, expiry, refunds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing import books, charges, credit_ends, credit_rounds, credits
from billing.charges import Wanted
from billing.credits import CreditProblem
from billing.grants import Terms
from billing.meters import Usage
from billing.models import CreditDue, CreditGrant, CreditUse
from billing.periods import month
from portal.tenancy import as_operator
from tests.billing.world import World

MARCH = month("2027-03", "Europe/Paris")
UNIT = 150_000
"""What one token of input costs; every amount here is so many of them."""
AMOUNT = st.integers(1, 60)
PLACE = st.integers(0, 10**6)


@dataclass
class Grant:
    """What the oracle knows of one."""

    kind: str
    amount: int
    priority: int
    starts_at: datetime
    expires_at: datetime | None
    started: bool = False
    given_back: bool = False
    consumed: int = 0
    expired: int = 0
    refunded: int = 0

    @property
    def left(self) -> int:
        return self.amount - self.consumed - self.expired - self.refunded if self.started else 0


@dataclass
class Slice:
    """What a movement took of a grant and has not given back."""

    grant: Grant
    number: int
    subject: str
    amount: int


@dataclass
class Due:
    """What of a movement is not sliced yet; ``number`` is its place among all."""

    number: int
    subject: str
    amount: int


class Oracle:
    """One wallet in plain lists."""

    def __init__(self) -> None:
        self.grants: list[Grant] = []
        self.dues: list[Due] = []
        self.movements = 0
        self.slices: list[Slice] = []
        self.spent = self.held = 0
        self.unposted = 0

    def owe(self, subject: str, amount: int) -> None:
        """A movement on the wallet."""
        self.movements += 1
        self.dues.append(Due(self.movements, subject, amount))

    def usable(self) -> list[Grant]:
        found = [grant for grant in self.grants if grant.left]
        end = datetime.max.replace(tzinfo=MARCH.start.tzinfo)
        return sorted(found, key=lambda grant: (grant.priority, grant.expires_at or end))

    def limit(self) -> int:
        """What a correction gave back was never added: it lowered what is spent."""
        added = [grant for grant in self.grants if grant.started and not grant.given_back]
        return sum(grant.amount - grant.expired - grant.refunded for grant in added)

    def use(self, now: datetime) -> None:
        """Start what has begun, post, correct, take."""
        for grant in self.grants:
            grant.started = grant.started or grant.starts_at <= now
        if self.unposted:
            self.owe("call", self.unposted)
            self.unposted = 0
        corrections = [due for due in self.dues if due.amount < 0]
        self.dues = [due for due in self.dues if due.amount > 0]
        for correction in corrections:
            self._give_back(correction, now)
        for due in self.dues:
            for grant in self.usable():
                part = min(due.amount, grant.left)
                if part:
                    grant.consumed += part
                    self.slices.append(Slice(grant, due.number, due.subject, part))
                    due.amount -= part
        self.dues = [due for due in self.dues if due.amount]

    def _give_back(self, correction: Due, now: datetime) -> None:
        """What it corrects is what was charged before for its subject; then anything."""

        def corrected(one: Due | Slice) -> bool:
            return one.subject == correction.subject and one.number < correction.number

        owed = -correction.amount
        for mine in (True, False):
            for due in reversed(self.dues):
                if not mine or corrected(due):
                    part = min(owed, due.amount)
                    due.amount -= part
                    owed -= part
            for one in reversed(self.slices):
                if not mine or corrected(one):
                    part = min(owed, one.amount)
                    one.amount -= part
                    one.grant.consumed -= part
                    owed -= part
        if owed:
            self.grants.append(Grant("goodwill", owed, 20, now, None, started=True, given_back=True))

    def free(self, grant: Grant) -> int:
        """What of a grant neither calls hold nor settled calls will take."""
        order = self.usable()
        before = sum(each.left for each in order[: order.index(grant)]) if grant in order else 0
        return min(grant.left - max(0, self.unposted - before), self.limit() - self.spent - self.held)

    def expire(self, now: datetime) -> int:
        total = 0
        for grant in self.usable():
            if grant.expires_at and grant.expires_at <= now and (amount := self.free(grant)) > 0:
                grant.expired += amount
                total += amount
        return total


class CreditLife(RuleBasedStateMachine):
    """One prepaid tenant; everything is counted in tokens of input."""

    @initialize()
    def begin(self) -> None:
        self.world = World(mode="prepaid", credit=0)
        self.oracle = Oracle()
        self.charged: dict[str, int] = {}
        self.open: list[tuple[object, int]] = []
        self.rows: list[int] = []
        self.grant("promotional", 20, 10, 3, 0)
        self.grant("paid", 30, 50, 0, 0)

    @rule(
        kind=st.sampled_from(["paid", "promotional", "goodwill"]), amount=AMOUNT, priority=st.integers(0, 2),
        days=st.integers(0, 4), wait=st.sampled_from([0, 0, 0, 1]),
    )  # fmt: skip
    def grant(self, kind: str, amount: int, priority: int, days: int, wait: int) -> None:
        begins = self.world.clock + timedelta(days=wait)
        ends = begins + timedelta(days=days) if days else None
        terms = Terms(kind, amount * UNIT, begins, priority=priority, expires_at=ends)
        with as_operator():
            for _time in range(2):
                credits.grant(
                    tenant=self.world.tenant, terms=terms, key=str(len(self.oracle.grants)), now=self.world.clock
                )
        self.oracle.grants.append(Grant(kind, amount, priority, begins, ends, started=not wait))

    @rule(subject=st.sampled_from("abc"), amount=st.integers(-5, 40), use=st.booleans())
    def charge(self, subject: str, amount: int, use: bool) -> None:
        """What is charged for a subject is brought up, or down: a correction."""
        wanted = Wanted("other", subject, "Something", amount * UNIT)
        with as_operator():
            charges.bring_to(tenant=self.world.tenant, period=MARCH, wanted=wanted, now=self.world.clock)
        if difference := amount - self.charged.get(subject, 0):
            self.oracle.owe(subject, difference)
            self.oracle.spent += difference
        self.charged[subject] = amount
        if use:
            self.use()

    @rule(hold=AMOUNT)
    def admit(self, hold: int) -> None:
        opening = self.world.opening(hold * UNIT)
        fits = self.oracle.spent + self.oracle.held + hold <= self.oracle.limit()
        assert (self.world.open([opening]) == []) == fits
        if fits:
            self.open.append((opening, hold))
            self.oracle.held += hold

    @precondition(lambda self: self.open)
    @rule(place=PLACE, cost=st.integers(0, 70), post=st.booleans())
    def settle(self, place: int, cost: int, post: bool) -> None:
        """A call ends, within its hold or above; only one is left unposted, so that a transfer is a call."""
        if self.oracle.unposted:
            self.use()
        opening, hold = self.open.pop(place % len(self.open))
        self.world.settle([self.world.ending(opening, Usage(input=cost))])  # type: ignore[arg-type]
        self.oracle.held -= hold
        self.oracle.spent += cost
        self.oracle.unposted += cost
        if post:
            self.use()

    @rule()
    def use(self) -> None:
        self.world.post()
        self.oracle.use(self.world.clock)
        with as_operator():
            for _time in range(2):
                credit_rounds.use(tenant=self.world.tenant, now=self.world.clock)

    @rule(hours=st.integers(1, 60))
    def let_time_pass(self, hours: int) -> None:
        self.world.clock += timedelta(hours=hours)

    @rule(whole=st.booleans())
    def expire(self, whole: bool) -> None:
        """At any time, whether or not everything was posted before."""
        if whole:
            self.use()
        expected = self.oracle.expire(self.world.clock) * UNIT
        with as_operator():
            assert credit_ends.expire(tenant=self.world.tenant, now=self.world.clock) == expected
            assert credit_ends.expire(tenant=self.world.tenant, now=self.world.clock) == 0

    @rule(place=PLACE, amount=AMOUNT)
    def refund(self, place: int, amount: int) -> None:
        number = place % len(self.oracle.grants)
        grant = self.oracle.grants[number]
        may = grant.kind == "paid" and grant.started and amount <= self.oracle.free(grant)
        with as_operator():
            row = CreditGrant.objects.filter(tenant=self.world.tenant).order_by("pk")[number]
            key = f"{row.pk}-{grant.refunded}-{amount}-{grant.left}"
            for _time in range(1 + may):
                try:
                    credit_ends.refund(
                        tenant=self.world.tenant, grant=row, amount=amount * UNIT, key=key, now=self.world.clock
                    )
                except CreditProblem:
                    assert not may
                else:
                    assert may
        if may:
            grant.refunded += amount

    @invariant()
    def test_invariant_20_every_grant_is_as_expected(self) -> None:
        with as_operator():
            rows = list(CreditGrant.objects.filter(tenant=self.world.tenant).order_by("pk"))
            sums = {(row.grant_id, row.kind): 0 for row in CreditUse.objects.filter(tenant=self.world.tenant)}
            for use in CreditUse.objects.filter(tenant=self.world.tenant):
                sums[use.grant_id, use.kind] += int(use.amount)
        found = [
            (row.kind, int(row.amount), *(sums.get((row.pk, kind), 0) for kind in CreditUse.Kind.values),
             int(row.unused) if row.transfer_id else 0)
            for row in rows
        ]  # fmt: skip
        wanted = [
            (grant.kind, *(part * UNIT for part in (
                grant.amount, grant.consumed, grant.expired, grant.refunded, grant.left)))
            for grant in self.oracle.grants
        ]  # fmt: skip
        assert found == wanted

    @invariant()
    def test_invariant_13_the_wallet_is_as_expected(self) -> None:
        row = self.world.wallet()
        limits = (self.oracle.limit(), self.oracle.spent, self.oracle.held)
        assert (int(row.limit), int(row.spent), int(row.held)) == tuple(part * UNIT for part in limits)
        with as_operator():
            due = sum(int(row.amount) for row in CreditDue.objects.filter(tenant=self.world.tenant))
        assert due == sum(each.amount for each in self.oracle.dues) * UNIT
        left = sum(grant.left for grant in self.oracle.grants) * UNIT
        assert -self.world.balance("wallet") == left - due

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.use()
            for opening, _hold in self.open:
                self.world.settle([self.world.ending(opening, Usage())])  # type: ignore[arg-type]
            with as_operator():
                found = books.check(tenant_id=self.world.tenant.id).differences
            assert found == ()


@pytest.mark.usefixtures("db")
def test_invariant_19_20_21_credit_is_what_the_oracle_says() -> None:
    run_state_machine_as_test(
        CreditLife,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
