"""Accounts, transfers and entries: append-only and double."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.amounts import picodollars


class LedgerAccount(models.Model):
    """A place money is in: three per tenant, and the house's own."""

    class Kind(models.TextChoices):
        WALLET = "wallet"
        RECEIVABLE = "receivable"
        ACCRUED = "accrued"
        REVENUE = "revenue"
        ROUNDING = "rounding"
        BREAKAGE = "breakage"
        GOODWILL = "goodwill"
        PAYMENTS = "payments"
        TAX = "tax"
        EXCHANGE = "exchange"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    currency = models.CharField(max_length=3, default="USD")

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "kind", "currency", name="ledger_account_once", nulls_distinct=False),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.tenant_id or 'the house'}"


class Transfer(models.Model):
    """One movement of money: its entries sum to zero per currency, and neither is ever changed.

    Found by tenant through its key, which is unique there.
    """

    class Kind(models.TextChoices):
        USAGE = "usage"
        ADJUSTMENT = "adjustment"
        CHARGE = "charge"
        TOP_UP = "top_up"
        PAYMENT = "payment"
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note"
        REVERSAL = "reversal"
        GRANT = "grant"
        EXPIRY = "expiry"
        REFUND = "refund"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=11, choices=Kind)
    key = models.CharField(max_length=200)
    effective_at = models.DateTimeField()
    posted_at = models.DateTimeField(default=now)
    memo = models.CharField(max_length=200, blank=True)
    reverses = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversals", db_index=False
    )

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "key", name="transfer_key_once"),
            models.UniqueConstraint(
                fields=("reverses",), condition=Q(reverses__isnull=False), name="transfer_reversed_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class LedgerEntry(models.Model):
    """One side of a transfer: a debit is positive, a credit negative.

    A trigger looks once a statement that transfer and account are there, and of the same tenant or the house; neither
    is ever deleted. Foreign keys would look three times an entry.
    """

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="entries", db_constraint=False)
    tenant = models.ForeignKey(
        "portal.Tenant", on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    account = models.ForeignKey(
        LedgerAccount, on_delete=models.PROTECT, related_name="entries", db_constraint=False, db_index=False
    )
    currency = models.CharField(max_length=3, default="USD")
    amount = picodollars()

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(amount=0), name="ledger_entry_not_zero"),)
        indexes = (models.Index("tenant", "account", name="entries_by_account"),)

    def __str__(self) -> str:
        return f"{self.amount} on {self.account_id}"
