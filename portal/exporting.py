"""Exports that members ask for, each with its audit row, and how a file that is made leaves the database."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from billing.celery import wake
from billing.exports import jobs
from billing.models import ExportJob
from billing.periods import Period
from portal import audit
from portal.access import Permission
from portal.downloads import attachment, name_of
from portal.models import Tenant, User
from portal.tenancy import as_operator

NEEDS = dict.fromkeys(("calls", "usage"), Permission.SEE_USAGE)
"""What a role must be able to see to have a kind of export; the rest is money."""
SHOWN = 20


def needed_for(kind: str) -> Permission:
    """The permission that a kind of export asks for."""
    return NEEDS.get(kind, Permission.SEE_INVOICES)


def prepare(
    *, tenant: Tenant, actor: User, kind: str, file: str, span: tuple[Period, Period], now: datetime
) -> ExportJob:
    """Have a file made in the background. Raises ExportProblem."""
    with as_operator():
        job = jobs.request(tenant=tenant, actor_id=actor.pk, kind=kind, file=file, span=span, now=now)
        audit.record(
            tenant=tenant, actor=actor, action="export.prepare", subject=str(job), now=now, detail={"export": job.pk}
        )
    wake("billing.make_exports")
    return job


def cancel(*, tenant: Tenant, actor: User, job: ExportJob, now: datetime) -> bool:
    """Stop it, or delete its file; whether there was anything to stop or delete."""
    with as_operator():
        done = jobs.cancel(job=job, now=now)
        if done:
            audit.record(
                tenant=tenant, actor=actor, action="export.cancel", subject=str(job), now=now, detail={"export": job.pk}
            )
    return done


def latest(tenant: Tenant, permissions: frozenset[Permission]) -> list[ExportJob]:
    """The newest exports of an organisation that a role may see."""
    rows: QuerySet[ExportJob] = ExportJob.objects.filter(tenant=tenant).select_related("requested_by").order_by("-pk")
    return [job for job in rows[:SHOWN] if needed_for(job.kind) in permissions]


def deliver(request: HttpRequest, tenant: Tenant, job: ExportJob) -> StreamingHttpResponse:
    """The file of an export that is done, part by part."""
    name = name_of(tenant, job.kind, job.first, job.last)
    answer = attachment(request, tenant, jobs.content(job), name, job.file)
    answer["Content-Length"] = str(job.size)
    answer["Repr-Digest"] = f"sha-256=:{b64encode(bytes.fromhex(job.sha256)).decode()}:"  # RFC 9530
    return answer
