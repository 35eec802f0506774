"""Re-ratings: asking for one, its preview by tenant and month, deciding it, and how far it is."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing import catalog, markups, proposals, reratings
from billing.admin import ReadOnlyAdmin
from billing.catalog import PriceProblem
from billing.celery import wake
from billing.markups import MarkupProblem
from billing.models import Price, PriceBook, Rerating, ReratingLine
from billing.money import MoneyProblem, parse_price, usd
from billing.price_sheets import Sheet, own_numbers
from billing.reratings import Asked, ReratingProblem
from portal import audit
from portal.admin.audited import actor_of
from portal.models import Tenant

MAY_DECIDE = ("billing.change_rerating", "billing.add_price")
MOST_LINES = 300
_PRICED = re.compile(r"\s*(\S+)\s*:\s*(.+)")


class RangeForm(forms.Form):
    """Which calls are priced anew, and by what."""

    tenant = forms.ModelChoiceField(
        Tenant.objects.order_by("slug"), required=False, empty_label="Everyone", widget=UnfoldAdminSelectWidget,
        label="Organisation",
    )  # fmt: skip
    book = forms.ModelChoiceField(
        PriceBook.objects.order_by("pk"), widget=UnfoldAdminSelectWidget, label="Calls that were priced by",
        help_text="The book that rated them: the default one, or the organisation’s own.",
    )  # fmt: skip
    models = forms.CharField(
        max_length=4_000, widget=UnfoldAdminTextInputWidget, label="Models", help_text="Names, with commas between."
    )
    starts_at = forms.DateTimeField(
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-10-01 00:00"}), label="From (UTC)"
    )
    ends_at = forms.DateTimeField(
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-11-01 00:00"}), label="Until (UTC)",
        help_text="This moment itself is not in the range.",
    )  # fmt: skip
    basis = forms.ChoiceField(
        choices=(
            ("now", "Prices of that book in force now"),
            ("share", "Prices of that book in force now, plus or less a share"),
            ("typed", "The prices below"),
            ("admitted", "The prices they were admitted at: takes re-ratings back"),
        ),
        widget=UnfoldAdminSelectWidget,
        label="New prices",
    )
    percent = forms.DecimalField(
        required=False, max_digits=7, decimal_places=2, min_value=-100, max_value=10_000, label="Share (%)",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "-10"}),
    )  # fmt: skip
    prices = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "gpt-5: input 1.25, output 10"}),
        label="Prices (USD per 1M tokens)",
        help_text="A line each: model, colon, classes and prices.",
    )
    note = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, label="Why", help_text="Kept in the audit log."
    )

    def asked(self) -> Asked:
        """The re-rating. Raises PriceProblem, MarkupProblem and MoneyProblem in words for the person."""
        values = self.cleaned_data
        names = sorted({name.strip() for name in values["models"].split(",") if name.strip()})
        unknown = set(names) - set(Price.objects.filter(model__in=names).values_list("model", flat=True))
        if unknown:
            raise PriceProblem(f"Never priced: {', '.join(sorted(unknown))[:200]}.")
        tenant = values["tenant"]
        return Asked(
            values["book"], tenant.pk if tenant else None, names, values["starts_at"], values["ends_at"],
            self._sheets(names), values["note"],
        )  # fmt: skip

    def _sheets(self, names: list[str]) -> list[Sheet]:
        values = self.cleaned_data
        if values["basis"] == "admitted":
            return []
        if values["basis"] == "typed":
            return [_typed(line) for line in values["prices"].splitlines() if line.strip()]
        points = int((values["percent"] or 0) * 100) if values["basis"] == "share" else 0
        book = values["book"]
        made = markups.over_list(book=book, source=book, models=names, basis_points=points, at=now())
        return list(made.sheets)


def _typed(line: str) -> Sheet:
    """``gpt-5: input 1.25, output 10`` as a sheet."""
    found = _PRICED.fullmatch(line)
    if found is None:
        raise PriceProblem(f"{line.strip()[:60]!r} is no line such as gpt-5: input 1.25, output 10.")
    prices = {}
    for part in found[2].split(","):
        name, _space, amount = part.strip().partition(" ")
        if name not in catalog.NUMBERS or name.startswith("per_"):
            raise PriceProblem(f"{name[:40]!r} is not a token class.")
        prices[name] = parse_price(amount.strip())
    sheet = Sheet(found[1], prices)
    sheet.numbers()
    return sheet


@admin.register(Rerating)
class ReratingAdmin(ReadOnlyAdmin):
    """Past ranges that were priced anew, or are about to be."""

    list_display = ("__str__", "state", "tenant", "book", "what", "starts_at", "ends_at", "proposed_by", "decided_by")
    list_filter = ("state",)
    list_select_related = ("tenant", "book", "proposed_by", "decided_by")
    ordering = ("-id",)

    @admin.display(description="Models")
    def what(self, row: Rerating) -> str:
        """The first of them."""
        more = len(row.model_names) - 3
        return ", ".join(row.model_names[:3]) + (f" and {more} more" if more > 0 else "")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Who may publish prices may ask for them in the past."""
        return bool(request.user.has_perms(("billing.add_rerating", "billing.add_price")))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The form; a job counts the preview."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = RangeForm(request.POST or None, initial={"book": catalog.default_book()})
        if request.method == "POST" and form.is_valid():
            actor, moment = actor_of(request), now()
            try:
                with transaction.atomic():
                    row = reratings.ask(form.asked(), actor_id=actor.pk if actor else None, now=moment)
                    self._record(request, row, "rerating.preview")
                return self._go_on(row)
            except (ReratingProblem, PriceProblem, MarkupProblem, MoneyProblem) as problem:
                form.add_error(None, str(problem))
        context = {"title": "Price a past range anew", "form": form, "show_back_button": True}
        return self._page(request, "admin/billing/rerating/add.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The preview, how far it is, and what became of it; a POST decides."""
        rows = Rerating.objects.select_related("book__tenant", "tenant", "proposed_by", "decided_by")
        row = rows.filter(pk=int(object_id)).first() if object_id.isdecimal() else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            return self._decide(request, row)
        return self._page(request, "admin/billing/rerating/rerating.html", self._shown(request, row))

    def _shown(self, request: HttpRequest, row: Rerating) -> dict[str, Any]:
        lines = ReratingLine.objects.filter(rerating=row)
        totals = lines.aggregate(requests=Sum("requests"), before=Sum("before"), after=Sum("after"), rows=Count("id"))
        found = lines.select_related("tenant").order_by("tenant__slug", "period_label", "model")[:MOST_LINES]
        working = row.state in (Rerating.State.COUNTING, Rerating.State.RUNNING)
        decidable = row.state in (Rerating.State.PREVIEWED, Rerating.State.WAITING)
        return {
            "title": f"Re-rating {row.pk}", "row": row, "working": working, "waits": decidable,
            "is_own": request.user.pk == row.proposed_by_id and row.state == Rerating.State.WAITING,
            "may_decide": request.user.has_perms(MAY_DECIDE), "four_eyes": proposals.four_eyes() or not row.alone,
            "lines": [_line(line.tenant.slug, line) for line in found], "more": max(0, totals["rows"] - MOST_LINES),
            "total": _sums(totals["requests"] or 0, int(totals["before"] or 0), int(totals["after"] or 0)),
            "prices": [_price(sheet) for sheet in map(Sheet.from_json, row.rows)], "show_back_button": True,
        }  # fmt: skip

    def _decide(self, request: HttpRequest, row: Rerating) -> HttpResponse:
        actor, moment = actor_of(request), now()
        if actor is None or not request.user.has_perms(MAY_DECIDE):
            raise PermissionDenied
        reason = request.POST.get("reason", "")
        try:
            with transaction.atomic():
                if "confirm" in request.POST:
                    row = reratings.confirm(rerating_id=row.pk, actor_id=actor.pk, now=moment)
                elif "approve" in request.POST:
                    row = reratings.approve(rerating_id=row.pk, actor_id=actor.pk, now=moment)
                else:
                    row = reratings.reject(rerating_id=row.pk, actor_id=actor.pk, reason=reason, now=moment)
                self._record(request, row, f"rerating.{row.state}")
        except ReratingProblem as problem:
            messages.error(request, str(problem))
            return HttpResponseRedirect(request.path)
        return self._go_on(row)

    def _go_on(self, row: Rerating) -> HttpResponse:
        """Let a worker go on once it is committed; if none can be told, the next scheduled run does."""
        if row.state in (Rerating.State.COUNTING, Rerating.State.RUNNING):
            wake("billing.rerate")
        return HttpResponseRedirect(reverse("admin:billing_rerating_change", args=[row.pk]))

    def _record(self, request: HttpRequest, row: Rerating, action: str) -> None:
        detail: dict[str, object] = {
            "book": row.book_id, "models": row.model_names[:100], "from": row.starts_at.isoformat(),
            "until": row.ends_at.isoformat(), "note": row.note, "reason": row.reason,
        }  # fmt: skip
        audit.record(
            tenant=row.tenant, actor=actor_of(request), action=action, subject=str(row), now=now(), detail=detail
        )

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shown_context = {**self.admin_site.each_context(request), "opts": self.model._meta, **context}
        return TemplateResponse(request, template, shown_context)


def _line(slug: str, line: ReratingLine) -> dict[str, Any]:
    return {"slug": slug, "line": line, **_sums(line.requests, int(line.before), int(line.after))}


def _sums(requests: int, before: int, after: int) -> dict[str, Any]:
    difference = after - before
    return {
        "requests": requests, "before": usd(before), "after": usd(after),
        "difference": f"{'+' if difference > 0 else ''}{usd(difference)}",
    }  # fmt: skip


def _price(sheet: Sheet) -> dict[str, Any]:
    return {"model": sheet.model, "numbers": own_numbers(sheet)}
