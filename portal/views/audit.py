"""The audit log: who did what with privilege in a tenant."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from portal.access import Permission, one
from portal.models import AuditEntry, Tenant
from portal.views.page import TenantRequest, position, render_page, tenant_page

PAGE = 50


@require_safe
@tenant_page(Permission.SEE_AUDIT)
def audit(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Newest first, fifty at a time."""
    rows = AuditEntry.objects.filter(tenant=tenant).select_related("actor").order_by("-at", "-pk")
    before = position(request, "before")
    if before is not None:
        last = one(AuditEntry.objects.filter(tenant=tenant, pk=before))
        rows = rows.filter(Q(at__lt=last.at) | Q(at=last.at, pk__lt=last.pk))
    entries = list(rows[: PAGE + 1])
    context = {"entries": entries[:PAGE], "more": entries[PAGE - 1].pk if len(entries) > PAGE else None}
    return render_page(request, "audit_rows.html" if request.headers.get("HX-Request") else "audit.html", context)
