"""Invoices with their lines, numbers, and the transfers they cover."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.amounts import picodollars
from billing.models.charges import Charge
from billing.models.ledger import Transfer


class InvoiceSeries(models.Model):
    """The last number given in a series and year: the counter row that makes invoice numbers gapless."""

    series = models.CharField(max_length=10)
    year = models.PositiveSmallIntegerField()
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint("series", "year", name="invoice_series_once"),)

    def __str__(self) -> str:
        return f"{self.series}-{self.year}"


class Invoice(models.Model):
    """What a tenant owes for a period; immutable once finalised. Totals are minor units (cents) of ``currency``.

    A credit note is one, too, of kind ``credit_note``: it ``corrects`` an invoice, and its amounts are positive, as
    printed. ``exact`` is in picodollars; ``rate_numerator / rate_denominator`` units of the currency are one USD, and
    ``usd_total`` is ``total`` in picodollars by that rate, rounded half up.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note"

    class Status(models.TextChoices):
        DRAFT = "draft"
        FINALISED = "finalised"
        PAID = "paid"
        VOID = "void"
        UNCOLLECTIBLE = "uncollectible"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="invoices")
    status = models.CharField(max_length=13, choices=Status, default=Status.DRAFT)
    kind = models.CharField(max_length=11, choices=Kind, default=Kind.INVOICE)
    corrects = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="credit_notes")
    reason = models.CharField(max_length=200, blank=True)  # of a credit note
    number = models.CharField(max_length=40, null=True, blank=True, unique=True)
    period_label = models.CharField(max_length=7)
    period_start_at = models.DateTimeField()
    period_end_at = models.DateTimeField()
    timezone = models.CharField(max_length=64)
    anchor_day = models.PositiveSmallIntegerField(default=1)
    currency = models.CharField(max_length=3)
    rate_numerator = models.BigIntegerField(default=1)
    rate_denominator = models.BigIntegerField(default=1)
    rate_on = models.DateField(null=True, blank=True)
    rate_source = models.CharField(max_length=60, blank=True)
    language = models.CharField(max_length=2, default="en")
    subtotal = models.BigIntegerField(default=0)
    tax = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    exact = picodollars(default=0)
    usd_total = picodollars(default=0)
    due_on = models.DateField(null=True, blank=True)  # the last day to pay, in the tenant's zone
    snapshot = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now)
    finalised_at = models.DateTimeField(null=True, blank=True)
    parked_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                "tenant", "period_start_at", condition=Q(status="draft", kind="invoice"), name="invoice_one_draft"
            ),
            models.CheckConstraint(
                condition=Q(kind="invoice", corrects__isnull=True) | Q(kind="credit_note", corrects__isnull=False),
                name="invoice_corrects",
            ),
            models.CheckConstraint(
                condition=Q(rate_numerator__gt=0, rate_denominator__gt=0), name="invoice_rate_positive"
            ),
            models.CheckConstraint(condition=Q(total=F("subtotal") + F("tax")), name="invoice_total_sums"),
            models.CheckConstraint(
                condition=Q(status="draft", number__isnull=True) | (~Q(status="draft") & Q(number__isnull=False)),
                name="invoice_number_when_finalised",
            ),
        )

    def __str__(self) -> str:
        return self.number or f"draft {self.period_label}"


class InvoiceLine(models.Model):
    """Usage of one model, token class and price version in a period: exact picodollars, rounded once to minor units.

    A charge besides usage has a line of its own with a ``description``; its model and token class are empty, its price
    is 0.
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    position = models.PositiveIntegerField()
    period_label = models.CharField(max_length=7)
    model = models.CharField(max_length=200, blank=True)
    token_class = models.CharField(max_length=20, blank=True)
    price_id = models.BigIntegerField()
    charge = models.ForeignKey(Charge, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    description = models.CharField(max_length=200, blank=True)
    quantity = models.BigIntegerField()
    unit_price = models.BigIntegerField()
    exact = picodollars()
    amount = models.BigIntegerField()
    tax_category = models.CharField(max_length=2, default="O")
    tax_rate = models.PositiveIntegerField(default=0)  # basis points
    corrects = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="credited")

    class Meta:
        constraints = (models.UniqueConstraint("invoice", "position", name="invoice_line_position"),)

    def __str__(self) -> str:
        return self.description or f"{self.model} {self.token_class}"


class InvoicedTransfer(models.Model):
    """Which invoice a usage transfer is on. A transfer is on one invoice at most, so late usage lands on the next.

    A trigger looks once a statement that the transfer is there and of the invoice's tenant.
    """

    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, primary_key=True, db_constraint=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="transfers")
    tenant = models.ForeignKey(
        "portal.Tenant", on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )

    def __str__(self) -> str:
        return f"{self.transfer_id} on {self.invoice_id}"
