"""The operators' page of the books: the four sums, what differs, the history of checks, and who waits for a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timezone import now
from kombu.exceptions import OperationalError

from billing import books_history
from billing.admin import ReadOnlyAdmin
from billing.celery import app
from billing.models import BooksCheck, Invoice
from portal import audit, figures
from portal.admin.audited import actor_of
from portal.models import Tenant

MOST_ROWS = 500
HISTORY = 60
SUMS = (("a_events", "Calls"), ("b_rollups", "Roll-ups"), ("c_ledger", "Ledger"), ("d_invoices", "Invoices"))
_TRANSFER = re.compile(r"transfer (\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bar:
    """A check in the chart: place and height in its own units, and what it says."""

    x: int
    height: int
    is_red: bool
    title: str
    pk: int

    @property
    def top(self) -> int:
        """Where it begins, from above."""
        return 60 - self.height


def bars(checks: list[BooksCheck]) -> list[Bar]:
    """The last checks from old to new, as high as they took long."""
    slowest = max((check.duration_ms for check in checks), default=0) or 1
    return [
        Bar(
            place * 10, max(4, check.duration_ms * 60 // slowest), bool(check.differences),
            f"{check.started_at:%Y-%m-%d %H:%M} UTC: {check.differences} differences, {check.duration_ms} ms", check.pk,
        )
        for place, check in enumerate(reversed(checks))
    ]  # fmt: skip


def sums_of(check: BooksCheck, names: dict[int, str]) -> list[dict[str, Any]]:
    """The four sums by tenant, month and currency; what differs comes first."""
    rows = check.found.get("sums", ())
    columns = [figures.aligned(int(row[name]) for row in rows) for name, _ in SUMS]
    found = []
    for row, amounts in zip(rows, zip(*columns, strict=True), strict=True):
        tenant = names.get(row["tenant_id"], row["tenant_id"])
        agree = len({row[name] for name, _ in SUMS}) == 1
        found.append({**row, "tenant": tenant, "amounts": amounts, "agree": agree})
    return sorted(found, key=lambda row: (row["agree"], str(row["tenant"]), row["period"]))


def differences_of(check: BooksCheck, names: dict[int, str]) -> list[dict[str, Any]]:
    """Each difference, with a link to what it is about."""
    return [
        {**one, "tenant": names.get(one["tenant_id"], one["tenant_id"]), "link": link_of(one)}
        for one in check.found.get("differences", ())
    ]


def link_of(difference: dict[str, Any]) -> str:
    """The page where the transfer, the calls or the invoices of a difference are."""
    tenant, what = difference["tenant_id"], difference["what"]
    transfer = _TRANSFER.fullmatch(what)
    if transfer:
        return reverse("admin:billing_transfer_change", args=[transfer[1]])
    if what.startswith(("req_", "allowance ")) or "roll-ups" in difference["check"]:
        return reverse("admin:portal_tenant_calls", args=[tenant])
    return f"{reverse('admin:billing_invoice_changelist')}?tenant__id__exact={tenant}"


def names_of(check: BooksCheck) -> dict[int, str]:
    """Slugs of the tenants that a check is about."""
    rows = (*check.found.get("sums", ()), *check.found.get("differences", ()))
    return dict(Tenant.objects.filter(pk__in={row["tenant_id"] for row in rows}).values_list("id", "slug"))


@admin.register(BooksCheck)
class BooksCheckAdmin(ReadOnlyAdmin):
    """One page for the state of the books, and one for each check."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The state now; a POST asks a worker for a check."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._ask(request)
        finished = BooksCheck.objects.filter(tenant=None, finished_at__isnull=False).defer("found")
        parked = Invoice.objects.filter(status=Invoice.Status.DRAFT).exclude(parked_reason="")
        context = {
            "title": "Books",
            "parked": parked.select_related("tenant").order_by("-id")[:MOST_ROWS],
            "may_release": request.user.has_perm("billing.change_invoice"),
            "may_run": request.user.has_perm("billing.add_bookscheck"),
            "running": books_history.running(now=now()),
            "history": bars(list(finished.order_by("-id")[:HISTORY])),
        }
        return self._page(request, books_history.latest(), context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One check of the history."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        check = BooksCheck.objects.filter(pk=int(object_id)).first() if object_id.isdecimal() else None
        if check is None:
            raise Http404
        return self._page(request, check, {"title": f"Books, {check}"})

    def _page(self, request: HttpRequest, check: BooksCheck | None, context: dict[str, Any]) -> HttpResponse:
        names = names_of(check) if check else {}
        sums = sums_of(check, names) if check else []
        shown = {
            "check": check,
            "columns": [name for _, name in SUMS],
            "sums": sums[:MOST_ROWS],
            "more": max(0, len(sums) - MOST_ROWS),
            "differences": differences_of(check, names) if check else [],
            "opts": self.model._meta,
        }
        context = {**self.admin_site.each_context(request), **shown, **context}
        return TemplateResponse(request, "admin/billing/bookscheck/books.html", context)

    def _ask(self, request: HttpRequest) -> HttpResponse:
        """Leave a check to a worker, once the row that it is to fill is committed."""
        if not request.user.has_perm("billing.add_bookscheck"):
            raise PermissionDenied
        if books_history.running(now=now()) is None:
            with transaction.atomic():
                asked = books_history.ask(now=now())
                audit.record(
                    tenant=None, actor=actor_of(request), action="books.check", subject="books", now=now(), detail={}
                )
            try:
                app.send_task("billing.check_books", kwargs={"check": asked.pk}, retry=False)
            except OperationalError:
                asked.delete()
                messages.error(request, "No worker can be reached: is Redis running?")
        return HttpResponseRedirect(reverse("admin:billing_bookscheck_changelist"))
