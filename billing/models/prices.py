"""Unit prices with dates, in versioned books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.meters import TOKEN_CLASSES


class PriceBook(models.Model):
    """A versioned set of prices: the default one, or one tenant's own."""

    tenant = models.OneToOneField("portal.Tenant", on_delete=models.PROTECT, null=True, blank=True)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                F("tenant"), condition=Q(tenant__isnull=True), nulls_distinct=False, name="price_book_one_default"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Price(models.Model):
    """Unit prices of one public model in one book during ``[effective_from, effective_to)``.

    Token classes are micro-USD per 1M tokens, which is the same number as picodollars per token; surcharges are
    picodollars each. A class without a price of its own holds its parent's number and is named in ``inherited``.
    A row with a ``variant`` is another price of the same model and time, for requests its conditions hold for.
    """

    class Source(models.TextChoices):
        OPERATOR = "operator"
        IMPORT = "import"

    book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, related_name="prices")
    model = models.CharField(max_length=200)
    effective_from = models.DateTimeField()
    effective_to = models.DateTimeField(null=True, blank=True)
    input = models.BigIntegerField()
    cache_read = models.BigIntegerField()
    cache_write_5m = models.BigIntegerField()
    cache_write_1h = models.BigIntegerField()
    input_audio = models.BigIntegerField()
    input_image = models.BigIntegerField()
    output = models.BigIntegerField()
    reasoning = models.BigIntegerField()
    output_audio = models.BigIntegerField()
    output_image = models.BigIntegerField()
    per_request = models.BigIntegerField(default=0)
    per_web_search = models.BigIntegerField(null=True, blank=True)
    per_image = models.BigIntegerField(null=True, blank=True)
    inherited = ArrayField(models.CharField(max_length=20), default=list)
    variant = models.CharField(max_length=64, blank=True, default="")
    above_tokens = models.PositiveIntegerField(default=0)
    service_tier = models.CharField(max_length=32, blank=True, default="")
    hours = ArrayField(ArrayField(models.PositiveSmallIntegerField(), size=2), default=list, blank=True)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.OPERATOR)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(variant="", above_tokens=0, service_tier="", hours=[])
                | (~Q(variant="") & ~Q(above_tokens=0, service_tier="", hours=[])),
                name="price_variant_has_conditions",
            ),
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
                name="price_range_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(**{f"{name}__gte": 0 for name in (*TOKEN_CLASSES, "per_request")})
                & (Q(per_web_search__isnull=True) | Q(per_web_search__gte=0))
                & (Q(per_image__isnull=True) | Q(per_image__gte=0)),
                name="price_not_negative",
            ),
        )
        indexes = (models.Index("book", "model", F("effective_from").desc(), name="price_by_model"),)

    if TYPE_CHECKING:
        id: int
        book_id: int

    def __str__(self) -> str:
        variant = f" ({self.variant})" if self.variant else ""
        return f"{self.model}{variant} from {self.effective_from:%Y-%m-%d %H:%M}"
