"""What invoices are made with: tax rates, exchange rates, tax groups, what happened to an invoice, checked VAT ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.invoices import Invoice

COUNTRY = RegexValidator(r"^[A-Z]{2}\Z", "Two capital letters of ISO 3166, such as DE.")
CURRENCY = RegexValidator(r"^[A-Z]{3}\Z", "Three capital letters of ISO 4217, such as EUR.")


class TaxRate(models.Model):
    """A country's rate of VAT in a category from a day on, until the next row of the two. Rates are basis points."""

    class Category(models.TextChoices):
        STANDARD = "S", "S: standard"
        ZERO = "Z", "Z: zero-rated"
        EXEMPT = "E", "E: exempt"

    country = models.CharField(max_length=2, validators=[COUNTRY])
    category = models.CharField(max_length=2, choices=Category, default=Category.STANDARD)
    rate = models.PositiveIntegerField(help_text="Basis points: 1900 is 19 %.")
    effective_from = models.DateField()
    source = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint("country", "category", "effective_from", name="tax_rate_once"),
            models.CheckConstraint(condition=Q(rate__lte=10_000), name="tax_rate_at_most_all"),
        )

    def __str__(self) -> str:
        return f"{self.country} {self.category} {self.rate // 100}.{self.rate % 100:02d} %"


class ExchangeRate(models.Model):
    """``numerator / denominator`` units of a currency for one USD, from a day on. Exact; never changed."""

    currency = models.CharField(max_length=3, validators=[CURRENCY])
    day = models.DateField()
    numerator = models.BigIntegerField()
    denominator = models.BigIntegerField(default=1)
    source = models.CharField(max_length=60)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint("currency", "day", name="exchange_rate_once"),
            models.CheckConstraint(condition=Q(numerator__gt=0, denominator__gt=0), name="exchange_rate_positive"),
        )

    def __str__(self) -> str:
        return f"USD/{self.currency} of {self.day}"


class InvoiceTax(models.Model):
    """The tax of one category and rate on an invoice (EN 16931 BG-23): minor units, rounded once for the group."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="taxes")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    category = models.CharField(max_length=2)
    rate = models.PositiveIntegerField()  # basis points
    base = models.BigIntegerField()
    amount = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint("invoice", "category", "rate", name="invoice_tax_once"),)

    def __str__(self) -> str:
        return f"{self.category} {self.rate} of {self.invoice_id}"


class InvoiceEvent(models.Model):
    """What happened to an invoice besides its making: who, why, and for a reminder which step. Never changed."""

    class Kind(models.TextChoices):
        RELEASED = "released"
        PAID = "paid"
        VOID = "void"
        UNCOLLECTIBLE = "uncollectible"
        DISPUTED = "disputed"
        SETTLED = "settled", "Dispute settled"
        REMINDED = "reminded"
        REOPENED = "reopened"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="events")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=13, choices=Kind)
    step = models.PositiveSmallIntegerField(default=0)  # of a reminder: days after the due date
    actor = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint("invoice", "step", condition=Q(kind="reminded"), name="invoice_reminded_once"),
        )
        indexes = (models.Index(F("invoice"), F("id"), name="invoice_events"),)

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.kind} {self.invoice_id}"


class VatCheck(models.Model):
    """What the VIES service of the EU said about a tenant's VAT id, and when. Never changed."""

    class Outcome(models.TextChoices):
        VALID = "valid"
        INVALID = "invalid"
        UNKNOWN = "unknown", "No answer"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    vat_id = models.CharField(max_length=20)
    outcome = models.CharField(max_length=7, choices=Outcome)
    said = models.CharField(max_length=200, blank=True)
    checked_at = models.DateTimeField(default=now)

    class Meta:
        indexes = (models.Index(F("tenant"), F("id"), name="vat_checks"),)

    def __str__(self) -> str:
        return f"{self.vat_id} {self.outcome}"
