"""What a tenant's contract says per month: tiers, free allowances and a minimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.amounts import picodollars


class Terms(models.Model):
    """A tenant's contract during ``[effective_from, effective_to)``, on quarter hours; no two of a tenant overlap.

    ``minimum`` and ``free_amount`` are picodollars a month. Never changed once a month under it is closed, except for
    an end. Written by billing/terms.py.
    """

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    effective_from = models.DateTimeField()
    effective_to = models.DateTimeField(null=True, blank=True)
    minimum = picodollars(default=0)
    free_amount = picodollars(default=0)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        verbose_name = "contract terms"
        verbose_name_plural = "contract terms"
        constraints = (
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
                name="terms_range_not_empty",
            ),
            models.CheckConstraint(condition=Q(minimum__gte=0, free_amount__gte=0), name="terms_not_negative"),
        )
        indexes = (models.Index("tenant", F("effective_from").desc(), name="terms_latest"),)

    if TYPE_CHECKING:
        id: int
        tenant_id: int

    def __str__(self) -> str:
        return f"terms from {self.effective_from:%Y-%m-%d}"


class TierRule(models.Model):
    """Tiers by what a month's usage comes to, over models a pattern matches, in one token class or (blank) all.

    ``thresholds`` begin with 0: tokens, or picodollars at list price. ``prices`` are those of the tiers that begin
    there: picodollars per token, or basis points off the list price where thresholds are money.
    """

    class Mode(models.TextChoices):
        GRADUATED = "graduated"
        VOLUME = "volume"

    class Unit(models.TextChoices):
        TOKENS = "tokens"
        USD = "usd", "USD"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    terms = models.ForeignKey(Terms, on_delete=models.CASCADE, related_name="tiers")
    position = models.PositiveSmallIntegerField()
    pattern = models.CharField(max_length=200, default="*")
    token_class = models.CharField(max_length=20, blank=True)
    mode = models.CharField(max_length=9, choices=Mode)
    unit = models.CharField(max_length=6, choices=Unit, default=Unit.TOKENS)
    thresholds = ArrayField(picodollars())
    prices = ArrayField(models.BigIntegerField())

    class Meta:
        constraints = (
            models.UniqueConstraint("terms", "position", name="tier_rule_position"),
            models.CheckConstraint(
                condition=Q(thresholds__len__gt=0) & Q(prices__len=F("thresholds__len")), name="tier_rule_prices"
            ),
        )

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.mode} tiers of {self.pattern}"


class FreeTokens(models.Model):
    """Tokens a month that cost nothing, of the models a pattern matches, in one token class or (blank) all."""

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    terms = models.ForeignKey(Terms, on_delete=models.CASCADE, related_name="free_tokens")
    position = models.PositiveSmallIntegerField()
    pattern = models.CharField(max_length=200, default="*")
    token_class = models.CharField(max_length=20, blank=True)
    tokens = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "free tokens"
        constraints = (
            models.UniqueConstraint("terms", "position", name="free_tokens_position"),
            models.CheckConstraint(condition=Q(tokens__gt=0), name="free_tokens_positive"),
        )

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.tokens:,} free tokens of {self.pattern}"
