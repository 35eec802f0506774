"""What the books of one tenant should say, in plain dictionaries and fractions; shares no code with billing.

Beside calls and limits, which ``oracle`` knows: charges, invoices in any currency with their tax, what corrects them,
what pays them, and every account of the ledger.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from tests.billing.oracle import Limit, Oracle

DIGITS = {"USD": 2, "EUR": 2, "JPY": 0}
LineKey = tuple[str, int, str]
"""Month, price (0 for a charge), and token class or subject."""
TICK = timedelta(microseconds=1)


def half_up(number: Fraction) -> int:
    """To the next whole number, halves away from zero."""
    whole = (2 * abs(number.numerator) + number.denominator) // (2 * number.denominator)
    return whole if number >= 0 else -whole


def month_around(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m}"


def bounds(label: str, zone: str) -> tuple[datetime, datetime]:
    """The first moments of a month and of the next; no zone used here changes its clock at midnight."""
    year, number = map(int, label.split("-"))
    start = datetime(year, number, 1, tzinfo=ZoneInfo(zone))
    return start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=ZoneInfo(zone))


@dataclass
class Fee:
    """A charge besides usage."""

    month: str
    subject: str
    exact: int
    effective_at: datetime
    invoice: int | None = None


@dataclass
class Sums:
    """Exact picodollars, minor units of a currency, and what the whole is in picodollars."""

    exact: int = 0
    subtotal: int = 0
    tax: int = 0
    total: int = 0
    usd_total: int = 0

    def row(self) -> tuple[int, ...]:
        return self.exact, self.subtotal, self.tax, self.total, self.usd_total


@dataclass
class Bill:
    """An invoice, from its draft on. Lines are (exact, amount), credited parts (amount, exact)."""

    label: str
    start: datetime
    until: datetime
    status: str = "draft"
    rate: Fraction = Fraction(1)
    lines: dict[LineKey, tuple[int, int]] = field(default_factory=dict)
    sums: Sums = field(default_factory=Sums)
    notes: list[Sums] = field(default_factory=list)
    credited: dict[LineKey, tuple[int, int]] = field(default_factory=dict)
    paid: int = 0

    def left(self, key: LineKey) -> tuple[int, int]:
        """Amount and exact amount of a line that no credit note has."""
        exact, amount = self.lines[key]
        gone, gone_exact = self.credited.get(key, (0, 0))
        return amount - gone, exact - gone_exact

    @property
    def left_total(self) -> int:
        return self.sums.total - sum(note.total for note in self.notes)

    @property
    def unpaid(self) -> int:
        return self.left_total - self.paid


class Truth(Oracle):
    """One tenant. ``tax_rate`` is in basis points; ``rates`` are units of its currency for a dollar, by day."""

    def __init__(self, mode: str, zone: str, money: int, currency: str, tax_rate: int) -> None:
        super().__init__(mode, zone, money)
        self.currency, self.tax_rate = currency, tax_rate
        self.unit = 10 ** (12 - DIGITS[currency])
        self.rates: dict[date, Fraction] = {}
        self.units: dict[int, dict[str, int]] = {}
        self.fees: list[Fee] = []
        self.bills: dict[int, Bill] = {}
        self.waiting: list[tuple[datetime, str, int]] = []
        self.accounts: Counter[tuple[str, str]] = Counter()
        if mode == "prepaid":
            self.move("payments", "wallet", money)

    # -- the ledger and limits

    @property
    def own(self) -> str:
        return "wallet" if self.mode == "prepaid" else "accrued"

    @property
    def wallet(self) -> Limit:
        return next(row for row in self.limits.values() if row.budget is None)

    def move(self, debit: str, credit: str, amount: int, currency: str = "USD") -> None:
        self.accounts[debit, currency] += amount
        self.accounts[credit, currency] -= amount

    def post(self) -> int:
        self.move(self.own, "revenue", sum(item.cost for item in self.items if not item.posted))
        return super().post()

    def rolled_up(self) -> dict[int, tuple[int, ...]]:
        """Of each price: requests, cost and tokens of what was posted."""
        found: dict[int, Counter[str]] = {}
        for item in self.items:
            if item.posted:
                mine = found.setdefault(item.price_id, Counter())
                mine.update(item.counts)
                mine["cost"] += item.cost
        names = ("cost", "input", "cache_read", "output", "reasoning")
        return {price: tuple(mine[name] for name in names) for price, mine in found.items() if any(mine.values())}

    # -- credit

    def add_credit(self, kind: str, amount: int) -> None:
        self.move("payments" if kind == "paid" else "goodwill", "wallet", amount)
        self.wallet.limit += amount

    def start_due(self, now: datetime) -> None:
        """What was granted for later and has begun."""
        for grant in [one for one in self.waiting if one[0] <= now]:
            self.waiting.remove(grant)
            self.add_credit(grant[1], grant[2])

    def take_credit(self, to: str, amount: int) -> None:
        """Unused credit that expires into ``breakage`` or goes back out of ``payments``."""
        self.move("wallet", to, amount)
        self.wallet.limit -= amount

    # -- charges

    def charge(self, month: str, subject: str, wanted: int, now: datetime) -> int:
        """Bring what is charged to a sum; returns by how much it changed."""
        same = [fee for fee in self.fees if (fee.month, fee.subject) == (month, subject)]
        change = wanted - sum(fee.exact for fee in same)
        if change:
            start, until = bounds(month, self.zone)
            self.fees.append(Fee(month, subject, change, max(start, min(now, until - TICK))))
            self.move(self.own, "revenue", change)
            self.wallet.spent += change
        return change

    # -- drafts

    def drafts(self) -> dict[int, Bill]:
        return {ident: bill for ident, bill in self.bills.items() if bill.status == "draft"}

    def make_draft(self, ident: int, label: str, now: datetime) -> Bill:
        """Everything up to the month's end that is on no other invoice, taking it from later drafts."""
        start, until = bounds(label, self.zone)
        for other, bill in self.drafts().items():
            if other != ident and bill.sums.total < 0 and bill.until <= start:
                self.drop(other)
        bill = self.bills.setdefault(ident, Bill(label, start, until))
        later = {other: one for other, one in self.drafts().items() if one.until > until}
        for item in self.items:
            free = item.invoice is None or item.invoice == ident or item.invoice in later
            if item.posted and free and item.opened_at < until:
                item.invoice = ident
        for fee in self.fees:
            if (fee.invoice is None or fee.invoice == ident or fee.invoice in later) and fee.effective_at < until:
                fee.invoice = ident
        for other, one in {**later, ident: bill}.items():
            self._fill(other, one, now)
        return bill

    def drop(self, ident: int) -> None:
        for item in self.items:
            item.invoice = None if item.invoice == ident else item.invoice
        for fee in self.fees:
            fee.invoice = None if fee.invoice == ident else fee.invoice
        del self.bills[ident]

    def _fill(self, ident: int, bill: Bill, now: datetime) -> None:
        day = min(now, bill.until - TICK).astimezone(ZoneInfo(self.zone)).date()
        bill.rate = (
            Fraction(1) if self.currency == "USD" else self.rates[max(each for each in self.rates if each <= day)]
        )
        exacts: dict[LineKey, int] = {}
        for (month, price_id, name), quantity in self.lines(ident).items():
            exacts[month, price_id, name] = quantity * self.units[price_id][name]
        fees: Counter[LineKey] = Counter()
        for fee in self.fees:
            if fee.invoice == ident:
                fees[fee.month, 0, fee.subject] += fee.exact
        shown = {key: exact for key, exact in exacts.items() if exact or key[2] != "per_request"}
        shown.update({key: exact for key, exact in fees.items() if exact})
        bill.lines = {key: (exact, half_up(exact * bill.rate / self.unit)) for key, exact in shown.items()}
        sums = bill.sums = Sums(sum(exact for exact, _amount in bill.lines.values()))
        sums.subtotal = sum(amount for _exact, amount in bill.lines.values())
        sums.tax = self._tax_on(sums.subtotal)
        sums.total = sums.subtotal + sums.tax
        sums.usd_total = self._worth(bill, sums.total)

    def _tax_on(self, base: int) -> int:
        return half_up(Fraction(base * self.tax_rate, 10_000))

    def _worth(self, bill: Bill, minor: int) -> int:
        return half_up(minor * self.unit / bill.rate)

    # -- final invoices

    def close_bill(self, bill: Bill) -> None:
        """A draft becomes an invoice."""
        sums = bill.sums
        bill.status = "paid" if self.mode == "prepaid" or not sums.total else "finalised"
        besides = sums.usd_total - sums.exact
        self.wallet.spent += besides
        self._book(bill, sums, besides, self.accounts, exact=("accrued", self.mode != "prepaid"))

    def correct(self, bill: Bill, parts: dict[LineKey, int] | None) -> Sums | None:
        """A credit note over parts of lines, or everything; None if it must be refused."""
        wanted = {key: bill.left(key)[0] for key in bill.lines if any(bill.left(key))} if parts is None else parts
        chosen = {key: self._part(bill, key, amount) for key, amount in wanted.items() if amount or parts is None}
        base = sum(amount for amount, _exact in chosen.values())
        before = [
            sum(getattr(note, name) for note in bill.notes)
            for name in ("subtotal", "tax", "total", "usd_total", "exact")
        ]
        note = Sums(sum(exact for _amount, exact in chosen.values()), base)
        note.tax = self._tax_on(before[0] + base) - before[1]
        note.total = note.subtotal + note.tax
        note.usd_total = self._worth(bill, before[2] + note.total) - before[3]
        too_much = note.total > bill.left_total or note.exact > bill.sums.exact - before[4]
        if not chosen or note.total < 0 or too_much:
            return None
        if bill.status == "finalised" and note.total == bill.left_total:
            bill.status = "void"
        for key, (amount, exact) in chosen.items():
            gone = bill.credited.get(key, (0, 0))
            bill.credited[key] = gone[0] + amount, gone[1] + exact
        bill.notes.append(note)
        self.wallet.spent -= note.usd_total
        back: Counter[tuple[str, str]] = Counter()
        self._book(bill, note, note.usd_total, back, exact=("revenue", True))
        self.accounts.subtract(back)
        return note

    def _part(self, bill: Bill, key: LineKey, amount: int) -> tuple[int, int]:
        left, exact = bill.left(key)
        return (amount, exact) if amount == left else (amount, half_up(Fraction(exact * amount, left)))

    def _book(
        self, bill: Bill, sums: Sums, wallet: int, into: Counter[tuple[str, str]], *, exact: tuple[str, bool]
    ) -> None:
        """The sides of an invoice; what is left open in a currency has gone through ``exchange``."""
        sides: Counter[tuple[str, str]] = Counter()
        mine = self.currency
        sides["tax", mine] -= sums.tax * self.unit
        sides["rounding", mine] -= sums.subtotal * self.unit - half_up(sums.exact * bill.rate)
        if self.mode == "prepaid":
            sides["wallet", "USD"] += wallet
        else:
            sides["receivable", mine] += sums.total * self.unit
        if exact[1]:
            sides[exact[0], "USD"] -= sums.exact
        for currency in {"USD", mine}:
            sides["exchange", currency] -= sum(amount for side, amount in sides.items() if side[1] == currency)
        into.update(sides)

    def pay(self, bill: Bill, amount: int) -> None:
        """A part of what is owed arrives; the credit line has room again by the invoice's own rate."""
        self.move("payments", "receivable", amount * self.unit, self.currency)
        self.wallet.limit += self._worth(bill, bill.paid + amount) - self._worth(bill, bill.paid)
        bill.paid += amount
        if bill.unpaid <= 0:
            bill.status = "paid"
