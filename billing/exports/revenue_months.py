"""The operator's revenue by month as a table of exact columns, one for each currency that occurs. Only reads."""

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
    months = revenue.by_month(first=first, until=until, basis=basis, tenant_id=tenant_id)
    columns = [Column("month", Type.TEXT, "", "the month, UTC")]
    columns += [usd(f"{kind}_usd", "", about) for kind, about in EARNED]
    columns += [usd(name, "", about) for name, _attribute, about in SUMS]
    pairs = [(name, currency, about) for name, about in BY_CURRENCY for currency in _currencies(months, name)]
    columns += [usd(f"{name}_{currency.lower()}", "", about) for name, currency, about in pairs]
    return columns, [_row(month, [(name, currency) for name, currency, _about in pairs]) for month in months]


def _row(month: Revenue, pairs: list[tuple[str, str]]) -> Row:
    return (
        month.name,
        *(month.earned.get(kind, 0) for kind, _about in EARNED),
        *(getattr(month, attribute) for _name, attribute, _about in SUMS),
        *(getattr(month, name).get(currency, 0) for name, currency in pairs),
    )


def _currencies(months: list[Revenue], name: str) -> list[str]:
    return sorted({currency for month in months for currency in getattr(month, name)} | {revenue.USD})
