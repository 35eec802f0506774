"""Revenue by month or tenant from the ledger: what was earned, what of it is not invoiced, what is owed. Only reads.

Earned is what the house account ``revenue`` was credited with: usage at its price, charges, less credit notes. Accrued
is what of it no finalised invoice has yet. Deferred is prepaid money nobody has used: owed to tenants. Months are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import connection

from billing.models import LedgerAccount, Transfer

Kind = LedgerAccount.Kind
BASES = {"effective": "t.effective_at", "posted": "t.posted_at"}
"""By when it counts, or by when it was written: late usage is in an earlier month by the first."""
MOST_MONTHS = 36
EARNING = (Transfer.Kind.USAGE, Transfer.Kind.ADJUSTMENT, Transfer.Kind.CHARGE)
"""What goes onto invoices."""
USD = "USD"


class RevenueProblem(Exception):
    """A question that is not answered, in plain words."""


@dataclass(slots=True)
class Revenue:
    """One month, or one tenant of it. Picodollars; where a currency is named, 10⁻¹² of its unit.

    ``earned`` is by kind of movement. ``late`` of it was written in a later month than it counts in, ``accrued`` is on
    no finalised invoice by now. The balances are those at the end of the month.
    """

    name: str
    earned: dict[str, int] = field(default_factory=dict)
    late: int = 0
    accrued: int = 0
    breakage: int = 0
    goodwill: int = 0
    rounding: dict[str, int] = field(default_factory=dict)
    tax: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    deferred: int = 0
    receivable: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All that was earned."""
        return sum(self.earned.values())

    @property
    def invoiced(self) -> int:
        """What of it finalised invoices have, less credit notes."""
        return self.total - self.accrued


@dataclass(frozen=True, slots=True)
class _Move:
    """The sum of entries of one kind of account by one kind of movement."""

    name: str
    account: str
    currency: str
    movement: str
    late: bool
    amount: int


def by_month(
    *, first: datetime, until: datetime, basis: str = "effective", tenant_id: int | None = None
) -> list[Revenue]:
    """Each month that begins in ``[first, until)``, both the first moment of a UTC month; run it as operator.

    Raises RevenueProblem for a basis or a length that is not answered.
    """
    labels = _labels(first, until)
    if basis not in BASES:
        raise RevenueProblem(f"Revenue is by the month it is {' or '.join(BASES)} in.")
    if not 0 < len(labels) <= MOST_MONTHS:
        raise RevenueProblem(f"Revenue is of 1 to {MOST_MONTHS} months.")
    found = {label: Revenue(label) for label in labels}
    month = f"to_char({BASES[basis]} AT TIME ZONE 'UTC', 'YYYY-MM')"
    moves = _moves(month, basis, first, until, tenant_id)
    for move in moves:
        _add(found[move.name], move)
    for label, amount in _open(month, basis, first, until, tenant_id).items():
        found[label].accrued = amount
    _carry(found.values(), moves, _balances(basis, first, tenant_id))
    return list(found.values())


def by_tenant(*, first: datetime, until: datetime, basis: str = "effective") -> list[Revenue]:
    """One stretch of time by tenant (slug), the largest first; balances are left out. Run it as operator."""
    if basis not in BASES:
        raise RevenueProblem(f"Revenue is by the month it is {' or '.join(BASES)} in.")
    slug = "(SELECT slug FROM portal_tenant WHERE id = t.tenant_id)"
    found: dict[str, Revenue] = {}
    for move in _moves(slug, basis, first, until, None):
        _add(found.setdefault(move.name, Revenue(move.name)), move)
    for name, amount in _open(slug, basis, first, until, None).items():
        found[name].accrued = amount
    return sorted(found.values(), key=lambda one: (-one.total, one.name))


