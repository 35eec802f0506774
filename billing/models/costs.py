"""What upstreams charge us: unit costs with dates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.meters import TOKEN_CLASSES


class CostPrice(models.Model):
    """What an upstream charges for one of its models during ``[effective_from, effective_to)``.

    Units are those of Price: token classes are picodollars per token, surcharges picodollars each; every class has its
    number, given or taken from its parent when it is written. Ranges of one model never overlap. A row is never changed
    but for closing an open ``effective_to``. Written by billing/costs.py.
    """

    class Source(models.TextChoices):
        OPERATOR = "operator"
        IMPORT = "import"

    upstream = models.CharField(max_length=100)
    upstream_model = models.CharField(max_length=200)
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
    per_web_search = models.BigIntegerField(default=0)
    per_image = models.BigIntegerField(default=0)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.OPERATOR)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
                name="cost_range_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(
                    **{f"{name}__gte": 0 for name in (*TOKEN_CLASSES, "per_request", "per_web_search", "per_image")}
                ),
                name="cost_not_negative",
            ),
        )
        indexes = (
            models.Index("upstream", "upstream_model", F("effective_from").desc(), name="cost_by_upstream_model"),
        )

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.upstream} {self.upstream_model} from {self.effective_from:%Y-%m-%d %H:%M}"
