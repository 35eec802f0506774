"""A price change before it is saved: its rows, what last month's bills would have been, what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from django import forms
from django.contrib import messages
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing import catalog, markups, preview, proposals
from billing.catalog import PriceProblem
from billing.markups import Made, MarkupProblem
from billing.models import Price, PriceBook
from billing.money import usd
from billing.preview import Bill, Difference, PreviewProblem
from billing.price_sheets import Sheet, shown
from billing.proposals import Change, ProposalProblem
from portal import audit
from portal.admin.audited import actor_of
from portal.models import Tenant
from proxy.models import Model, Route

SALT = "price change"
SHOWN_FOR_S = 3600
MOST_BILLS = 100
MOST_ROWS = 200
MOST_OBJECTIONS = 100
LINKS = {"expired": "This preview is too old, or was changed on its way: draw it up again."}


class BookField(forms.ChoiceField):
    """The default book, a tenant's, or one that a tenant gets with its first price."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=_books, required=False, widget=UnfoldAdminSelectWidget, **kwargs)

    def clean(self, value: Any) -> PriceBook:
        """The book; a tenant's is made, empty, when it is chosen first."""
        text = super().clean(value)
        if not text:
            return catalog.default_book()
        if text.startswith("tenant-"):
            tenant = Tenant.objects.get(pk=int(text.removeprefix("tenant-")))
            return catalog.own_book(tenant_id=tenant.pk, name=tenant.name)
        return PriceBook.objects.get(pk=int(text))


def _books() -> list[tuple[str, str]]:
    own = PriceBook.objects.filter(tenant__isnull=False).select_related("tenant").order_by("tenant__slug")
    without = Tenant.objects.filter(pricebook=None, is_active=True).order_by("slug").values_list("pk", "slug")
    return [
        ("", "Default: everyone without a price of their own"),
        *((str(book.pk), f"{book.tenant.slug}: its own prices") for book in own if book.tenant),
        *((f"tenant-{pk}", f"{slug}: a new book of its own") for pk, slug in without),
    ]


class MarkupForm(forms.Form):
    """Prices made from costs or from list prices, for the models a pattern matches."""

    book = BookField(label="Book")
    pattern = forms.CharField(
        initial="*", max_length=200, widget=UnfoldAdminTextInputWidget, label="Models",
        help_text="One model, a pattern such as gpt-5*, or * for the whole book.",
    )  # fmt: skip
    basis = forms.ChoiceField(
        choices=(
            ("cost", "What upstreams charge, plus a share"),
            ("list", "Prices of the default book, plus or less a share"),
            ("own", "Prices of this book, plus or less a share"),
        ),
        widget=UnfoldAdminSelectWidget,
        label="From",
    )
    percent = forms.DecimalField(
        max_digits=7, decimal_places=2, min_value=-100, max_value=10_000, label="Share (%)",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "20 or -10"}),
    )  # fmt: skip
    effective_from = forms.DateTimeField(
        required=False, widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-12-01 00:00"}), label="Starts",
        help_text="UTC. Empty is when it is published.",
    )  # fmt: skip

    def made(self) -> tuple[Change, Made]:
        """The change, not saved, and what was left out. Raises MarkupProblem and PriceProblem."""
        values, moment = self.cleaned_data, now()
        points = int(values["percent"] * 100)
        names = [name for name in _models() if fnmatchcase(name, values["pattern"])]
        if values["basis"] == "cost":
            routes = routes_of(names)
            made = markups.over_cost(book=values["book"], models=names, routes=routes, basis_points=points, now=moment)
        else:
            source = catalog.default_book() if values["basis"] == "list" else values["book"]
            at = max(values["effective_from"] or moment, moment)
            made = markups.over_list(book=values["book"], source=source, models=names, basis_points=points, at=at)
        return Change(values["book"], made.sheets, values["effective_from"]), made


@dataclass(frozen=True, slots=True)
class Row:
    """One model of a change as the table shows it."""

    model: str
    numbers: list[tuple[str, str, str]]
    more: int


