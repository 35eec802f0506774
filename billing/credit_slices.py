"""The slices that movements on a wallet take of credit grants, or give back to them.

The only writer of CreditUse and, beside the ledger's trigger that makes its rows, of CreditDue. Money moves when usage
is posted; which grant it came out of is written here, later, from what is due. It may run twice or late: a movement is
due once, and what was taken of it is due no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Sum

from billing import credit_origins, grants
from billing.grants import Terms
from billing.models import CreditDue, CreditGrant, CreditUse, Transfer

ONE_CONSUMER = 7_012
"""First half of the advisory lock under which one tenant's credit is used and given back."""
BATCH = 2_000


def consume(*, tenant_id: int, now: datetime, batch: int = BATCH) -> int:
    """Slice everything due of a tenant; returns how many movements were looked at.

    Corrections first: they give back what they correct, the last taken first, and where nothing was taken they are
    goodwill credit. Then debits, in the order they were posted, take from grants in the order of use. What no grant
    covers stays due.
    """
    total = 0
    for one_batch in (_correct, _draw):
        while done := one_batch(tenant_id, now, batch):
            total += done
    return total


def lock(tenant_id: int) -> None:
    """Wait until nobody else slices this tenant's credit, up to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [ONE_CONSUMER, tenant_id])


def overdrawn(tenant_id: int) -> int:
    """Picodollars taken from the wallet, so far, that no grant covers."""
    return int(CreditDue.objects.filter(tenant_id=tenant_id).aggregate(total=Sum("amount"))["total"] or 0)


def take_whole(*, grant: CreditGrant, transfer: Transfer, kind: str, amount: int, now: datetime) -> None:
    """The one slice of a movement that takes unused credit out of a wallet: an expiry or a refund."""
    CreditDue.objects.filter(transfer=transfer).delete()
    CreditUse.objects.create(
        tenant_id=grant.tenant_id, grant=grant, transfer=transfer, kind=kind, amount=amount, at=now
    )
    grants.change_unused({grant.pk: -amount})


@dataclass(slots=True)
class _Slicing:
    """Slices about to be written: what is left of each grant, in order, and what was taken of which movement."""

    tenant_id: int
    now: datetime
    left: dict[int, int] = field(default_factory=dict)
    uses: list[CreditUse] = field(default_factory=list)
    taken: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def read(self) -> None:
        """See what each grant has left."""
        rows = grants.usable(self.tenant_id).values_list("id", "unused")
        self.left = {ident: int(unused) for ident, unused in rows}

    def take(self, due: CreditDue) -> None:
        """Slice a debit, as far as there is credit."""
        wanted = int(due.amount)
        for ident in list(self.left):
            part = min(wanted, self.left[ident])
            self._add(due, ident, part)
            self.left[ident] -= part
            if not self.left[ident]:
                del self.left[ident]
            wanted -= part
            if not wanted:
                break

    def _add(self, due: CreditDue, grant_id: int, amount: int) -> None:
        self.taken[due.transfer_id] += amount
        self.uses.append(
            CreditUse(
                tenant_id=self.tenant_id, grant_id=grant_id, transfer_id=due.transfer_id, amount=amount,
                kind=CreditUse.Kind.CONSUMED, at=self.now,
            )
        )  # fmt: skip

    def write(self) -> None:
        """Store the slices, and with them what is unused of the grants and due of the movements."""
        changes: dict[int, int] = defaultdict(int)
        for use in self.uses:
            changes[use.grant_id] -= int(use.amount)
        CreditUse.objects.bulk_create(self.uses, batch_size=1_000)
        grants.change_unused(changes)
        _lower_dues(self.taken)


@transaction.atomic
def _correct(tenant_id: int, now: datetime, batch: int) -> int:
    """Give back for a batch of credits; returns how many."""
    lock(tenant_id)
    rows = CreditDue.objects.filter(tenant_id=tenant_id, amount__lt=0).select_related("transfer")
    found = list(rows.order_by("transfer_id")[:batch])
    for due in found:
        _give_back(due, now)
    return len(found)


@transaction.atomic
def _draw(tenant_id: int, now: datetime, batch: int) -> int:
    """Slice a batch of debits; returns how many, 0 too when no grant has anything left."""
    lock(tenant_id)
    slicing = _Slicing(tenant_id, now)
    slicing.read()
    if not slicing.left:
        return 0
    rows = list(CreditDue.objects.filter(tenant_id=tenant_id, amount__gt=0).order_by("transfer_id")[:batch])
    for due in rows:
        slicing.take(due)
    slicing.write()
    return len(rows)


def _give_back(due: CreditDue, now: datetime) -> None:
    """Undo what a correction corrects: what is not sliced yet, then slices in reverse; then anything of the tenant."""
    owed = -int(due.amount)
    origins = credit_origins.of(due.transfer)
    for among in (origins, None) if origins else (None,):
        owed -= _undue(due.tenant_id, owed, among)
        owed -= _unslice(due, owed, among, now)
    if owed:
        terms = Terms(CreditGrant.Kind.GOODWILL, owed, now, memo=due.transfer.memo)
        key = f"given:{due.transfer_id}"
        grants.add(tenant_id=due.tenant_id, key=key, terms=terms, transfer=due.transfer, now=now)
    due.delete()


def _undue(tenant_id: int, owed: int, among: Sequence[int] | None) -> int:
    """Lower what is due of debits, the latest first; returns by how much."""
    rows = CreditDue.objects.filter(tenant_id=tenant_id, amount__gt=0).order_by("-transfer_id")
    undone: dict[int, int] = {}
    for row in rows if among is None else rows.filter(transfer_id__in=among):
        part = min(owed - sum(undone.values()), int(row.amount))
        if not part:
            break
        undone[row.transfer_id] = part
    _lower_dues(undone)
    return sum(undone.values())


def _unslice(due: CreditDue, owed: int, among: Sequence[int] | None, now: datetime) -> int:
    """Give slices back to their grants, the last taken first; returns how much."""
    returned = 0
    while returned < owed and (rows := _slices(due.tenant_id, among)):
        uses = []
        changes: dict[int, int] = defaultdict(int)
        for ident, grant_id, amount in rows:
            part = min(owed - returned, amount)
            if not part:
                break
            returned += part
            changes[grant_id] += part
            uses.append(
                CreditUse(
                    tenant_id=due.tenant_id, grant_id=grant_id, transfer_id=due.transfer_id, amount=-part,
                    kind=CreditUse.Kind.CONSUMED, reverses_id=ident, at=now,
                )
            )  # fmt: skip
        CreditUse.objects.bulk_create(uses)
        grants.change_unused(changes)
    return returned


def _slices(tenant_id: int, among: Sequence[int] | None) -> list[tuple[int, int, int]]:
    """Slices that are not wholly given back, the last first: id, grant, and what is left of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT u.id, u.grant_id, u.amount + coalesce(b.amount, 0) FROM billing_credituse u
            LEFT JOIN LATERAL (
                SELECT sum(r.amount) AS amount FROM billing_credituse r WHERE r.reverses_id = u.id) b ON true
            WHERE u.tenant_id = %(tenant)s AND u.kind = 'consumed' AND u.amount > 0
                AND u.amount + coalesce(b.amount, 0) > 0
                AND (%(among)s::bigint[] IS NULL OR u.transfer_id = ANY (%(among)s))
            ORDER BY u.id DESC LIMIT 200""",
            {"tenant": tenant_id, "among": None if among is None else list(among)},
        )
        return [(ident, grant_id, int(amount)) for ident, grant_id, amount in cursor.fetchall()]


def _lower_dues(taken: dict[int, int]) -> None:
    """Take amounts off what is due of movements, by transfer; what comes to nothing is deleted."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH t AS (SELECT * FROM unnest(%(ids)s::bigint[], %(amounts)s::numeric[]) t (id, amount)), gone AS (
                DELETE FROM billing_creditdue d USING t WHERE d.transfer_id = t.id AND d.amount = t.amount)
            UPDATE billing_creditdue d SET amount = d.amount - t.amount
            FROM t WHERE d.transfer_id = t.id AND d.amount <> t.amount""",
            {"ids": list(taken), "amounts": list(taken.values())},
        )
