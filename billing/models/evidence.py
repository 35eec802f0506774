"""What the evidence pack of an invoice says: its rows, their sums and its hash."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.timezone import now

from billing.models.amounts import picodollars
from billing.models.invoices import Invoice


class Evidence(models.Model):
    """The seal of an invoice's pack: SHA-256 and size of its CSV, and what its rows sum to.

    ``drawn_from`` names the transfers the pack was drawn from (SHA-256 over their ids): a draft that is built anew from
    others needs a new seal. Unchangeable once the invoice is finalised. Written by billing/evidence.py.
    """

    invoice = models.OneToOneField(Invoice, on_delete=models.CASCADE, primary_key=True, related_name="evidence")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    format = models.PositiveSmallIntegerField(default=1)
    drawn_from = models.CharField(max_length=64)
    rows = models.BigIntegerField()
    exact = picodollars()
    counts = models.JSONField(default=dict)  # by counter of meters.COUNTERS, and rows by record
    sha256 = models.CharField(max_length=64, validators=[RegexValidator(r"[0-9a-f]{64}")])
    size = models.BigIntegerField()  # bytes of the CSV
    made_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"evidence {self.sha256[:12]} of {self.invoice_id}"
