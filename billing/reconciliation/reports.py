"""Reports of providers: taken in once per file, and found again."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.db import transaction

from billing.models import ProviderReport, ProviderReportRow
from billing.reconciliation.formats import Parsed, parse
from billing.reconciliation.values import ReportProblem

MOST_TOLERANCE = 10_000


def take_in(
    *, upstream: str, file_name: str, content: bytes, now: datetime, tolerance: int = 0
) -> tuple[ProviderReport, bool]:
    """Store what a file says of an upstream; the same file again is the same report, and False.

    ``tolerance`` is in basis points of what the provider says. Raises ReportProblem.
    """
    if not 0 <= tolerance <= MOST_TOLERANCE:
        raise ReportProblem("The tolerance is 0 to 10,000 basis points.")
    if not 0 < len(upstream) <= 100:
        raise ReportProblem("Name the upstream that the file is about.")
    digest = hashlib.sha256(content).hexdigest()
    known = ProviderReport.objects.filter(upstream=upstream, sha256=digest).first()
    if known is not None:
        return known, False
    return _store(upstream, file_name, digest, parse(content), (tolerance, now))


@transaction.atomic
def _store(
    upstream: str, file_name: str, digest: str, parsed: Parsed, terms: tuple[int, datetime]
) -> tuple[ProviderReport, bool]:
    days = [day for day, _ in parsed.rows]
    report, made = ProviderReport.objects.get_or_create(
        upstream=upstream, sha256=digest,
        defaults={
            "kind": parsed.kind, "file_name": "".join(filter(str.isprintable, file_name))[-200:],
            "first_day": min(days), "last_day": max(days), "tolerance": terms[0], "imported_at": terms[1],
        },
    )  # fmt: skip
    if made:
        rows = (
            ProviderReportRow(report=report, day=day, model=model, **counts)
            for (day, model), counts in sorted(parsed.rows.items())
        )
        ProviderReportRow.objects.bulk_create(rows, batch_size=1_000)
    return report, made
