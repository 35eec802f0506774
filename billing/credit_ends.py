"""How unused credit leaves a wallet: it expires, or what was paid for is refunded.

What is held for running calls stays, and so does what settled calls will take once they are posted: neither can push
``spent + held`` above the limit. What an expired credit keeps for them expires when they have ended.
"""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile

from django.db import transaction

from billing import credit_slices, credits, grants
from billing.credits import CreditProblem
from billing.ledger import Entry, Movement
from billing.models import Allowance, CreditGrant, CreditUse, LedgerAccount, Transfer
from billing.money import usd
from billing.parties import Tenant

Kind = LedgerAccount.Kind


@transaction.atomic
def expire(*, tenant: Tenant, now: datetime) -> int:
    """Expire what is unused of a tenant's credit whose time is over, into ``breakage``; returns picodollars.

    Call it after posting and consuming. It may run at any time and as often as wanted.
    """
    credit_slices.lock(tenant.id)
    total = 0
    for one in [row for row in grants.usable(tenant.id) if row.expires_at and row.expires_at <= now]:
        amount = _free(one)
        if amount > 0:
            entries = (Entry(Kind.WALLET, amount), Entry(Kind.BREAKAGE, -amount))
            number = CreditUse.objects.filter(grant=one, kind=CreditUse.Kind.EXPIRED).count() + 1
            key = f"expiry:{one.pk}:{number}"
            movement = Movement(Transfer.Kind.EXPIRY, key, now, entries, one.memo)
            credits.end(tenant=tenant, grant=one, amount=amount, movement=movement, now=now)
            total += amount
    return total


@transaction.atomic
def refund(*, tenant: Tenant, grant: CreditGrant, amount: int, key: str, now: datetime) -> Transfer:
    """Take unused paid credit out of the wallet, to be paid back; once per key. Raises CreditProblem.

    It is debited to the wallet and credited to ``payments``; the caller sees to the money and the audit row.
    """
    credit_slices.lock(tenant.id)
    found = Transfer.objects.filter(tenant_id=tenant.id, key=f"refund:{key}").first()
    if found is not None:
        return found
    one = CreditGrant.objects.filter(tenant_id=tenant.id, pk=grant.pk).first()
    if one is None or one.kind != CreditGrant.Kind.PAID or one.transfer_id is None:
        raise CreditProblem("Only credit that was paid for, and is in the wallet, is refunded.")
    if (payment := one.allocations.values_list("payment_id", flat=True).first()) is not None:
        raise CreditProblem(f"This credit came with payment {payment}: refund that payment.")
    free = _free(one)
    if not 0 < amount <= free:
        raise CreditProblem(f"Of this credit {usd(free)} USD can be refunded; the rest is used or held.")
    entries = (Entry(Kind.WALLET, amount), Entry(Kind.PAYMENTS, -amount))
    movement = Movement(Transfer.Kind.REFUND, f"refund:{key}", now, entries, one.memo)
    return credits.end(tenant=tenant, grant=one, amount=amount, movement=movement, now=now)


def refundable(grant: CreditGrant) -> int:
    """Picodollars of a grant that could be refunded now."""
    with transaction.atomic():
        return max(_free(grant), 0) if grant.kind == CreditGrant.Kind.PAID and grant.transfer_id else 0


def _free(grant: CreditGrant) -> int:
    """What of a grant is unused, not held, and not about to be taken by calls that are settled but not posted.

    Locks the wallet's allowance: until the transaction ends, no call can hold or spend what this found free.
    """
    rows = Allowance.objects.select_for_update().filter(tenant_id=grant.tenant_id, kind=Allowance.Kind.WALLET)
    wallet = rows.get()
    room = int(wallet.limit - wallet.spent - wallet.held)
    order = list(grants.usable(grant.tenant_id))
    booked = sum(int(row.unused) for row in order) - credit_slices.overdrawn(grant.tenant_id)
    unposted = max(0, booked - int(wallet.limit - wallet.spent))
    before = sum(int(row.unused) for row in takewhile(lambda row: row.pk != grant.pk, order))
    unused = next((int(row.unused) for row in order if row.pk == grant.pk), 0)
    return min(unused - max(0, unposted - before), room)
