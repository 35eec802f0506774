"""Credit grants: what fills a wallet, in which order it is used, and until when. The only writer of CreditGrant.

Smaller priorities are used first, then what ends sooner, then what is older.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import F, QuerySet

from billing.models import CreditGrant, Transfer

Kind = CreditGrant.Kind
PRIORITIES: dict[str, int] = {Kind.PROMOTIONAL: 10, Kind.GOODWILL: 20, Kind.PAID: 50}
"""Unless it says otherwise, what a tenant paid for is used last."""
LOWEST_PRIORITY = 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """What is granted: a kind, picodollars, its place in the order (None: that of its kind) and its time."""

    kind: str
    amount: int
    starts_at: datetime
    priority: int | None = None
    expires_at: datetime | None = None
    memo: str = ""

    @property
    def place(self) -> int:
        """The priority it has."""
        return PRIORITIES[self.kind] if self.priority is None else self.priority


def add(*, tenant_id: int, key: str, terms: Terms, transfer: Transfer | None, now: datetime) -> CreditGrant:
    """A grant that the wallet holds already by ``transfer``, or will from its start (None)."""
    return CreditGrant.objects.create(
        tenant_id=tenant_id, key=key, kind=terms.kind, amount=terms.amount, unused=terms.amount, priority=terms.place,
        starts_at=terms.starts_at, expires_at=terms.expires_at, memo=terms.memo, transfer=transfer, created_at=now,
    )  # fmt: skip


def start(grant: CreditGrant, transfer: Transfer) -> None:
    """The grant is in the wallet from now on."""
    CreditGrant.objects.filter(pk=grant.pk, transfer=None).update(transfer=transfer)
    grant.transfer = transfer


def usable(tenant_id: int) -> QuerySet[CreditGrant]:
    """Grants in a wallet with something unused, in the order of use."""
    rows = CreditGrant.objects.filter(tenant_id=tenant_id, unused__gt=0, transfer__isnull=False)
    return rows.order_by("priority", F("expires_at").asc(nulls_last=True), "id")


def change_unused(changes: Mapping[int, int]) -> None:
    """Add signed picodollars to what is unused of grants, by id. Leaving 0 … amount is refused by the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE billing_creditgrant g SET unused = g.unused + c.amount
            FROM unnest(%s::bigint[], %s::numeric[]) c (id, amount) WHERE g.id = c.id AND c.amount <> 0""",
            [list(changes), list(changes.values())],
        )
