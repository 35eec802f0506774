"""What billing should say, worked out with plain dictionaries and whole numbers, sharing no code with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

CENT = 10**10


def cost_of(counts: dict[str, int], prices: dict[str, int]) -> int:
    return sum(number * prices[name] for name, number in counts.items()) + prices["per_request"]


def in_cents(pico: int) -> int:
    cents = (2 * abs(pico) + CENT) // (2 * CENT)
    return cents if pico >= 0 else -cents


@dataclass
class Limit:
    """A limit in one window."""

    budget: int | None
    ends_at: datetime | None
    limit: int
    spent: int = 0
    held: int = 0


@dataclass
class Item:
    """Something to be posted and invoiced once: a settled call or a late correction."""

    month: str
    price_id: int
    counts: dict[str, int]
    requests: int
    cost: int
    opened_at: datetime
    posted: bool = False
    invoice: int | None = None


@dataclass(frozen=True)
class Long:
    """Other prices for calls with more prompt tokens."""

    above: int
    prices: dict[str, int]
    price_id: int


@dataclass
class Call:
    """One admitted call. ``price_id`` becomes that of the price that rates it."""

    hold: int
    limits: tuple[int, ...]
    prices: dict[str, int]
    price_id: int
    opened_at: datetime
    delivered: int = 0
    state: str = "open"
    swept: bool = False
    corrected: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    cost: int = 0
    long: Long | None = None
    base_id: int = 0

    def __post_init__(self) -> None:
        self.base_id = self.price_id

    def rated_by(self, counts: dict[str, int]) -> tuple[int, dict[str, int]]:
        """The price of what was used."""
        prompt = counts.get("input", 0) + counts.get("cache_read", 0)
        if self.long is not None and prompt > self.long.above:
            return self.long.price_id, self.long.prices
        return self.base_id, self.prices


class Oracle:
    """The truth about one tenant."""

    def __init__(self, mode: str, zone: str, money: int) -> None:
        self.mode, self.zone = mode, zone
        self.limits: dict[int, Limit] = {}
        self.calls: dict[UUID, Call] = {}
        self.items: list[Item] = []
        self.credit = money
        self.invoiced = {"exact": 0, "cents": 0}

    def admit(self, ident: UUID, call: Call) -> bool:
        """Held if it fits everywhere."""
        rows = [self.limits[place] for place in call.limits]
        if any(row.spent + row.held + call.hold > row.limit for row in rows):
            return False
        for row in rows:
            row.held += call.hold
        self.calls[ident] = call
        return True

    def end(self, ident: UUID, counts: dict[str, int] | None, *, swept: bool = False) -> bool:
        """End a call, with None at zero; the true usage of a swept one is a correction, once."""
        call = self.calls[ident]
        cost, price_id = 0, call.price_id
        if counts is not None:
            price_id, prices = call.rated_by(counts)
            cost = cost_of(counts, prices)
        if call.state != "open":
            if call.swept and not call.corrected and not swept:
                self._correct(call, counts, cost, price_id)
            return False
        call.state, call.swept = ("voided" if counts is None else "settled"), swept
        call.price_id = price_id
        call.counts, call.cost = counts or {}, cost
        for place in call.limits:
            self.limits[place].held -= call.hold
            self.limits[place].spent += cost
        if counts is not None:
            self._add(call, call.price_id, counts, 1, cost)
        return True

    def sweep(self) -> int:
        """End everything open with what is known of it."""
        running = [ident for ident, call in self.calls.items() if call.state == "open"]
        for ident in running:
            self.end(ident, {"input": 100, "output": self.calls[ident].delivered}, swept=True)
        return len(running)

    def _correct(self, call: Call, counts: dict[str, int] | None, cost: int, price_id: int) -> None:
        """The difference; under another price, all of the estimate back and all of the truth."""
        call.corrected = True
        for place in call.limits:
            self.limits[place].spent += cost - call.cost
        true = counts or {}
        if price_id != call.price_id:
            self._add(call, call.price_id, {name: -number for name, number in call.counts.items()}, -1, -call.cost)
            self._add(call, price_id, true, 1, cost)
            return
        names = {*true, *call.counts}
        difference = {name: true.get(name, 0) - call.counts.get(name, 0) for name in names}
        self._add(call, price_id, difference, 0 if counts is not None else -1, cost - call.cost)

    def _add(self, call: Call, price_id: int, counts: dict[str, int], requests: int, cost: int) -> None:
        month = f"{call.opened_at.astimezone(ZoneInfo(self.zone)):%Y-%m}"
        self.items.append(Item(month, price_id, dict(counts), requests, cost, call.opened_at))

    def post(self) -> int:
        """Everything settled reaches the ledger."""
        fresh = [item for item in self.items if not item.posted]
        for item in fresh:
            item.posted = True
        return len(fresh)

    def draft(self, invoice: int, until: datetime) -> dict[tuple[str, int, str], int]:
        """What a draft shows: quantities by month, price and class of what is posted and on no other invoice."""
        for item in self.items:
            if item.invoice == invoice:
                item.invoice = None
            if item.posted and item.invoice is None and item.opened_at < until:
                item.invoice = invoice
        return self.lines(invoice)

    def lines(self, invoice: int) -> dict[tuple[str, int, str], int]:
        """Quantities on an invoice."""
        found: dict[tuple[str, int, str], int] = {}
        for item in self.items:
            if item.invoice == invoice:
                for name, number in (*item.counts.items(), ("per_request", item.requests)):
                    key = (item.month, item.price_id, name)
                    found[key] = found.get(key, 0) + number
        return {key: number for key, number in found.items() if number}

    def exact(self, invoice: int) -> int:
        """Σ cost of what is on an invoice."""
        return sum(item.cost for item in self.items if item.invoice == invoice)

    def finalise(self, exact: int, cents: int) -> None:
        """The rounding of an invoice is borne by the wallet."""
        self.invoiced["exact"] += exact
        self.invoiced["cents"] += cents
        for row in self.limits.values():
            if row.budget is None:
                row.spent += cents * CENT - exact

    @property
    def posted(self) -> int:
        """Σ cost of what has reached the ledger."""
        return sum(item.cost for item in self.items if item.posted)

    def balances(self) -> dict[str, int]:
        """What the ledger should say, debits positive."""
        rounding = self.invoiced["cents"] * CENT - self.invoiced["exact"]
        common = {"revenue": -self.posted, "rounding": -rounding}
        if self.mode == "prepaid":
            return {**common, "wallet": self.posted + rounding - self.credit, "payments": self.credit}
        owed = self.invoiced["cents"] * CENT
        return {**common, "accrued": self.posted - self.invoiced["exact"], "receivable": owed}
