"""The operator's revenue by month or tenant as a table of exact columns, one for each currency. Only reads."""

from __future__ import annotations

from datetime import datetime

from billing import revenue
from billing.exports.columns import Column, Type, usd
from billing.exports.span import Row
from billing.models import Transfer
from billing.revenue import Revenue

EARNED = (
    (Transfer.Kind.USAGE, "calls"), (Transfer.Kind.ADJUSTMENT, "late truth about calls"),
    (Transfer.Kind.CHARGE, "charges besides calls"), (Transfer.Kind.CREDIT_NOTE, "credit notes, negative"),
)  # fmt: skip
SUMS = (
    ("earned_usd", "total", "all that was earned"),
    ("late_usd", "late", "what of it was written in a later month"),
    ("invoiced_usd", "invoiced", "what of it numbered invoices have, less credit notes"),
    ("accrued_usd", "accrued", "what of it is on no numbered invoice"),
    ("breakage_usd", "breakage", "credit that expired"),
    ("goodwill_usd", "goodwill", "credit that was given"),
    ("deferred_usd", "deferred", "prepaid and not used at the month's end: owed to tenants"),
)
BY_CURRENCY = (
    ("receivable", "what invoices are owed at the month's end"),
    ("received", "money received, less refunds"),
    ("tax", "tax charged, less credit notes"),
    ("rounding", "what rounding added"),
)


def table(
    *, first: datetime, until: datetime, basis: str = "effective", tenant_id: int | None = None
) -> tuple[list[Column], list[Row]]:
    """Columns and a row for each month that begins in ``[first, until)``. Raises RevenueProblem. Run it as operator."""
    return table_of(revenue.by_month(first=first, until=until, basis=basis, tenant_id=tenant_id))


def table_of(
    found: list[Revenue], *, named: str = "month", about: str = "the month, UTC"
) -> tuple[list[Column], list[Row]]:
    """The same of months or tenants that were asked for before; ``named`` is the column of their names."""
    columns = [Column(named, Type.TEXT, "", about)]
    columns += [usd(f"{kind}_usd", "", about) for kind, about in EARNED]
    columns += [usd(name, "", about) for name, _attribute, about in SUMS]
    pairs = [(name, currency, about) for name, about in BY_CURRENCY for currency in _currencies(found, name)]
    columns += [usd(f"{name}_{currency.lower()}", "", about) for name, currency, about in pairs]
    return columns, [_row(each, [(name, currency) for name, currency, _about in pairs]) for each in found]


def _row(one: Revenue, pairs: list[tuple[str, str]]) -> Row:
    return (
        one.name,
        *(one.earned.get(kind, 0) for kind, _about in EARNED),
        *(getattr(one, attribute) for _name, attribute, _about in SUMS),
        *(getattr(one, name).get(currency, 0) for name, currency in pairs),
    )


def _currencies(found: list[Revenue], name: str) -> list[str]:
    return sorted({currency for each in found for currency in getattr(each, name)} | {revenue.USD})
