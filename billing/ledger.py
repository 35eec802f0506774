"""The double-entry ledger and wallets: the only writer of transfers and entries outside the bulk posting of usage.

A debit is positive, a credit negative. A prepaid balance is a credit on the tenant's ``wallet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.db.models import F, Sum

from billing import grants
from billing.grants import Terms
from billing.models import Allowance, CreditGrant, LedgerAccount, LedgerEntry, Transfer, Wallet
from billing.parties import Tenant
from billing.periods import FIRST_DAY

Kind = LedgerAccount.Kind
TENANT_KINDS = (Kind.WALLET, Kind.RECEIVABLE, Kind.ACCRUED)
LONGEST_KEY = 200
RESERVED = (
    "usage:", "adjustment:", "charge:", "invoice:", "credit_note:", "grant:", "given:", "expiry:", "refund:",
    "payment:",
)  # fmt: skip
"""How the keys of our own movements begin; no caller's key may stand in their way."""
HOUSE_KINDS = (
    Kind.REVENUE, Kind.ROUNDING, Kind.BREAKAGE, Kind.GOODWILL, Kind.PAYMENTS, Kind.TAX, Kind.EXCHANGE
)  # fmt: skip


class LedgerProblem(Exception):
    """A movement that cannot be: unbalanced, not positive, or another one under the same key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a movement: an account's kind and signed picodollars, or 10⁻¹² of another currency's unit."""

    kind: str
    amount: int
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Movement:
    """What a transfer is: its kind, its key (unique per tenant, for ever), when it counts, and its sides."""

    kind: str
    key: str
    effective_at: datetime
    entries: tuple[Entry, ...]
    memo: str = ""


@transaction.atomic
def open_wallet(*, tenant: Tenant, mode: str, credit_limit: int, now: datetime) -> Wallet:
    """How a tenant pays, with its accounts and its allowance: nothing yet if prepaid, else the credit line."""
    wallet = Wallet.objects.create(tenant_id=tenant.id, mode=mode, credit_limit=credit_limit, created_at=now)
    Allowance.objects.create(
        tenant_id=tenant.id, kind=Allowance.Kind.WALLET, starts_at=FIRST_DAY, ends_at=None, limit=credit_limit
    )
    open_accounts([tenant.id])
    return wallet


@transaction.atomic
def set_credit_limit(*, tenant: Tenant, credit_limit: int, now: datetime) -> Wallet:
    """Change a postpaid tenant's credit line (picodollars); binds the next admission."""
    wallet = Wallet.objects.select_for_update().get(tenant_id=tenant.id)
    if wallet.mode != Wallet.Mode.POSTPAID:
        raise LedgerProblem(f"{tenant.slug} is prepaid and has no credit line; top it up.")
    if credit_limit < 0:
        raise LedgerProblem("A credit limit cannot be negative.")
    change = credit_limit - int(wallet.credit_limit)
    wallet.credit_limit = credit_limit
    wallet.save(update_fields=["credit_limit"])
    raise_limit(tenant.id, change)
    return wallet


@transaction.atomic
def top_up(*, tenant: Tenant, amount: int, key: str, now: datetime, memo: str = "") -> Transfer:
    """Credit a tenant's wallet with what it paid (picodollars), as a paid grant without an end.

    The same key again changes nothing.
    """
    if amount <= 0:
        raise LedgerProblem("A top-up is more than nothing.")
    if not 0 < len(key) <= LONGEST_KEY or key.startswith(RESERVED):
        raise LedgerProblem(f"A key has from 1 to {LONGEST_KEY} characters and does not begin like one of ours.")
    entries = (Entry(Kind.PAYMENTS, amount), Entry(Kind.WALLET, -amount))
    movement = Movement(Transfer.Kind.TOP_UP, key, now, entries, memo)
    transfer, made = post(tenant=tenant, movement=movement, now=now)
    if made:
        terms = Terms(CreditGrant.Kind.PAID, amount, now, memo=memo)
        grants.add(tenant_id=tenant.id, key=key, terms=terms, transfer=transfer, now=now)
        raise_limit(tenant.id, amount)
    return transfer


@transaction.atomic
def post(*, tenant: Tenant, movement: Movement, now: datetime) -> tuple[Transfer, bool]:
    """Write a movement once: the transfer of its key, and whether this call made it.

    Raises LedgerProblem if it does not sum to zero in each currency, or if the key was used for another movement.
    """
    currencies = sorted({entry.currency for entry in movement.entries})
    if any(sum(entry.amount for entry in movement.entries if entry.currency == each) for each in currencies):
        raise LedgerProblem(f"{movement.key} does not sum to zero.")
    transfer, made = Transfer.objects.get_or_create(
        tenant_id=tenant.id,
        key=movement.key,
        defaults={
            "kind": movement.kind,
            "effective_at": movement.effective_at,
            "posted_at": now,
            "memo": movement.memo,
        },
    )
    if not made:
        _must_equal(transfer, movement)
        return transfer, False
    accounts = {each: accounts_of(tenant.id, each) for each in currencies}
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            transfer=transfer, tenant_id=tenant.id, account_id=accounts[entry.currency][entry.kind],
            currency=entry.currency, amount=entry.amount,
        )
        for entry in movement.entries
        if entry.amount
    )  # fmt: skip
    return transfer, True


def balance(*, tenant_id: int, kind: str, currency: str = "USD") -> int:
    """Σ entries of a tenant's account, or of its movements on a house account. Debits are positive."""
    entries = LedgerEntry.objects.filter(tenant_id=tenant_id, account__kind=kind, currency=currency)
    return int(entries.aggregate(total=Sum("amount"))["total"] or 0)


def open_accounts(tenant_ids: Sequence[int], currency: str = "USD") -> None:
    """The accounts of tenants, and the house's, in a currency, where they are missing."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO billing_ledgeraccount (tenant_id, kind, currency)
            SELECT t, k, %s FROM unnest(%s::bigint[]) t, unnest(%s::text[]) k
            UNION ALL SELECT NULL, k, %s FROM unnest(%s::text[]) k
            ON CONFLICT DO NOTHING""",
            [currency, list(tenant_ids), list(TENANT_KINDS), currency, list(HOUSE_KINDS)],
        )


def accounts_of(tenant_id: int, currency: str = "USD") -> dict[str, int]:
    """Account ids by kind: the tenant's three and the house's, in a currency."""
    open_accounts([tenant_id], currency)
    rows = LedgerAccount.objects.filter(tenant_id__isnull=True, currency=currency) | LedgerAccount.objects.filter(
        tenant_id=tenant_id, currency=currency
    )
    return {account.kind: account.pk for account in rows}


def _must_equal(transfer: Transfer, movement: Movement) -> None:
    rows = transfer.entries.values_list("account__kind", "amount", "currency")
    stored = sorted((kind, int(amount), currency) for kind, amount, currency in rows)
    wanted = sorted((str(entry.kind), entry.amount, entry.currency) for entry in movement.entries if entry.amount)
    if transfer.kind != movement.kind or stored != wanted:
        raise LedgerProblem(f"The key {movement.key!r} was used for another movement.")


def raise_limit(tenant_id: int, amount: int) -> None:
    """Move the limit of the wallet's allowance; last in its transaction, since calls wait for this row."""
    if amount:
        Allowance.objects.filter(tenant_id=tenant_id, kind=Allowance.Kind.WALLET).update(limit=F("limit") + amount)
