"""What a tenant owes, or is given back, besides the price of single calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.amounts import picodollars
from billing.models.ledger import Transfer


class Charge(models.Model):
    """One signed amount of a month: posted to the ledger when it is made, and on one invoice as a line of its own.

    What a month's terms amount to may grow with late usage: then there are several of one ``subject``, each the
    difference to those before. Written by billing/charges.py; never changed.
    """

    class Kind(models.TextChoices):
        TIER = "tier"
        FREE = "free"
        MINIMUM = "minimum"
        RERATED = "rerated"
        CREDIT = "credit"
        OTHER = "other"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=7, choices=Kind)
    subject = models.CharField(max_length=120, blank=True)
    period_label = models.CharField(max_length=7)
    effective_at = models.DateTimeField()
    description = models.CharField(max_length=200)
    exact = picodollars()
    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, related_name="charge")
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(exact=0), name="charge_not_zero"),)
        indexes = (models.Index("tenant", "period_label", "kind", "subject", name="charge_by_subject"),)

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.kind} charge of {self.period_label}"
