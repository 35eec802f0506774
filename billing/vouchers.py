"""Vouchers: codes that put credit into the wallet of whoever redeems them. The only writer of their tables.

A code has 100 random bits and is shown once; only its digest is kept. Whatever is wrong with a code, a tenant is told
the same, and after some wrong ones nothing at all for a while.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F

from billing import credit_slices, credits
from billing.credits import LARGEST
from billing.grants import LOWEST_PRIORITY, Terms
from billing.models import CreditGrant, Voucher, VoucherGuesses, VoucherRedemption
from billing.parties import Tenant

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Capitals and digits without those that are mistaken for each other: 32, five bits each."""
LENGTH = 20
GROUP = 5
MOST_WRONG = 10
WINDOW = timedelta(hours=1)
MOST_MADE = 1_000


class VoucherProblem(Exception):
    """A voucher that cannot be made, or a code that is not redeemed; in plain words."""


class WrongCode(VoucherProblem):
    """The code gives this tenant nothing, for whichever reason."""

    def __init__(self) -> None:
        super().__init__("This code cannot be redeemed. Check it, or ask whoever gave it to you.")


class TooManyGuesses(VoucherProblem):
    """Wrong codes were tried too often; even a right one waits."""

    def __init__(self) -> None:
        super().__init__("Too many codes were wrong. Try again in an hour.")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a voucher gives, from when until when its code counts, and how long its credit lasts once redeemed."""

    kind: str
    amount: int
    valid_from: datetime
    valid_until: datetime | None = None
    priority: int = 10
    credit_days: int | None = None
    most_redemptions: int = 1
    memo: str = ""


@transaction.atomic
def make(*, offer: Offer, number: int, now: datetime) -> list[tuple[Voucher, str]]:
    """``number`` vouchers of one offer, each with its code, which nobody can read again. Raises VoucherProblem."""
    check(offer=offer, number=number)
    codes = [new_code() for _ in range(number)]
    rows = Voucher.objects.bulk_create(
        Voucher(
            digest=digest_of(code), last_four=code[-4:], kind=offer.kind, amount=offer.amount,
            priority=offer.priority, valid_from=offer.valid_from, valid_until=offer.valid_until,
            credit_days=offer.credit_days, most_redemptions=offer.most_redemptions, memo=offer.memo, created_at=now,
        )
        for code in codes
    )  # fmt: skip
    return list(zip(rows, codes, strict=True))


def redeem(*, tenant: Tenant, code: str, now: datetime) -> CreditGrant:
    """Put a code's credit into a tenant's wallet, once per tenant. Raises WrongCode or TooManyGuesses.

    A wrong code is counted in a transaction of its own: do not call this inside one that the exception rolls back.
    """
    if not _may_guess(tenant.id, now):
        raise TooManyGuesses
    grant = _redeem(tenant, code, now)
    if grant is None:
        _count_wrong(tenant.id, now)
        raise WrongCode
    return grant


def set_active(*, voucher: Voucher, is_active: bool) -> None:
    """Withdraw a code that is not used up, or let it count again; credit that was given stays."""
    Voucher.objects.filter(pk=voucher.pk).update(is_active=is_active)
    voucher.is_active = is_active


def new_code() -> str:
    """Such as ``7KQ2M-XW9RT-4HJ8C-PLV3N``."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(text[place : place + GROUP] for place in range(0, LENGTH, GROUP))


def digest_of(code: str) -> bytes:
    """What is kept of a code, however it is typed: lower case, with spaces or without hyphens."""
    plain = "".join(letter for letter in code.upper() if letter in ALPHABET)
    return hashlib.sha256(b"tollgate voucher:" + plain.encode()).digest()


@transaction.atomic
def _redeem(tenant: Tenant, code: str, now: datetime) -> CreditGrant | None:
    """The grant, or None. The guarded update lets no more redeem than may, the constraint no tenant twice."""
    voucher = Voucher.objects.filter(digest=digest_of(code[:100])).first()
    if voucher is None or not credits.is_prepaid(tenant.id) or not _counts(voucher, now):
        return None
    credit_slices.lock(tenant.id)
    if VoucherRedemption.objects.filter(voucher=voucher, tenant_id=tenant.id).exists():
        return None
    open_ones = Voucher.objects.filter(pk=voucher.pk, is_active=True, redeemed__lt=F("most_redemptions"))
    if not open_ones.update(redeemed=F("redeemed") + 1):
        return None
    ends = None if voucher.credit_days is None else now + timedelta(days=voucher.credit_days)
    terms = Terms(voucher.kind, int(voucher.amount), now, voucher.priority, ends, f"Voucher …{voucher.last_four}")
    grant = credits.grant(tenant=tenant, terms=terms, key=f"voucher:{voucher.pk}", now=now)
    VoucherRedemption.objects.create(voucher=voucher, tenant_id=tenant.id, grant=grant, redeemed_at=now)
    return grant


def _counts(voucher: Voucher, now: datetime) -> bool:
    """Whether a code may be redeemed at a moment."""
    begun, over = voucher.valid_from <= now, voucher.valid_until is not None and voucher.valid_until <= now
    return voucher.is_active and begun and not over


def _may_guess(tenant_id: int, now: datetime) -> bool:
    return not VoucherGuesses.objects.filter(
        tenant_id=tenant_id, since__gt=now - WINDOW, wrong__gte=MOST_WRONG
    ).exists()


def _count_wrong(tenant_id: int, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO billing_voucherguesses AS g (tenant_id, since, wrong) VALUES (%(tenant)s, %(now)s, 1)
            ON CONFLICT (tenant_id) DO UPDATE SET
                wrong = CASE WHEN g.since > %(begin)s THEN g.wrong + 1 ELSE 1 END,
                since = CASE WHEN g.since > %(begin)s THEN g.since ELSE %(now)s END""",
            {"tenant": tenant_id, "now": now, "begin": now - WINDOW},
        )


def check(*, offer: Offer, number: int) -> None:
    """Whether vouchers can be made; VoucherProblem says why not."""
    if not 0 < number <= MOST_MADE:
        raise VoucherProblem(f"Make from 1 to {MOST_MADE} vouchers at once.")
    if offer.kind not in CreditGrant.Kind.values:
        raise VoucherProblem("Credit is paid, promotional or goodwill.")
    if not 0 < offer.amount <= LARGEST:
        raise VoucherProblem("A voucher is worth more than nothing and at most a billion USD.")
    if not 0 <= offer.priority <= LOWEST_PRIORITY:
        raise VoucherProblem(f"A priority is from 0, used first, to {LOWEST_PRIORITY}.")
    if offer.valid_until is not None and offer.valid_until <= offer.valid_from:
        raise VoucherProblem("A code ends after it begins.")
    if offer.credit_days is not None and not 0 < offer.credit_days <= 3_660:
        raise VoucherProblem("Credit lasts from 1 to 3660 days, or without an end.")
    if not 0 < offer.most_redemptions <= 10**6:
        raise VoucherProblem("A code is redeemed from once to a million times.")
