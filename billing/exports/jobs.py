"""Exports made in the background: asked for, made part by part from one snapshot, kept for a week.

The only writer of ExportJob and ExportPart. A worker holds a job by a lease that each part renews; one that dies is
followed by another, which begins anew. What counts is the database's clock.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing import parties
from billing.exports import files
from billing.exports.kinds import EXPORTS
from billing.exports.span import Export, Row, Span
from billing.models import ExportJob, ExportPart
from billing.parties import Tenant
from billing.periods import Period

logger = logging.getLogger(__name__)

ONE_ASKER = 7_005
"""First half of the advisory lock under which one tenant asks for exports: no two are the last that fits."""
KEPT = timedelta(days=7)
MOST_UNFINISHED = 3
MOST_ATTEMPTS = 3
MOST_BYTES = 4 * 2**30
State, File = ExportJob.State, ExportJob.File


class ExportProblem(Exception):
    """An export that is not made, in plain words."""


class _Stopped(Exception):
    """Somebody cancelled it, or another worker has it."""


@transaction.atomic
def request(
    *, tenant: Tenant, actor_id: int | None, kind: str, file: str, span: tuple[Period, Period], now: datetime
) -> ExportJob:
    """Ask for a file of whole months; a job makes it. Raises ExportProblem where too many are being made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [ONE_ASKER, tenant.id])
    unfinished = ExportJob.objects.filter(tenant_id=tenant.id, state__in=(State.WAITING, State.RUNNING))
    if unfinished.count() >= MOST_UNFINISHED:
        raise ExportProblem(f"{MOST_UNFINISHED} exports are being made: wait for one, or cancel it.")
    if kind not in EXPORTS or file not in File.values:
        raise ExportProblem(f"There is no export of {kind!r} as {file!r}.")
    first, last = span
    if last.start < first.start:
        raise ExportProblem(f"{last.label} is before {first.label}.")
    return ExportJob.objects.create(
        tenant_id=tenant.id, requested_by_id=actor_id, kind=kind, file=file, first=first.label, last=last.label,
        created_at=now,
    )  # fmt: skip


@transaction.atomic
def cancel(*, job: ExportJob, now: datetime) -> bool:
    """Stop it, or delete the file that is made; False if there was nothing to stop or delete."""
    stopped = ExportJob.objects.filter(pk=job.pk, state__in=(State.WAITING, State.RUNNING, State.DONE))
    if not stopped.update(state=State.CANCELLED, finished_at=now, leased_until_at=None):
        return False
    ExportPart.objects.filter(job=job).delete()
    return True


def forget(*, now: datetime) -> int:
    """Delete jobs whose file is kept long enough, and those that never had one as long after; how many."""
    over = ExportJob.objects.filter(created_at__lt=now - KEPT).exclude(expires_at__gte=now)
    over = over.exclude(state__in=(State.WAITING, State.RUNNING))
    return over.delete()[1].get("billing.ExportJob", 0)


def make_waiting() -> int:
    """Make every export that waits, or whose worker is gone; how many were tried. Not within a transaction."""
    tried = 0
    while job := _claimed():
        make(job)
        tried += 1
    return tried


def make(job: ExportJob) -> None:
    """Write the file of a claimed job, all of it from one snapshot of the database. Progress is seen as it goes."""
    beside = connection.copy()
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            _write(job, beside)
    except _Stopped:
        logger.info("export %s was stopped", job.pk)
    except ExportProblem as problem:
        _fail(beside, job, str(problem))
    except Exception:  # whatever it was, the person who waits is told, and the next job is made
        logger.exception("export %s failed", job.pk)
        _fail(beside, job, "It broke off for a reason of ours. Ask for it again; tell us if that does not help.")
    finally:
        beside.close()


def content(job: ExportJob) -> Iterator[bytes]:
    """The parts of a file that is made, one statement each."""
    position = 0
    while True:
        part = ExportPart.objects.filter(job=job, position=position).values_list("content", flat=True).first()
        if part is None:
            return
        yield bytes(part)
        position += 1


def _claimed() -> ExportJob | None:
    with connection.cursor() as cursor:
        cursor.execute(ABANDON, {"most": MOST_ATTEMPTS})
        cursor.execute(CLAIM)
        found = cursor.fetchone()
    return ExportJob.objects.get(pk=found[0]) if found else None


