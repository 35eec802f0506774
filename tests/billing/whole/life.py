"""One tenant that does everything twice: in the product, as who would do it, and in the plain truth, and compares."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

from billing import (
    budgets,
    charges,
    closing,
    credit_ends,
    credit_notes,
    credit_rounds,
    credits,
    exchange,
    invoice_states,
    invoices,
    journal,
    ledger,
    payments,
)
from billing.catalog import VariantPrices
from billing.charges import Wanted
from billing.credits import CreditProblem
from billing.exchange import Rate
from billing.grants import Terms
from billing.invoice_events import Said
from billing.invoices import CarriedOver, InvoiceProblem
from billing.journal import Ending
from billing.meters import Usage
from billing.models import Allowance, CreditDue, CreditGrant, Invoice, InvoiceLine
from billing.payments import Ask
from billing.periods import month
from portal.models import Tenant
from portal.tenancy import as_operator
from tests.billing.oracle import Call, Limit, Long
from tests.billing.whole.truth import Bill, LineKey, Sums, Truth, month_around
from tests.billing.world import USD, World, as_gateway

START_MONEY = 5 * USD
CENT = USD // 100
FIRST_PRICES = {"input": 150_000, "output": 600_000}
WHY = Said("Ana", "It was agreed so")


class Kind(NamedTuple):
    """What a tenant is: how and in which currency it pays, where it is, and its tax in basis points."""

    mode: str
    zone: str
    currency: str
    country: str
    tax_rate: int


class Life:
    """A tenant; every act asserts that the product answers as the truth does."""

    long: Long | None
    line = START_MONEY

    def __init__(self, kind: Kind) -> None:
        self.world = World(mode=kind.mode, credit=START_MONEY, zone=kind.zone, prices=FIRST_PRICES)
        self.truth = Truth(kind.mode, kind.zone, START_MONEY, kind.currency, kind.tax_rate)
        with as_operator():
            rows = Tenant.objects.filter(pk=self.world.tenant.pk)
            rows.update(currency=kind.currency, country=kind.country, billing_anchor_day=1)
            self.world.tenant.refresh_from_db()
        self.budget_limits: dict[int, int] = {}
        self.grants = self.refunds = 0
        self._know(FIRST_PRICES)
        self.see_new_windows()

    # -- calls

    def open(self, holds: list[tuple[int, int]]) -> list[UUID]:
        """Calls with ceilings in cents, by one of two keys; returns those that were admitted."""
        batch = [self.world.opening(cents * CENT, key=self.world.keys[key]) for cents, key in holds]
        refused = {refusal.place for refusal in self.world.open(batch)}
        admitted = []
        for place, one in enumerate(batch):
            call = Call(one.hold, one.allowances, self.prices, one.price_id, one.opened_at, long=self.long)
            assert self.truth.admit(one.id, call) == (place not in refused)
            if place not in refused:
                admitted.append(one.id)
        return admitted

    def settle(self, chosen: list[UUID], counts: dict[str, int]) -> None:
        """Open calls end; ended ones are replayed with other counts, which changes nothing unless they were swept."""
        expected = sum([self.truth.end(ident, counts) for ident in chosen])
        usage, endings = Usage(**counts), []
        for ident in chosen:
            price_id, prices = self.truth.calls[ident].rated_by(counts)
            cost = sum(number * prices[name] for name, number in counts.items()) + prices["per_request"]
            endings.append(Ending(ident, self.world.tenant.id, usage, cost, price_id=price_id))
        assert self.world.settle(endings) == expected
        assert self.world.settle(endings[::-1]) == 0

    def void(self, chosen: list[UUID]) -> None:
        expected = sum([self.truth.end(ident, None) for ident in chosen])
        endings = [Ending(ident, self.world.tenant.id, state="voided", basis=None) for ident in chosen]
        assert self.world.settle(endings) == expected

    def checkpoint(self, ident: UUID, delivered: int) -> None:
        with as_gateway():
            journal.checkpoint_usage([(ident, self.world.tenant.id, delivered)])
        call = self.truth.calls[ident]
        if call.state == "open":
            call.delivered = max(call.delivered, delivered)

    def use(self, counts: list[dict[str, int]]) -> None:
        """Calls from beginning to end, as far as they are admitted."""
        for ident, used in zip(self.open([(1, 0)] * len(counts)) if counts else [], counts, strict=False):
            self.settle([ident], used)

    def chosen(self, places: list[int]) -> list[UUID]:
        known = list(self.truth.calls)
        return list(dict.fromkeys(known[-1 - place % len(known)] for place in places)) if known else []

    # -- what people change

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
            self.truth.units[variant.id] = full

    def _know(self, prices: dict[str, int]) -> None:
        self.prices = {"cache_read": prices["input"], "reasoning": prices["output"], "per_request": 0, **prices}
        self.long = None
        self.truth.units[self.world.price.id] = self.prices

    def change_budget(self, cents: int, scope: str, window: str) -> None:
        budget = self.world.set_budget(cents * CENT, scope=scope, window=window)
        self.budget_limits[budget.pk] = cents * CENT
        for row in self.truth.limits.values():
            if row.budget == budget.pk and (row.ends_at is None or row.ends_at > self.world.clock):
                row.limit = cents * CENT
        self.see_new_windows()

    def arrive(self, moment: datetime, rate: Fraction) -> None:
        """The clock goes on to a moment; a rate of the currency is known for days on the way."""
        days = (moment - self.world.clock).days if self.truth.rates else 70
        if self.truth.currency != "USD":
            for back in range(0, days + 1, 10):
                self._learn_rate(moment - timedelta(days=back), rate)
        self.world.clock = moment
        with as_operator():
            journal.ensure_partitions(now=moment)
            budgets.ensure_windows(now=moment, tenant_id=self.world.tenant.id)
        self.see_new_windows()

    def _learn_rate(self, moment: datetime, rate: Fraction) -> None:
        day = moment.date()
        if day in self.truth.rates:
            return
        with as_operator():
            kept = exchange.keep(
                Rate(self.truth.currency, rate.numerator, rate.denominator, day, "test"), now=self.world.clock
            )
            assert kept is not None
        self.truth.rates[day] = rate

    def see_new_windows(self) -> None:
        with as_operator():
            for row in Allowance.objects.filter(tenant=self.world.tenant).exclude(pk__in=self.truth.limits):
                assert (row.spent, row.held) == (0, 0)
                limit = START_MONEY if row.budget_id is None else self.budget_limits[row.budget_id]
                self.truth.limits[row.pk] = Limit(row.budget_id, row.ends_at, limit)

    # -- credit and charges

    def add_money(self, cents: int) -> None:
        """A top-up, told twice; or another credit line."""
        amount, tenant, now = cents * CENT, self.world.tenant, self.world.clock
        with as_operator():
            if self.truth.mode == "postpaid":
                line = ledger.set_credit_limit(tenant=tenant, credit_limit=START_MONEY + amount, now=now)
                self.truth.wallet.limit += START_MONEY + amount - self.line
                self.line = int(line.credit_limit)
                return
            self.grants += 1
            for _time in range(2):
                ledger.top_up(tenant=tenant, amount=amount, key=f"top-up {self.grants}", now=now)
        self.truth.add_credit("paid", amount)

    def grant(self, kind: str, cents: int, priority: int, days: int, wait: int) -> None:
        """Credit of a kind, from now or later, for some days or for ever (0); granted twice under its key."""
        begins = self.world.clock + timedelta(days=wait)
        ends = begins + timedelta(days=days) if days else None
        terms = Terms(kind, cents * CENT, begins, priority=priority, expires_at=ends)
        self.grants += 1
        with as_operator():
            for _time in range(2):
                credits.grant(tenant=self.world.tenant, terms=terms, key=f"g{self.grants}", now=self.world.clock)
        if wait:
            self.truth.waiting.append((begins, kind, cents * CENT))
        else:
            self.truth.add_credit(kind, cents * CENT)

    def slice_credit(self) -> None:
        """What is posted takes credit; while something is due, no credit is left (invariant 19)."""
        with as_operator():
            credit_rounds.use(tenant=self.world.tenant, now=self.world.clock)
            due = CreditDue.objects.filter(tenant=self.world.tenant).exists()
            left = CreditGrant.objects.filter(tenant=self.world.tenant, unused__gt=0, transfer__isnull=False).exists()
        assert not (due and left)
        self.truth.start_due(self.world.clock)

    def expire(self) -> None:
        """Expired credit goes, but for what is held or about to be taken."""
        now = self.world.clock
        with as_operator():
            over = CreditGrant.objects.filter(tenant=self.world.tenant, expires_at__lte=now, transfer__isnull=False)
            credit_rounds.use(tenant=self.world.tenant, now=now)
            amount = credit_rounds.expire(tenant=self.world.tenant, now=now)
            assert credit_rounds.expire(tenant=self.world.tenant, now=now) == 0
            left = sum(int(row.unused) for row in over)
        self.truth.post()
        self.truth.start_due(now)
        self.truth.take_credit("breakage", amount)
        wallet = self.truth.wallet
        room = wallet.limit - wallet.spent - wallet.held
        assert room >= 0 or not amount
        assert not left or room <= 0

    def refund(self, place: int, cents: int) -> None:
        """Unused paid credit goes back, or that is refused."""
        with as_operator():
            rows = list(CreditGrant.objects.filter(tenant=self.world.tenant).order_by("pk"))
            row = rows[place % len(rows)]
            self.refunds += 1
            try:
                credit_ends.refund(
                    tenant=self.world.tenant, grant=row, amount=cents * CENT, key=f"refund {self.refunds}",
                    now=self.world.clock,
                )  # fmt: skip
            except CreditProblem:
                return
        assert row.kind == "paid"
        assert cents * CENT <= int(row.unused)
        self.truth.take_credit("payments", cents * CENT)
        assert self.truth.wallet.limit >= self.truth.wallet.spent + self.truth.wallet.held

    def charge(self, subject: str, back: int, wanted: int) -> None:
        """Bring what is charged for a subject in a month to a sum; doing it again charges nothing."""
        now, zone = self.world.clock, self.truth.zone
        label = month_around(now - timedelta(days=back), zone)
        asked = Wanted("other", subject, f"About {subject}", wanted)
        with as_operator():
            made = [
                charges.bring_to(tenant=self.world.tenant, period=month(label, zone), wanted=asked, now=now)
                for _time in range(2)
            ]
        change = self.truth.charge(label, subject, wanted, now)
        assert [int(one.exact) if one else 0 for one in made] == [change, 0]

    # -- the books

    def post(self) -> None:
        assert self.world.post() == self.truth.post()
        assert self.world.post() == 0

    def draft(self, back: int) -> int:
        """The draft of a month, line by line as expected; returns its id."""
        label = month_around(self.world.clock - timedelta(days=back), self.truth.zone)
        with as_operator():
            invoice = invoices.draft(tenant=self.world.tenant, month=label, now=self.world.clock)
        self.truth.make_draft(invoice.pk, label, self.world.clock)
        for ident, bill in self.truth.drafts().items():
            self.compare(ident, bill)
        return invoice.pk

    def compare(self, ident: int, bill: Bill) -> None:
        """The lines of an invoice, each with its exact and its rounded amount."""
        with as_operator():
            lines = list(InvoiceLine.objects.select_related("charge").filter(invoice=ident))
        assert {_key(line): (int(line.exact), line.amount) for line in lines} == bill.lines
        assert len(lines) == len(bill.lines)

    def finalise(self, ident: int, serial: int) -> int:
        """Give a draft its number, twice; or be told why not. Returns the last number given."""
        bill = self.truth.bills[ident]
        with as_operator():
            invoice = Invoice.objects.get(pk=ident)
            if not bill.lines or bill.sums.total < 0:
                wanted = CarriedOver if bill.lines else InvoiceProblem
                try:
                    invoices.finalise(invoice=invoice, now=self.world.clock)
                except wanted:
                    return serial
                raise AssertionError("It was finalised.")
            done = [invoices.finalise(invoice=invoice, now=self.world.clock) for _time in range(2)]
        assert {one.number for one in done} == {f"INV-{self.world.clock.year}-{serial + 1:05d}"}
        self.truth.close_bill(bill)
        return serial + 1

    def discard(self, ident: int) -> None:
        with as_operator():
            invoices.discard(invoice=Invoice.objects.get(pk=ident))
        self.truth.drop(ident)

    def close(self, back: int, serial: int) -> int:
        """Close a month as the job does: post, take credit, draft, check the books, finalise."""
        now = self.world.clock
        label = month_around(now - timedelta(days=back), self.truth.zone)
        said: Any = None
        with as_operator():
            try:
                said = closing.close(tenant=self.world.tenant, month=label, now=now, finalise=True)
            except InvoiceProblem as problem:
                said = problem
        self.truth.post()
        self.truth.start_due(now)
        before = [ident for ident, bill in self.truth.bills.items() if bill.label == label and bill.status != "draft"]
        ident = next((one for one, bill in self.truth.drafts().items() if bill.label == label), 0)
        mine = said.pk if isinstance(said, Invoice) and said.pk not in before else ident
        bill = self.truth.make_draft(mine, label, now)
        if not bill.lines or bill.sums.total < 0:
            self.truth.drop(mine)
            assert said.pk == max(before) if before and not bill.lines else isinstance(said, InvoiceProblem)
            return serial
        assert isinstance(said, Invoice), said
        assert not said.parked_reason
        self.compare(mine, bill)
        self.truth.close_bill(bill)
        assert said.number == f"INV-{now.year}-{serial + 1:05d}"
        return serial + 1

    # -- what becomes of invoices

    def correct(self, ident: int, shares: list[tuple[int, int]] | None, serial: int) -> int:
        """A credit note over shares in percent of what is left of lines, or over everything."""
        bill, parts = self.truth.bills[ident], None
        with as_operator():
            invoice = Invoice.objects.get(pk=ident)
            rows = {_key(line): line.pk for line in InvoiceLine.objects.select_related("charge").filter(invoice=ident)}
        if shares is not None:
            keys = sorted(bill.lines)
            parts = {keys[place % len(keys)]: 0 for place, _share in shares}
            for place, share in shares:
                key = keys[place % len(keys)]
                parts[key] = bill.left(key)[0] * share // 100
        expected = self.truth.correct(bill, parts)
        amounts = None if parts is None else {rows[key]: amount for key, amount in parts.items()}
        with as_operator():
            try:
                note = credit_notes.issue(invoice=invoice, amounts=amounts, said=WHY, now=self.world.clock)
            except InvoiceProblem:
                assert expected is None
                return serial
        assert note.number == f"CN-{self.world.clock.year}-{serial + 1:05d}"
        assert Sums(int(note.exact), note.subtotal, note.tax, note.total, int(note.usd_total)) == expected
        return serial + 1

    def write_off(self, ident: int) -> None:
        with as_operator():
            invoice_states.write_off(invoice=Invoice.objects.get(pk=ident), said=WHY, now=self.world.clock)
        self.truth.bills[ident].status = "uncollectible"

    def pay(self, ident: int, percent: int) -> None:
        """A part of what is owed arrives by bank."""
        bill = self.truth.bills[ident]
        amount = max(1, bill.unpaid * percent // 100)
        with as_operator():
            ask = Ask(amount, self.truth.currency, "bank")
            chosen = [Invoice.objects.get(pk=ident)]
            payments.record(tenant=self.world.tenant, ask=ask, chosen=chosen, now=self.world.clock)
        self.truth.pay(bill, amount)


def _key(line: InvoiceLine) -> LineKey:
    """How the truth calls a line."""
    if line.charge is not None:
        return line.period_label, 0, line.charge.subject
    return line.period_label, line.price_id, line.token_class
