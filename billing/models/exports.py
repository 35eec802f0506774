"""Exports made in the background, and the parts of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now


class ExportJob(models.Model):
    """One file that was asked for: months in the tenant's zone, as CSV or Parquet, and how far it is.

    A worker holds it until ``leased_until_at`` and renews that; ``attempt`` counts who had it. Written by
    billing/exports/jobs.py.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class File(models.TextChoices):
        CSV = "csv", "CSV"
        PARQUET = "parquet", "Parquet"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=20)
    file = models.CharField(max_length=7, choices=File)
    first = models.CharField(max_length=7)
    last = models.CharField(max_length=7)
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    attempt = models.PositiveSmallIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    rows_done = models.BigIntegerField(default=0)
    size = models.BigIntegerField(default=0)  # bytes
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now)
    leased_until_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=~Q(state="running") | Q(leased_until_at__isnull=False), name="export_running_has_lease"
            ),
            models.CheckConstraint(
                condition=~Q(state="done") | (Q(expires_at__isnull=False) & ~Q(sha256="")), name="export_done_is_whole"
            ),
        )
        indexes = (
            models.Index(F("tenant"), F("id").desc(), name="export_latest"),
            models.Index(F("id"), condition=Q(state__in=("waiting", "running")), name="export_unfinished"),
        )

    if TYPE_CHECKING:
        id: int
        tenant_id: int

    def __str__(self) -> str:
        return f"{self.kind} {self.first} to {self.last} as {self.file}"


class ExportPart(models.Model):
    """A piece of a file, in order; those of a job make the file. Written by billing/exports/jobs.py."""

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    job = models.ForeignKey(ExportJob, on_delete=models.CASCADE, related_name="parts")
    position = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint("job", "position", name="export_part_once"),)

    def __str__(self) -> str:
        return f"part {self.position} of {self.job_id}"
