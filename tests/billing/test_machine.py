"""Everything at once: random acts on real PostgreSQL, compared with an oracle of plain dictionaries after each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

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

from billing import books, budgets, closing, invoices, journal, ledger
from billing.catalog import VariantPrices
from billing.invoices import CarriedOver
from billing.journal import Ending
from billing.meters import Usage
from billing.models import Allowance, Invoice, UsageEvent
from billing.periods import month_of
from portal.tenancy import as_operator
from tests.billing.oracle import Call, Limit, Long, Oracle, cost_of, in_cents
from tests.billing.world import USD, World, as_gateway

COUNTS = st.fixed_dictionaries(
    {name: st.integers(0, 200_000) for name in ("input", "cache_read", "output", "reasoning")}
)
CENTS = st.integers(0, 300)
SOME_CALLS = st.lists(COUNTS, max_size=3)
"""Many acts begin with a few calls of their own: Hypothesis leaves out whole rules in most lives."""
FIRST_PRICES = {"input": 150_000, "output": 600_000}
PLACE = st.integers(0, 10**6)
ABOVE = st.sampled_from([50, 100_000, 0])
"""Where a longer prompt is dearer; swept calls count a hundred tokens, so they, too, may be long ones."""


class Billing(RuleBasedStateMachine):
    """One tenant's life. Calls are opened and ended as the gateway, everything else as the operator."""

    long: Long | None

    @initialize(
        mode=st.sampled_from(["prepaid", "postpaid"]), zone=st.sampled_from(["Asia/Kolkata", "America/New_York"]),
        above=ABOVE,
    )  # fmt: skip
    def begin(self, mode: str, zone: str, above: int) -> None:
        self.world = World(mode=mode, credit=5 * USD, zone=zone, prices=FIRST_PRICES)
        self.oracle = Oracle(mode, zone, 5 * USD)
        self.budget_limits: dict[int, int] = {}
        self.top_ups = 0
        self._know(FIRST_PRICES)
        self.change_price(150_000, USD // 1000, above, 2)
        self._see_new_windows()
        self.use([{"input": 120_000, "cache_read": 7, "output": 3_333, "reasoning": 1}], post=True)

    # -- calls

    @rule(holds=st.lists(st.tuples(CENTS, st.integers(0, 1)), min_size=1, max_size=6))
    def open(self, holds: list[tuple[int, int]]) -> None:
        batch = [self.world.opening(cents * USD // 100, key=self.world.keys[key]) for cents, key in holds]
        refused = {refusal.place for refusal in self.world.open(batch)}
        for place, opening in enumerate(batch):
            call = Call(
                opening.hold, opening.allowances, self.prices, opening.price_id, opening.opened_at, long=self.long
            )
            assert self.oracle.admit(opening.id, call) == (place not in refused)

    @rule(counts=SOME_CALLS, post=st.booleans())
    def use(self, counts: list[dict[str, int]], post: bool) -> None:
        """Calls from beginning to end."""
        known = len(self.oracle.calls)
        if counts:
            self.open([(1, 0)] * len(counts))
        for place, used in zip(range(known, len(self.oracle.calls)), counts, strict=False):
            self.settle([place], used)
        if post:
            self.post()

    @precondition(lambda self: self.oracle.calls)
    @rule(places=st.lists(PLACE, min_size=1, max_size=5, unique=True), counts=COUNTS)
    def settle(self, places: list[int], counts: dict[str, int]) -> None:
        """Open calls end; ended ones are replayed with other counts, which changes nothing unless they were swept."""
        chosen = self._choose(places)
        expected = sum([self.oracle.end(ident, counts) for ident in chosen])
        usage = Usage(**counts)
        rated = [self.oracle.calls[ident].rated_by(counts) for ident in chosen]
        endings = [
            Ending(ident, self.world.tenant.id, usage, cost_of(counts, prices), price_id=price_id)
            for ident, (price_id, prices) in zip(chosen, rated, strict=True)
        ]
        assert self.world.settle(endings) == expected
        assert self.world.settle(endings[::-1]) == 0

    @precondition(lambda self: self.oracle.calls)
    @rule(places=st.lists(PLACE, min_size=1, max_size=3, unique=True))
    def void(self, places: list[int]) -> None:
        chosen = self._choose(places)
        expected = sum([self.oracle.end(ident, None) for ident in chosen])
        endings = [Ending(ident, self.world.tenant.id, state="voided", basis=None) for ident in chosen]
        assert self.world.settle(endings) == expected

    @precondition(lambda self: self.oracle.calls)
    @rule(place=PLACE, delivered=st.integers(0, 10_000))
    def checkpoint(self, place: int, delivered: int) -> None:
        (ident,) = self._choose([place])
        with as_gateway():
            journal.checkpoint_usage([(ident, self.world.tenant.id, delivered)])
        call = self.oracle.calls[ident]
        if call.state == "open":
            call.delivered = max(call.delivered, delivered)

    @rule(
        lost=st.lists(st.tuples(CENTS, st.integers(0, 1)), max_size=3), late=st.lists(PLACE, max_size=2), counts=COUNTS
    )
    def sweep(self, lost: list[tuple[int, int]], late: list[int], counts: dict[str, int]) -> None:
        """What a dead gateway left open is ended, and the truth about some of it may come later."""
        if lost:
            self.open(lost)
        assert self.world.sweep() == self.oracle.sweep()
        assert self.world.sweep() == 0
        if late and self.oracle.calls:
            self.settle([len(self.oracle.calls) - 1 - place % 3 for place in late], counts)

    # -- what people change

    @rule(unit=st.integers(0, 10**6), request=st.integers(0, USD // 50), above=ABOVE, times=st.integers(1, 3))
    def change_price(self, unit: int, request: int, above: int, times: int) -> None:
        self.world.clock += timedelta(seconds=1)
        prices = {"input": unit, "output": 2 * unit, "cache_read": unit // 2, "per_request": request}
        dearer = {"input": unit * times, "output": 2 * unit * times}
        long = VariantPrices(f"above-{above}", above, "", (), dearer)
        self.world.price = self.world.publish(prices, variants=[long] if above else [])
        self._know(prices)
        if self.world.price.variants:
            (variant,) = self.world.price.variants
            full = {**dearer, "cache_read": dearer["input"], "reasoning": dearer["output"], "per_request": request}
            self.long = Long(above, full, variant.id)
            self.request_prices[variant.id] = request

    @rule(
        cents=CENTS,
        scope=st.sampled_from(["tenant", "project", "api_key"]),
        window=st.sampled_from(["day", "lifetime"]),
    )
    def change_budget(self, cents: int, scope: str, window: str) -> None:
        budget = self.world.set_budget(cents * USD // 100, scope=scope, window=window)
        self.budget_limits[budget.pk] = cents * USD // 100
        for row in self.oracle.limits.values():
            if row.budget == budget.pk and (row.ends_at is None or row.ends_at > self.world.clock):
                row.limit = cents * USD // 100
        self._see_new_windows()

    @rule(cents=st.integers(1, 500))
    def add_money(self, cents: int) -> None:
        amount = cents * USD // 100
        wallet = next(row for row in self.oracle.limits.values() if row.budget is None)
        with as_operator():
            if self.oracle.mode == "prepaid":
                self.top_ups += 1
                for _time in range(2):
                    ledger.top_up(tenant=self.world.tenant, amount=amount, key=str(self.top_ups), now=self.world.clock)
                self.oracle.credit += amount
                wallet.limit += amount
            else:
                ledger.set_credit_limit(tenant=self.world.tenant, credit_limit=amount, now=self.world.clock)
                wallet.limit = amount

    @rule(minutes=st.one_of(st.integers(1, 120), st.integers(1, 60 * 24 * 20)))
    def let_time_pass(self, minutes: int) -> None:
        self.world.clock += timedelta(minutes=minutes)
        with as_operator():
            journal.ensure_partitions(now=self.world.clock)
            budgets.ensure_windows(now=self.world.clock, tenant_id=self.world.tenant.id)
        self._see_new_windows()

    # -- the books

    @rule()
    def post(self) -> None:
        assert self.world.post() == self.oracle.post()
        assert self.world.post() == 0

    @rule(back=st.integers(0, 40), before=SOME_CALLS, final=st.booleans())
    def invoice(self, back: int, before: list[dict[str, int]], final: bool) -> None:
        """A draft, of this month or the one before, shows exactly what no other invoice has; it may get its number."""
        self.use(before, post=True)
        invoice = self._draft(back)
        if not final:
            return
        if not self.oracle.lines(invoice.pk) or invoice.total < 0:
            with as_operator():
                if invoice.lines.exists():
                    with pytest.raises(CarriedOver):
                        invoices.finalise(invoice=invoice, now=self.world.clock)
                invoices.discard(invoice=invoice)
            self._see_which_drafts_are_gone()
            return
        with as_operator():
            for _time in range(2):
                done = invoices.finalise(invoice=invoice, now=self.world.clock)
            assert done.number
        self.oracle.finalise(int(done.exact), done.total)

    @rule(before=SOME_CALLS, days=st.integers(0, 45))
    def close_what_is_over(self, before: list[dict[str, int]], days: int) -> None:
        """Nothing to close is no error; what is closed is closed as ``invoice`` would have."""
        self.use(before, post=False)
        self.let_time_pass(1 + days * 24 * 60)
        with as_operator():
            closed = closing.close_ended(tenant=self.world.tenant, now=self.world.clock)
        if closed:
            self.oracle.post()
            self._see_which_drafts_are_gone()
            self.oracle.draft(closed.pk, closed.period_end_at)
            assert closed.status in ("finalised", "paid")  # paid at once from a wallet, or where it comes to nothing
            assert int(closed.exact) == self.oracle.exact(closed.pk)
            self.oracle.finalise(int(closed.exact), closed.total)
        else:
            self._see_what_was_posted()
            self._see_which_drafts_are_gone()

    # -- what must hold after every act

    @invariant()
    def limits_are_as_expected(self) -> None:
        with as_operator():
            rows = Allowance.objects.filter(tenant=self.world.tenant)
            found = {row.pk: (int(row.limit), int(row.spent), int(row.held)) for row in rows}
        assert found == {place: (row.limit, row.spent, row.held) for place, row in self.oracle.limits.items()}

    @invariant()
    def the_ledger_is_as_expected(self) -> None:
        assert {kind: self.world.balance(kind) for kind in self.oracle.balances()} == self.oracle.balances()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.sweep([], [], {})
        self.post()
        with as_operator():
            assert books.check(tenant_id=self.world.tenant.id).differences == ()
            states = dict(UsageEvent.objects.filter(tenant_id=self.world.tenant.id).values_list("id", "state"))
            final = Invoice.objects.filter(tenant=self.world.tenant).exclude(number=None)
            assert sum(int(invoice.exact) for invoice in final) == self.oracle.invoiced["exact"]
        assert states == {ident: call.state for ident, call in self.oracle.calls.items()}

    def _draft(self, back: int) -> Invoice:
        zone = self.oracle.zone
        month = month_of(self.world.clock - timedelta(days=back), zone)
        with as_operator():
            invoice = invoices.draft(tenant=self.world.tenant, month=month.label, now=self.world.clock)
            lines = list(invoice.lines.all())
        self._see_which_drafts_are_gone()
        expected = self.oracle.draft(invoice.pk, invoice.period_end_at)
        found = {(line.period_label, line.price_id, line.token_class): line.quantity for line in lines}
        assert found == {key: number for key, number in expected.items() if self._shown(key)}
        assert int(invoice.exact) == self.oracle.exact(invoice.pk)
        assert invoice.total == sum(in_cents(line.quantity * line.unit_price) for line in lines)
        return invoice

    def _shown(self, key: tuple[str, int, str]) -> bool:
        """Requests are a line only where they cost something."""
        return key[2] != "per_request" or self.request_prices[key[1]] > 0

    def _know(self, prices: dict[str, int]) -> None:
        full: dict[str, Any] = {
            "cache_read": prices["input"],
            "reasoning": prices["output"],
            "per_request": 0,
            **prices,
        }
        self.prices: dict[str, int] = full
        self.long = None
        self.request_prices = {**getattr(self, "request_prices", {}), self.world.price.id: full["per_request"]}

    def _choose(self, places: list[int]) -> list[Any]:
        known = list(self.oracle.calls)
        return list(dict.fromkeys(known[place % len(known)] for place in places))

    def _see_what_was_posted(self) -> None:
        """Closing may have posted before it found that nothing is due; posting is seen in the accounts."""
        if self.world.balance("revenue") != -self.oracle.posted:
            self.oracle.post()

    def _see_which_drafts_are_gone(self) -> None:
        """What was on a draft that was discarded is on no invoice again."""
        with as_operator():
            there = set(Invoice.objects.filter(tenant=self.world.tenant).values_list("pk", flat=True))
        for item in self.oracle.items:
            item.invoice = item.invoice if item.invoice in there else None

    def _see_new_windows(self) -> None:
        with as_operator():
            for row in Allowance.objects.filter(tenant=self.world.tenant).exclude(pk__in=self.oracle.limits):
                assert (row.spent, row.held) == (0, 0)
                limit = 5 * USD if row.budget_id is None else self.budget_limits[row.budget_id]
                self.oracle.limits[row.pk] = Limit(row.budget_id, row.ends_at, limit)


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
def test_it_does_what_the_oracle_says() -> None:
    run_state_machine_as_test(
        Billing,
        settings=settings(
            max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
