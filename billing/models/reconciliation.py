"""The history of checks of the books, and what providers say was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.timezone import now

from billing.models.amounts import picodollars


class BooksCheck(models.Model):
    """One check of the books: of whom, when, how long it took, and everything it saw. Written by billing/books_history.

    ``found`` is ``books.Report.as_json()``; of more differences than fit, the first ones. While ``finished_at`` is null
    the check is running, or was lost.
    """

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(default=now)
    finished_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(default=0)
    differences = models.PositiveIntegerField(default=0)
    found = models.JSONField(default=dict)
    progress = models.CharField(max_length=100, blank=True)

    class Meta:
        indexes = (models.Index(models.F("started_at").desc(), name="books_checks"),)

    if TYPE_CHECKING:
        id: int
        tenant_id: int | None

    def __str__(self) -> str:
        return f"check of {self.started_at:%Y-%m-%d %H:%M}"


class ProviderReport(models.Model):
    """A file in which a provider says what it counted or charged. The same file is one report for ever.

    Written by billing/reconciliation/reports.py.
    """

    class Kind(models.TextChoices):
        OPENAI_USAGE = "openai_usage", "OpenAI usage"
        OPENAI_COSTS = "openai_costs", "OpenAI costs"
        ANTHROPIC_USAGE = "anthropic_usage", "Anthropic usage"
        ANTHROPIC_COSTS = "anthropic_costs", "Anthropic costs"

    upstream = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    file_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    first_day = models.DateField()
    last_day = models.DateField()
    tolerance = models.PositiveIntegerField(default=0)  # basis points of what the provider says
    imported_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (models.UniqueConstraint("upstream", "sha256", name="provider_report_once"),)

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.upstream}, {self.first_day} to {self.last_day}"


class ProviderReportRow(models.Model):
    """What a provider counted on one UTC day for one model; null is what the file does not say.

    ``input`` excludes what was read from or written to a cache; ``output`` includes reasoning, which reports do not
    tell apart. ``cost`` is in picodollars.
    """

    report = models.ForeignKey(ProviderReport, on_delete=models.CASCADE, related_name="rows")
    day = models.DateField()
    model = models.CharField(max_length=200)
    requests = models.BigIntegerField(null=True, blank=True)
    input = models.BigIntegerField(null=True, blank=True)
    cache_read = models.BigIntegerField(null=True, blank=True)
    cache_write = models.BigIntegerField(null=True, blank=True)
    output = models.BigIntegerField(null=True, blank=True)
    cost = picodollars(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint("report", "day", "model", name="provider_report_row_once"),)

    def __str__(self) -> str:
        return f"{self.day} {self.model}"
