"""Checks of the books as they were made: run, recorded and kept."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.db.models import JSONField, Value
from django.db.models.expressions import CombinedExpression, F

from billing import books
from billing.models import BooksCheck

KEPT = timedelta(days=400)
MOST_DIFFERENCES = 500
"""How many differences a check keeps; all are counted."""


def ask(*, now: datetime, tenant_id: int | None = None) -> BooksCheck:
    """A check that is to be run by a worker, seen as waiting until then."""
    return BooksCheck.objects.create(tenant_id=tenant_id, started_at=now, progress="waiting")


def run(*, now: datetime, tenant_id: int | None = None, asked: BooksCheck | None = None) -> books.Report:
    """Check the books and record what was seen: sums, differences, duration. Run it as the operator."""
    check = asked or ask(now=now, tenant_id=tenant_id)
    began = time.monotonic()

    def tell(done: str) -> None:
        BooksCheck.objects.filter(pk=check.pk).update(progress=done[:100])

    report = books.check(tenant_id=check.tenant_id, tell=tell)
    took = timedelta(seconds=time.monotonic() - began)
    found = report.as_json()
    found["differences"] = found["differences"][:MOST_DIFFERENCES]
    BooksCheck.objects.filter(pk=check.pk).update(
        finished_at=max(now, check.started_at) + took, duration_ms=took // timedelta(milliseconds=1),
        differences=len(report.differences), found=found, progress="",
    )  # fmt: skip
    _tidy(check, now)
    return report


def latest() -> BooksCheck | None:
    """The last finished check of everyone's books."""
    return BooksCheck.objects.filter(tenant=None, finished_at__isnull=False).order_by("-id").first()


def running(*, now: datetime) -> BooksCheck | None:
    """A check that waits or runs; one that says nothing for an hour was lost."""
    recent = BooksCheck.objects.filter(finished_at__isnull=True, started_at__gt=now - timedelta(hours=1))
    return recent.order_by("-id").first()


def _tidy(check: BooksCheck, now: datetime) -> None:
    """Sums of every tenant are kept for the last check alone; what differed and the counts are kept for KEPT."""
    earlier = BooksCheck.objects.filter(pk__lt=check.pk)
    earlier.filter(started_at__lt=now - KEPT).delete()
    if check.tenant_id is None:
        without = CombinedExpression(F("found"), "-", Value("sums"), output_field=JSONField())
        earlier.filter(tenant=None, found__has_key="sums").update(found=without)
