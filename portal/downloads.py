"""Exports as downloads: streamed page by page, each page in a transaction of its own as the tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from billing.exports import files
from billing.exports.span import Export, Span
from billing.periods import Period
from portal.models import Tenant
from portal.tenancy import as_tenant

TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def download(
    request: HttpRequest, tenant: Tenant, export: Export, *, first: Period, last: Period, kind: str
) -> StreamingHttpResponse:
    """The file of an export over whole months, ``kind`` csv or parquet. Memory holds one page of it."""
    found = export.pages(Span.of(tenant, first, last))
    parts = files.csv_parts(export.columns, found) if kind == "csv" else files.parquet_parts(export.columns, found)
    return attachment(request, tenant, parts, name_of(tenant, export.name, first.label, last.label), kind)


def attachment(
    request: HttpRequest, tenant: Tenant, parts: Iterator[bytes], name: str, kind: str
) -> StreamingHttpResponse:
    """Parts of a file as an answer, each read as the tenant; ``kind`` csv or parquet."""
    content = parts_of(tenant.pk, parts) if isinstance(request, ASGIRequest) else parts
    answer = StreamingHttpResponse(content, content_type=TYPES[kind])
    answer["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    answer["Cache-Control"] = "no-store"
    return answer


def name_of(tenant: Tenant, export: str, first: str, last: str) -> str:
    """What the file of an export over months is called, without its ending."""
    return f"{tenant.slug}-{export}-{first if first == last else f'{first}-to-{last}'}"


async def parts_of(tenant_id: int, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Between two parts nothing is held, so that a slow reader keeps no connection of the database."""
    following = sync_to_async(_next)
    while (part := await following(tenant_id, parts)) is not None:
        yield part


def _next(tenant_id: int, parts: Iterator[bytes]) -> bytes | None:
    with as_tenant(tenant_id):
        return next(parts, None)
