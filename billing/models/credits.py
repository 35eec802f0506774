"""What a tenant's wallet is filled with, what used it up, and what tells or fills it when it runs low."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.amounts import picodollars
from billing.models.ledger import Transfer


class CreditGrant(models.Model):
    """An amount in a tenant's wallet with a place in the order of use and, maybe, an end.

    ``unused`` is the amount less the grant's CreditUse rows. ``transfer`` is null until ``starts_at``: only then is it
    in the wallet. The key is the transfer's. Written by billing/grants.py; of a row only the last two ever change.
    """

    class Kind(models.TextChoices):
        PAID = "paid"
        PROMOTIONAL = "promotional"
        GOODWILL = "goodwill"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=11, choices=Kind)
    amount = picodollars()
    unused = picodollars()
    priority = models.PositiveSmallIntegerField()
    starts_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    key = models.CharField(max_length=200)
    memo = models.CharField(max_length=200, blank=True)
    transfer = models.OneToOneField(
        Transfer, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_grant"
    )
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "key", name="credit_grant_key_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_grant_positive"),
            models.CheckConstraint(condition=Q(unused__gte=0, unused__lte=F("amount")), name="credit_grant_unused"),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("starts_at")), name="credit_grant_lasts"
            ),
        )
        indexes = (
            models.Index("tenant", condition=Q(unused__gt=0), name="credit_grant_unused_by_tenant"),
            models.Index("expires_at", condition=Q(unused__gt=0), name="credit_grant_by_expiry"),
        )

    if TYPE_CHECKING:
        id: int
        tenant_id: int
        transfer_id: int | None

    def __str__(self) -> str:
        return f"{self.kind} credit {self.pk}"


class CreditUse(models.Model):
    """A slice of a grant that a transfer took (positive) or gave back (negative, of the slice it ``reverses``).

    Written by billing/credits.py; never changed.
    """

    class Kind(models.TextChoices):
        CONSUMED = "consumed"
        EXPIRED = "expired"
        REFUNDED = "refunded"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="uses")
    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="credit_uses")
    kind = models.CharField(max_length=8, choices=Kind)
    amount = picodollars()
    reverses = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversed_by")
    at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(amount__gt=0, reverses__isnull=True) | Q(amount__lt=0, reverses__isnull=False),
                name="credit_use_sign",
            ),
        )
        indexes = (models.Index("tenant", F("id").desc(), name="credit_use_latest"),)

    if TYPE_CHECKING:
        id: int
        grant_id: int
        transfer_id: int

    def __str__(self) -> str:
        return f"{self.amount} {self.kind} of credit {self.grant_id}"


class CreditDue(models.Model):
    """A movement on a wallet whose slices are not written yet, or not wholly: what is still to be taken (positive).

    A trigger of the ledger's entries makes the row in the transaction of the movement, whoever posts it, so none can
    be missed; billing/credits.py lowers and deletes it. What stays is what the wallet is overdrawn by.
    """

    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, primary_key=True, related_name="+")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    amount = picodollars()

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(amount=0), name="credit_due_not_zero"),)

    if TYPE_CHECKING:
        transfer_id: int
        tenant_id: int

    def __str__(self) -> str:
        return f"{self.amount} due of transfer {self.transfer_id}"


class Voucher(models.Model):
    """A code that gives whoever redeems it a credit. Only its digest is kept. Written by billing/vouchers.py.

    A code of one redemption is spent by it; ``redeemed`` never passes ``most_redemptions``, whoever races.
    """

    digest = models.BinaryField(max_length=32, unique=True)
    last_four = models.CharField(max_length=4)
    kind = models.CharField(max_length=11, choices=CreditGrant.Kind)
    amount = picodollars()
    priority = models.PositiveSmallIntegerField()
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True, blank=True)
    credit_days = models.PositiveSmallIntegerField(null=True, blank=True)
    most_redemptions = models.PositiveIntegerField(default=1)
    redeemed = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    memo = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(amount__gt=0), name="voucher_positive"),
            models.CheckConstraint(condition=Q(redeemed__lte=F("most_redemptions")), name="voucher_not_overused"),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")), name="voucher_lasts"
            ),
            models.CheckConstraint(
                condition=Q(credit_days__isnull=True) | Q(credit_days__gt=0), name="voucher_credit_lasts"
            ),
        )

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"voucher …{self.last_four}"


class VoucherRedemption(models.Model):
    """One tenant's redemption of one voucher, and the credit it got: once, by constraint."""

    voucher = models.ForeignKey(Voucher, on_delete=models.PROTECT, related_name="redemptions")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    grant = models.OneToOneField(CreditGrant, on_delete=models.PROTECT, related_name="redemption")
    redeemed_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (models.UniqueConstraint("voucher", "tenant", name="voucher_once_per_tenant"),)

    def __str__(self) -> str:
        return f"{self.voucher} by tenant {self.tenant_id}"


class VoucherGuesses(models.Model):
    """How many wrong codes a tenant tried since a moment."""

    tenant = models.OneToOneField("portal.Tenant", on_delete=models.PROTECT, primary_key=True, related_name="+")
    since = models.DateTimeField()
    wrong = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.wrong} wrong codes of tenant {self.tenant_id}"


class TopUpRule(models.Model):
    """When and by how much a tenant's wallet fills itself. Written by billing/top_ups.py.

    ``armed`` fires when what is left falls below the threshold, and is ``fired`` until it is above again. ``stopped``
    has a reason, and is armed by the tenant.
    """

    class State(models.TextChoices):
        ARMED = "armed"
        FIRED = "fired"
        STOPPED = "stopped"

    tenant = models.OneToOneField("portal.Tenant", on_delete=models.PROTECT, primary_key=True, related_name="+")
    threshold = picodollars()
    amount = picodollars()
    most_per_month = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=7, choices=State, default=State.ARMED)
    reason = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(threshold__gte=0, amount__gt=0), name="top_up_rule_amounts"),
            models.CheckConstraint(condition=Q(most_per_month__gt=0), name="top_up_rule_may_fire"),
        )

    if TYPE_CHECKING:
        tenant_id: int

    def __str__(self) -> str:
        return f"top-up rule of tenant {self.tenant_id}"


class TopUpAttempt(models.Model):
    """One firing of a rule: the n-th of a month, and what came of it."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        FAILED = "failed"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    period_label = models.CharField(max_length=7)
    number = models.PositiveSmallIntegerField()
    amount = picodollars()
    state = models.CharField(max_length=9, choices=State, default=State.REQUESTED)
    reason = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (models.UniqueConstraint("tenant", "period_label", "number", name="top_up_attempt_once"),)

    if TYPE_CHECKING:
        id: int
        tenant_id: int

    def __str__(self) -> str:
        return f"top-up {self.number} of {self.period_label}"


class BalanceAlert(models.Model):
    """What may be left in a tenant's wallet before its people are told, once per crossing.

    Written by billing/balance_alerts.py. ``is_armed`` until it is sent; armed again once more than that is left.
    """

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    threshold = picodollars()
    is_armed = models.BooleanField(default=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "threshold", name="balance_alert_once"),
            models.CheckConstraint(condition=Q(threshold__gte=0), name="balance_alert_not_negative"),
        )

    if TYPE_CHECKING:
        id: int
        tenant_id: int

    def __str__(self) -> str:
        return f"alert at {self.threshold} of tenant {self.tenant_id}"
