"""Questions about a tenant's wallet, for pages and API. Only reads, and only one tenant's rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from billing import balance_alerts, credit_slices, grants
from billing.models import Allowance, BalanceAlert, CreditGrant, LedgerAccount, LedgerEntry, TopUpRule, Transfer, Wallet

USAGE = (Transfer.Kind.USAGE, Transfer.Kind.ADJUSTMENT)


@dataclass(frozen=True, slots=True)
class WalletState:
    """A wallet in picodollars: ``left`` after what was spent, ``held`` of it by running calls.

    ``credit_line`` is 0 for a prepaid tenant; ``uncovered`` is what calls cost beyond the credit there was.
    """

    prepaid: bool
    credit_line: int
    limit: int
    spent: int
    held: int
    uncovered: int
    days_left: int | None
    grants: tuple[CreditGrant, ...]
    coming: tuple[CreditGrant, ...]
    rule: TopUpRule | None
    thresholds: tuple[int, ...]

    @property
    def left(self) -> int:
        """What settled calls have left."""
        return self.limit - self.spent

    @property
    def free(self) -> int:
        """What the next calls may cost."""
        return self.left - self.held


@dataclass(frozen=True, slots=True)
class WalletMovement:
    """One movement: what it adds to the wallet, or takes from it (negative), in picodollars."""

    id: int
    kind: str
    at: datetime
    amount: int
    memo: str


def state(*, tenant_id: int, now: datetime) -> WalletState:
    """Everything a wallet page begins with."""
    wallet = Wallet.objects.filter(tenant_id=tenant_id).first()
    row = Allowance.objects.filter(tenant_id=tenant_id, kind=Allowance.Kind.WALLET).first() or Allowance(limit=0)
    coming = CreditGrant.objects.filter(tenant_id=tenant_id, transfer=None).order_by("starts_at", "id")
    alerts = BalanceAlert.objects.filter(tenant_id=tenant_id).order_by("-threshold")
    return WalletState(
        prepaid=wallet is not None and wallet.mode == Wallet.Mode.PREPAID,
        credit_line=int(wallet.credit_limit) if wallet else 0,
        limit=int(row.limit),
        spent=int(row.spent),
        held=int(row.held),
        uncovered=max(0, credit_slices.overdrawn(tenant_id)),
        days_left=balance_alerts.runway_days(tenant_id=tenant_id, now=now),
        grants=tuple(grants.usable(tenant_id)),
        coming=tuple(coming),
        rule=TopUpRule.objects.filter(tenant_id=tenant_id).first(),
        thresholds=tuple(int(each) for each in alerts.values_list("threshold", flat=True)),
    )


def movements(
    *, tenant_id: int, before: int | None = None, limit: int = 50, usage: bool = True
) -> tuple[list[WalletMovement], int | None]:
    """Movements on a wallet, the latest posted first, and the ``before`` of the next page or None.

    ``usage`` False leaves out what calls cost.
    """
    rows = LedgerEntry.objects.filter(tenant_id=tenant_id, account__kind=LedgerAccount.Kind.WALLET)
    chosen = rows.filter(Q() if usage else ~Q(transfer__kind__in=USAGE))
    if before is not None:
        chosen = chosen.filter(pk__lt=before)
    values = chosen.order_by("-pk").values_list(
        "pk", "transfer__kind", "transfer__effective_at", -F("amount"), "transfer__memo"
    )
    found = [WalletMovement(pk, kind, at, int(amount), memo) for pk, kind, at, amount, memo in values[: limit + 1]]
    following = found[limit - 1].id if len(found) > limit else None
    return found[:limit], following