def _write(job: ExportJob, beside: BaseDatabaseWrapper) -> None:
    (tenant,) = parties.tenants_by_id([job.tenant_id])
    export, span = EXPORTS[job.kind], Span.named(tenant, job.first, job.last)
    _run(beside, "DELETE FROM billing_exportpart WHERE job_id = %(id)s", job)
    if not _run(beside, BEGIN, job, total=export.count(span)):
        raise _Stopped
    digest, size = hashlib.sha256(), 0
    for position, part in enumerate(_parts(job, export, span, beside)):
        digest.update(part)
        size += len(part)
        if size > MOST_BYTES:
            raise ExportProblem(f"The file is larger than {MOST_BYTES // 2**30} GB: ask for fewer months at once.")
        if not _run(beside, ADD, job, position=position, content=part, size=size):
            raise _Stopped
    _run(beside, END, job, sha256=digest.hexdigest(), kept=KEPT)


def _parts(job: ExportJob, export: Export, span: Span, beside: BaseDatabaseWrapper) -> Iterator[bytes]:
    found = _counted(export.pages(span), job, beside)
    write = files.csv_parts if job.file == File.CSV else files.parquet_parts
    return (part for part in write(export.columns, found) if part)


def _counted(found: Iterator[list[Row]], job: ExportJob, beside: BaseDatabaseWrapper) -> Iterator[list[Row]]:
    """Note how many rows were read, for whoever looks on."""
    done = 0
    for page in found:
        done += len(page)
        _run(beside, PROGRESS, job, done=done)
        yield page


def _fail(beside: BaseDatabaseWrapper, job: ExportJob, words: str) -> None:
    _run(beside, FAIL, job, error=words[:200])
    _run(beside, "DELETE FROM billing_exportpart WHERE job_id = %(id)s", job)


def _run(beside: BaseDatabaseWrapper, statement: str, job: ExportJob, **values: Any) -> int:
    """A statement outside of the snapshot, seen by others at once; how many rows it touched."""
    with beside.cursor() as cursor:
        cursor.execute(statement, {"id": job.pk, "attempt": job.attempt, **values})
        return int(cursor.rowcount)


ABANDON = """
UPDATE billing_exportjob SET state = 'failed', finished_at = clock_timestamp(), leased_until_at = NULL,
    error = 'It broke off several times. Ask for fewer months at once.'
WHERE state = 'running' AND leased_until_at < clock_timestamp() AND attempt >= %(most)s
"""
CLAIM = """
UPDATE billing_exportjob SET state = 'running', attempt = attempt + 1, rows_done = 0, size = 0,
    leased_until_at = clock_timestamp() + interval '2 minutes'
WHERE id = (
    SELECT id FROM billing_exportjob
    WHERE state = 'waiting' OR (state = 'running' AND leased_until_at < clock_timestamp())
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id
"""
_HELD = "id = %(id)s AND attempt = %(attempt)s AND state = 'running'"
_RENEWED = "leased_until_at = clock_timestamp() + interval '2 minutes'"
BEGIN = f"UPDATE billing_exportjob SET rows_total = %(total)s, {_RENEWED} WHERE {_HELD}"
PROGRESS = f"UPDATE billing_exportjob SET rows_done = %(done)s, {_RENEWED} WHERE {_HELD}"
ADD = f"""
WITH held AS (UPDATE billing_exportjob SET size = %(size)s, {_RENEWED} WHERE {_HELD} RETURNING id, tenant_id)
INSERT INTO billing_exportpart (tenant_id, job_id, position, content)
SELECT tenant_id, id, %(position)s, %(content)s FROM held
"""
END = f"""
UPDATE billing_exportjob SET state = 'done', sha256 = %(sha256)s, finished_at = clock_timestamp(),
    leased_until_at = NULL, rows_total = rows_done, expires_at = clock_timestamp() + %(kept)s WHERE {_HELD}
"""
FAIL = f"""
UPDATE billing_exportjob SET state = 'failed', error = %(error)s, finished_at = clock_timestamp(),
    leased_until_at = NULL, size = 0 WHERE {_HELD}
"""
