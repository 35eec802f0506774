"""Credit in prepaid wallets: granting it, using it in order, and what of it may leave a wallet otherwise."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from billing import credit_slices, grants, ledger
from billing.credit_slices import lock
from billing.grants import LOWEST_PRIORITY, Terms
from billing.ledger import Entry, LedgerProblem, Movement
from billing.models import CreditGrant, CreditUse, LedgerAccount, Transfer, Wallet
from billing.parties import Tenant

LONGEST_KEY = 180
LARGEST = 10**9 * 10**12
"""A grant is at most a billion USD."""


class CreditProblem(LedgerProblem):
    """A credit that cannot be granted, expired or refunded; in plain words."""


@transaction.atomic
def grant(*, tenant: Tenant, terms: Terms, key: str, now: datetime) -> CreditGrant:
    """Put credit into a prepaid wallet, from ``terms.starts_at`` on. The same key again changes nothing.

    Paid credit is debited to ``payments``, other credit to the house's ``goodwill``. Raises CreditProblem.
    """
    check(tenant=tenant, terms=terms, key=key, now=now)
    lock(tenant.id)
    found = CreditGrant.objects.filter(tenant_id=tenant.id, key=f"grant:{key}").first()
    if found is not None:
        if (found.kind, int(found.amount)) != (terms.kind, terms.amount):
            raise CreditProblem(f"The key {key!r} was used for another credit.")
        return found
    made = grants.add(tenant_id=tenant.id, key=f"grant:{key}", terms=terms, transfer=None, now=now)
    if terms.starts_at <= now:
        _start(tenant, made, now)
    return made


@transaction.atomic
def start_due(*, tenant: Tenant, now: datetime) -> int:
    """Put grants whose time has come into the wallet; returns how many."""
    lock(tenant.id)
    waiting = CreditGrant.objects.filter(tenant_id=tenant.id, transfer=None, starts_at__lte=now).order_by("id")
    for one in waiting:
        _start(tenant, one, now)
    return len(waiting)


def consume(tenant_id: int, now: datetime) -> int:
    """Slice what is due of a tenant: see credit_slices. Call it after posting, and before a month is closed."""
    return credit_slices.consume(tenant_id=tenant_id, now=now)


def waiting_tenants(now: datetime) -> list[int]:
    """Tenants with something due that can be sliced, or with grants whose time has come."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT DISTINCT d.tenant_id FROM billing_creditdue d WHERE d.amount < 0 OR EXISTS (
                SELECT FROM billing_creditgrant g
                WHERE g.tenant_id = d.tenant_id AND g.unused > 0 AND g.transfer_id IS NOT NULL)
            UNION SELECT g.tenant_id FROM billing_creditgrant g
                WHERE g.transfer_id IS NULL AND g.unused > 0 AND g.starts_at <= %s ORDER BY 1""",
            [now],
        )
        return [row[0] for row in cursor.fetchall()]


def is_prepaid(tenant_id: int) -> bool:
    """Whether a tenant pays from a balance."""
    return Wallet.objects.filter(tenant_id=tenant_id, mode=Wallet.Mode.PREPAID).exists()


@transaction.atomic
def end(*, tenant: Tenant, grant: CreditGrant, amount: int, movement: Movement, now: datetime) -> Transfer:
    """Take unused credit out of a wallet: the movement, its slice, and the allowance's limit, at once.

    For expiry and refunds (billing/credit_ends.py), which have checked that it is neither used nor held.
    """
    transfer, made = ledger.post(tenant=tenant, movement=movement, now=now)
    if made:
        expired = movement.kind == Transfer.Kind.EXPIRY
        kind = CreditUse.Kind.EXPIRED if expired else CreditUse.Kind.REFUNDED
        credit_slices.take_whole(grant=grant, transfer=transfer, kind=kind, amount=amount, now=now)
        ledger.raise_limit(tenant.id, -amount)
    return transfer


def check(*, tenant: Tenant, terms: Terms, key: str, now: datetime) -> None:
    """Whether something can be granted; CreditProblem says why not."""
    if not is_prepaid(tenant.id):
        raise CreditProblem(f"{tenant.slug} pays by invoice and has no prepaid balance to put credit into.")
    if terms.kind not in CreditGrant.Kind.values:
        raise CreditProblem("Credit is paid, promotional or goodwill.")
    if not 0 < terms.amount <= LARGEST:
        raise CreditProblem("A credit is more than nothing and at most a billion USD.")
    if not 0 <= terms.place <= LOWEST_PRIORITY:
        raise CreditProblem(f"A priority is from 0, used first, to {LOWEST_PRIORITY}.")
    if not 0 < len(key) <= LONGEST_KEY:
        raise CreditProblem(f"A key has from 1 to {LONGEST_KEY} characters.")
    if terms.expires_at is not None and terms.expires_at <= max(terms.starts_at, now):
        raise CreditProblem("A credit ends after it starts, and not in the past.")


def _start(tenant: Tenant, one: CreditGrant, now: datetime) -> None:
    kinds = LedgerAccount.Kind
    amount = int(one.amount)
    source = kinds.PAYMENTS if one.kind == CreditGrant.Kind.PAID else kinds.GOODWILL
    entries = (Entry(source, amount), Entry(kinds.WALLET, -amount))
    movement = Movement(Transfer.Kind.GRANT, one.key, max(one.starts_at, one.created_at), entries, one.memo)
    transfer, _made = ledger.post(tenant=tenant, movement=movement, now=now)
    grants.start(one, transfer)
    ledger.raise_limit(tenant.id, amount)