def routes_of(models: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Where the calls of models go: upstreams and their models."""
    found: dict[str, list[tuple[str, str]]] = {}
    routes = Route.objects.filter(model__name__in=models, is_active=True, upstream__is_active=True)
    rows = routes.order_by("priority", "pk").values_list("model__name", "upstream__name", "upstream_model")
    for model, upstream, upstream_model in rows:
        found.setdefault(model, []).append((upstream, upstream_model))
    return found


def markup_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The form of a markup, or the preview of what it makes."""
    form = MarkupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            change, made = form.made()
            return preview_page(request, context, change, made.remarks)
        except (MarkupProblem, PriceProblem) as problem:
            form.add_error(None, str(problem))
    return TemplateResponse(request, "admin/billing/price/markup.html", {**context, "title": "Markup", "form": form})


def preview_page(
    request: HttpRequest, context: dict[str, Any], change: Change, remarks: Sequence[tuple[str, str]] = ()
) -> HttpResponse:
    """What a change would do; nothing is saved by it. Raises PriceProblem if it could not be published."""
    moment = now()
    priced = set(proposals.check(change, now=moment)) if change.sheets else set()
    sheets = [sheet for sheet in change.sheets if sheet.model in priced]
    change = Change(change.book, sheets, change.effective_from, change.origin, change.note)
    shown_context = {
        **context, **described(change, moment), "title": "Preview of a price change",
        "four_eyes": proposals.four_eyes(), "remarks": remarks[:MOST_ROWS], "signed": _signed(change),
    }  # fmt: skip
    return TemplateResponse(request, "admin/billing/price/preview.html", shown_context)


def described(change: Change, moment: datetime) -> dict[str, Any]:
    """What a page shows of a change: its rows, what speaks against it, and last month's bills."""
    starts_at, sheets = change.effective_from or moment, change.sheets
    problem, bills = "", None
    try:
        bills = preview.last_month(book=change.book, sheets=sheets, starts_at=starts_at, now=moment)
    except PreviewProblem as refused:
        problem = str(refused)
    routes = routes_of([sheet.model for sheet in sheets])
    objections = preview.objections(book=change.book, sheets=sheets, routes=routes, starts_at=starts_at)
    rows = rows_of(preview.differences(change.book, sheets))
    return {
        "change": change,
        "book_name": name_of(change.book),
        "rows": rows[:MOST_ROWS],
        "more_rows": max(0, len(rows) - MOST_ROWS),
        "models": len(sheets),
        "objections": objections[:MOST_OBJECTIONS],
        "more_objections": max(0, len(objections) - MOST_OBJECTIONS),
        "bills": [shown_bill(bill) for bill in bills.bills[:MOST_BILLS]] if bills else [],
        "more_bills": max(0, len(bills.bills) - MOST_BILLS) if bills else 0,
        "total": shown_bill(bills.total) if bills else None,
        "unsold": bills.unsold if bills else 0,
        "problem": problem,
    }


def publish(request: HttpRequest) -> HttpResponse:
    """Publish or propose exactly what the preview showed."""
    if request.method != "POST":
        raise PermissionDenied
    moment, actor = now(), actor_of(request)
    try:
        change = _read(request.POST.get("change", ""), request.POST.get("note", ""))
        submitted = proposals.submit(change, actor_id=actor.pk if actor else None, now=moment)
    except (signing.BadSignature, PriceProblem, ProposalProblem) as problem:
        messages.error(request, LINKS["expired"] if isinstance(problem, signing.BadSignature) else str(problem))
        return HttpResponseRedirect(reverse("admin:billing_price_changelist"))
    record(request, change, submitted.published, submitted.proposal, moment)
    if submitted.proposal:
        messages.success(request, f"Proposed: {submitted.proposal} waits for another operator.")
        return HttpResponseRedirect(reverse("admin:billing_priceproposal_change", args=[submitted.proposal.pk]))
    said = f"Published new prices of {len(submitted.published)} models."
    messages.success(request, said if submitted.published else "These prices are in force or proposed already.")
    return HttpResponseRedirect(reverse("admin:billing_price_changelist"))


def record(request: HttpRequest, change: Change, published: Sequence[str], proposal: Any, moment: datetime) -> None:
    """Note in the audit log what was published or proposed."""
    if not published and proposal is None:
        return
    models = list(published) or [sheet.model for sheet in change.sheets]
    audit.record(
        tenant=None, actor=actor_of(request), action="price.propose" if proposal else "price.publish",
        subject=str(proposal) if proposal else f"{len(models)} models in {name_of(change.book)}", now=moment,
        detail={
            "book": change.book.pk, "models": models[:100], "note": change.note,
            "from": (change.effective_from or moment).isoformat(),
        },
    )  # fmt: skip


def name_of(book: PriceBook) -> str:
    """A book as people call it."""
    return f"{book.tenant.slug}’s own book" if book.tenant else "the default book"


def rows_of(differences: Sequence[Difference], most: int = 14) -> list[Row]:
    """Differences by model, as texts."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in differences:
        name = f"{one.when}: {one.name}" if one.when else one.name
        found.setdefault(one.model, []).append((name, shown(one.name, one.before), shown(one.name, one.after)))
    return [Row(model, numbers[:most], max(0, len(numbers) - most)) for model, numbers in found.items()]


def shown_bill(bill: Bill) -> dict[str, Any]:
    """A line of the preview as texts."""
    points = bill.basis_points
    sign = "-" if points is not None and points < 0 else "+"
    percent = "–" if points is None else f"{sign}{abs(points) // 100}.{abs(points) % 100:02d} %"
    return {
        "bill": bill, "before": usd(bill.before), "after": usd(bill.after),
        "difference": f"{'+' if bill.difference > 0 else ''}{usd(bill.difference)}", "percent": percent,
    }  # fmt: skip


def _models() -> list[str]:
    """Every model that is sold or priced."""
    priced = Price.objects.filter(variant="").order_by("model").values_list("model", flat=True).distinct()
    return sorted({*Model.objects.values_list("name", flat=True), *priced})


def _signed(change: Change) -> str:
    begins = change.effective_from.isoformat() if change.effective_from else ""
    rows = [sheet.as_json() for sheet in change.sheets]
    return signing.dumps({"book": change.book.pk, "from": begins, "rows": rows}, salt=SALT, compress=True)


def _read(text: str, note: str) -> Change:
    values = signing.loads(text, salt=SALT, max_age=SHOWN_FOR_S)
    begins = datetime.fromisoformat(values["from"]) if values["from"] else None
    sheets = [Sheet.from_json(row) for row in values["rows"]]
    return Change(PriceBook.objects.get(pk=values["book"]), sheets, begins, note=note.strip()[:200])
