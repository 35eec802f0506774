"""What an export is of: a tenant and whole months of it; and what every kind of export can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from billing.exports.columns import Column
from billing.parties import Tenant
from billing.periods import FIRST_DAY, Period, month

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A tenant's time ``[start, end)``, whose days are those of its zone."""

    tenant: Tenant
    start: datetime
    end: datetime

    @classmethod
    def of(cls, tenant: Tenant, first: Period, last: Period) -> Span:
        """From the first month to the last."""
        return cls(tenant, first.start, last.end or FIRST_DAY)

    @classmethod
    def named(cls, tenant: Tenant, first: str, last: str) -> Span:
        """The same by the months' names; raises PeriodProblem."""
        return cls.of(tenant, month(first, tenant.timezone), month(last, tenant.timezone))

    def values(self) -> dict[str, Any]:
        """As parameters of statements."""
        return {"tenant": self.tenant.id, "start": self.start, "end": self.end, "zone": self.tenant.timezone}


class Export(Protocol):
    """One kind of export."""

    @property
    def name(self) -> str: ...
    @property
    def about(self) -> str: ...
    @property
    def columns(self) -> Sequence[Column]: ...

    def pages(self, span: Span) -> Iterator[list[Row]]:
        """Its rows, some thousand at a time, so that no more of them is held."""

    def count(self, span: Span) -> int | None:
        """How many rows there will be; None where that is not known before."""