def month_start(label: str) -> datetime:
    """The first moment of ``2026-11``; RevenueProblem for what is no month."""
    try:
        return datetime.strptime(label, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise RevenueProblem("A month is written as 2026-11.") from None


def month_after(moment: datetime) -> datetime:
    """The first moment of the next month; RevenueProblem where years end."""
    try:
        return moment.replace(year=moment.year + moment.month // 12, month=moment.month % 12 + 1)
    except ValueError:
        raise RevenueProblem("That is too far ahead.") from None


def _labels(first: datetime, until: datetime) -> list[str]:
    labels: list[str] = []
    while first < until and len(labels) <= MOST_MONTHS:
        labels.append(f"{first:%Y-%m}")
        first = month_after(first)
    return labels


def _add(revenue: Revenue, move: _Move) -> None:
    """One sum into its place. Debits are positive in the ledger; income is shown positive."""
    if move.account == Kind.REVENUE:
        revenue.earned[move.movement] = revenue.earned.get(move.movement, 0) - move.amount
        revenue.late -= move.amount if move.late else 0
    elif move.account == Kind.BREAKAGE:
        revenue.breakage -= move.amount
    elif move.account == Kind.GOODWILL:
        revenue.goodwill += move.amount
    elif move.account in (Kind.ROUNDING, Kind.TAX, Kind.PAYMENTS):
        places = {Kind.ROUNDING: revenue.rounding, Kind.TAX: revenue.tax, Kind.PAYMENTS: revenue.received}
        sign = 1 if move.account == Kind.PAYMENTS else -1
        place = places[Kind(move.account)]
        place[move.currency] = place.get(move.currency, 0) + sign * move.amount


def _carry(months: Iterable[Revenue], moves: list[_Move], balances: dict[tuple[str, str], int]) -> None:
    """Balances at the end of each month: those before the first, and what moved since."""
    for month in months:
        for move in moves:
            if move.name == month.name and (move.account, move.currency) in balances:
                balances[move.account, move.currency] += move.amount
        month.deferred = -balances[Kind.WALLET, USD]
        month.receivable = {
            currency: amount for (kind, currency), amount in balances.items() if kind == Kind.RECEIVABLE and amount
        }


def _moves(group: str, basis: str, first: datetime, until: datetime, tenant_id: int | None) -> list[_Move]:
    statement = MOVES.format(group=group, when=BASES[basis])
    with connection.cursor() as cursor:
        cursor.execute(statement, {"first": first, "until": until, "tenant": tenant_id})
        return [_Move(*row) for row in ((*row[:-1], int(row[-1])) for row in cursor.fetchall())]


def _open(group: str, basis: str, first: datetime, until: datetime, tenant_id: int | None) -> dict[str, int]:
    """What was earned and is on no finalised invoice."""
    statement = OPEN.format(group=group, when=BASES[basis])
    values = {"first": first, "until": until, "tenant": tenant_id, "earning": list(EARNING)}
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return {name: int(amount) for name, amount in cursor.fetchall()}


def _balances(basis: str, first: datetime, tenant_id: int | None) -> dict[tuple[str, str], int]:
    """Σ of wallets and receivables by currency before a moment; every currency that ever had one is in it."""
    statement = BALANCES.format(when=BASES[basis])
    with connection.cursor() as cursor:
        cursor.execute(statement, {"first": first, "tenant": tenant_id})
        return {(str(Kind.WALLET), USD): 0} | {
            (kind, currency): int(amount) for kind, currency, amount in cursor.fetchall()
        }


SOURCE = """billing_ledgerentry e JOIN billing_transfer t ON t.id = e.transfer_id
JOIN billing_ledgeraccount a ON a.id = e.account_id"""
MINE = "(%(tenant)s::bigint IS NULL OR t.tenant_id = %(tenant)s)"
MOVES = f"""
SELECT {{group}}, a.kind, e.currency, t.kind,
    date_trunc('month', t.posted_at AT TIME ZONE 'UTC') > date_trunc('month', t.effective_at AT TIME ZONE 'UTC'),
    sum(e.amount)
FROM {SOURCE} WHERE {{when}} >= %(first)s AND {{when}} < %(until)s AND {MINE} GROUP BY 1, 2, 3, 4, 5
"""
OPEN = f"""
SELECT {{group}}, -sum(e.amount) FROM {SOURCE}
LEFT JOIN billing_invoicedtransfer x ON x.transfer_id = t.id LEFT JOIN billing_invoice i ON i.id = x.invoice_id
WHERE a.kind = 'revenue' AND t.kind = ANY (%(earning)s) AND (i.id IS NULL OR i.status = 'draft')
    AND {{when}} >= %(first)s AND {{when}} < %(until)s AND {MINE} GROUP BY 1
"""
BALANCES = f"""
SELECT a.kind, e.currency, coalesce(sum(e.amount) FILTER (WHERE {{when}} < %(first)s), 0) FROM {SOURCE}
WHERE a.kind IN ('wallet', 'receivable') AND {MINE} GROUP BY 1, 2
"""
