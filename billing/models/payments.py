"""What tenants paid: payments, what each pays for, what was given back, what the card provider said, bank lines."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.amounts import picodollars
from billing.models.credits import CreditGrant
from billing.models.invoices import Invoice
from billing.models.ledger import Transfer


class Payment(models.Model):
    """Money from a tenant: asked for, on its way, received or not. Amounts are minor units of ``currency``.

    ``invoice`` is what it was asked for, null for a top-up; what it pays is in its allocations. ``reference`` is the
    idempotency key towards the provider. ``rate_numerator / rate_denominator`` units of the currency are one USD for
    what of it becomes credit; null until needed. Written by billing/payments.py; the amount never changes.
    """

    class Method(models.TextChoices):
        CARD = "card"
        BANK = "bank", "Bank transfer"
        MANUAL = "manual", "Recorded by hand"

    class Status(models.TextChoices):
        REQUESTED = "requested"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    reference = models.UUIDField(default=uuid.uuid4, unique=True)
    method = models.CharField(max_length=6, choices=Method)
    status = models.CharField(max_length=9, choices=Status, default=Status.REQUESTED)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="payments")
    rate_numerator = models.BigIntegerField(null=True, blank=True)
    rate_denominator = models.BigIntegerField(null=True, blank=True)
    rate_on = models.DateField(null=True, blank=True)
    rate_source = models.CharField(max_length=60, blank=True)
    is_automatic = models.BooleanField(default=False)
    saves_card = models.BooleanField(default=False)
    session_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    intent_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    memo = models.CharField(max_length=200, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=200, blank=True)
    received_on = models.DateField(null=True, blank=True)  # the bank's day
    created_at = models.DateTimeField(default=now)
    asked_at = models.DateTimeField(null=True, blank=True)  # when the provider was last asked
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_positive"),
            models.CheckConstraint(
                condition=Q(rate_numerator__isnull=True, rate_denominator__isnull=True)
                | Q(rate_numerator__gt=0, rate_denominator__gt=0),
                name="payment_rate_positive",
            ),
        )
        indexes = (
            models.Index(F("tenant"), F("id").desc(), name="payment_latest"),
            models.Index("asked_at", condition=Q(status__in=("requested", "pending")), name="payment_under_way"),
        )

    if TYPE_CHECKING:
        id: int
        tenant_id: int
        invoice_id: int | None

    def __str__(self) -> str:
        return f"payment {self.pk}"


class Refund(models.Model):
    """Money of a payment that went back: a refund, or what a bank took back in a dispute. Minor units of the payment's.

    ``failed`` took nothing: a refund that was not made, a dispute that was won. Written by billing/refunds.py.
    """

    class Kind(models.TextChoices):
        REFUND = "refund"
        DISPUTE = "dispute"

    class Status(models.TextChoices):
        REQUESTED = "requested"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    reference = models.UUIDField(default=uuid.uuid4, unique=True)
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.REFUND)
    status = models.CharField(max_length=9, choices=Status, default=Status.REQUESTED)
    amount = models.BigIntegerField()
    provider_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    reason = models.CharField(max_length=200, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now)
    asked_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(amount__gt=0), name="refund_positive"),)

    if TYPE_CHECKING:
        id: int
        payment_id: int
        tenant_id: int

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} of payment {self.payment_id}"


class Allocation(models.Model):
    """A part of a payment and what it pays: an invoice, credit in a prepaid wallet, or an advance on coming invoices.

    ``amount`` is minor units of the payment's currency, ``usd`` the picodollars by which it moves the limit of the
    wallet; both are negative where a part is taken back. Σ per payment is from 0 to its amount, by a trigger. Each has
    its transfer. Written by billing/allocations.py; never changed.
    """

    class Target(models.TextChoices):
        INVOICE = "invoice"
        WALLET = "wallet", "Prepaid credit"
        ADVANCE = "advance", "Credit for coming invoices"

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="allocations")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    target = models.CharField(max_length=7, choices=Target)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="allocations")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, null=True, blank=True, related_name="allocations")
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, blank=True, related_name="allocations")
    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, related_name="allocation")
    amount = models.BigIntegerField()
    usd = picodollars()
    made_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(amount=0), name="allocation_not_zero"),
            models.CheckConstraint(
                condition=Q(target="invoice", invoice__isnull=False, grant__isnull=True)
                | Q(target="wallet", invoice__isnull=True, grant__isnull=False)
                | Q(target="advance", invoice__isnull=True, grant__isnull=True),
                name="allocation_target",
            ),
        )

    if TYPE_CHECKING:
        id: int
        payment_id: int
        tenant_id: int
        invoice_id: int | None
        grant_id: int | None
        refund_id: int | None

    def __str__(self) -> str:
        return f"{self.amount} of payment {self.payment_id}"


class PayingCustomer(models.Model):
    """A tenant at the card provider, and the card it saved for automatic top-ups, if it did."""

    tenant = models.OneToOneField("portal.Tenant", on_delete=models.PROTECT, primary_key=True, related_name="+")
    customer_id = models.CharField(max_length=255, unique=True)
    method_id = models.CharField(max_length=255, blank=True)
    card = models.CharField(max_length=60, blank=True)  # such as "Visa ending in 4242, valid until 12/2030"
    changed_at = models.DateTimeField(default=now)

    if TYPE_CHECKING:
        tenant_id: int

    def __str__(self) -> str:
        return self.card or self.customer_id


class ProviderEvent(models.Model):
    """A message of the card provider, stored once by its id as it came; processed by a job, kept for ever."""

    id = models.CharField(max_length=255, primary_key=True)
    kind = models.CharField(max_length=100)
    raw = models.TextField()
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="events")
    problem = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(default=now)
    tried_at = models.DateTimeField(null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index("received_at", condition=Q(processed_at__isnull=True), name="provider_event_waiting"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class BankLine(models.Model):
    """A line of a bank statement that was imported, once: ``digest`` is of what it says and its place among equals.

    ``payment`` is null while nobody has said whose money it is. Written by billing/bank_lines.py.
    """

    digest = models.CharField(max_length=64, primary_key=True)
    booked_on = models.DateField()
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    payer = models.CharField(max_length=200, blank=True)
    purpose = models.CharField(max_length=500, blank=True)
    payment = models.OneToOneField(Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="bank_line")
    imported_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(amount__gt=0), name="bank_line_positive"),)

    def __str__(self) -> str:
        return f"{self.booked_on} {self.payer}"
