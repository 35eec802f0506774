"""Price files: reading one, reviewing what it proposes, and applying what was chosen."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from portal.admin.audited import AuditedAdmin, actor_of
from proxy.admin import price_review
from proxy.models import PriceImport, PriceProposal
from proxy.pricing_import import fetching, review, stored
from proxy.pricing_import.proposal import TAKEN
from proxy.pricing_import.reading import MOST_BYTES, PriceFile, PriceFileProblem, read

MOST_TOLD = 5


class PriceFileForm(forms.ModelForm):  # type: ignore[type-arg]
    """A file, or the address of one. It is read while the form is checked, so that what is wrong is said there."""

    file = forms.FileField(required=False, widget=UnfoldAdminFileFieldWidget, label="File")
    address = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        label="Or its address",
        help_text="https only. It is fetched from here, once, when you save.",
    )

    class Meta:
        model = PriceImport
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["address"] = fetching.PUBLIC_FILE
        self.read: PriceFile | None = None
        self.source = ""

    def clean(self) -> dict[str, Any]:
        """Read it."""
        values = super().clean() or {}
        if self.errors:
            return values
        try:
            self.read = read(self._content(values))
        except PriceFileProblem as problem:
            raise ValidationError(str(problem)) from None
        return values

    def _content(self, values: dict[str, Any]) -> bytes:
        file, address = values.get("file"), values.get("address", "")
        if isinstance(file, UploadedFile):
            self.source = file.name or "upload"
            if (file.size or 0) > MOST_BYTES:
                raise PriceFileProblem(f"The file is larger than {MOST_BYTES >> 20} MB.")
            return bytes(file.read())
        self.source = address
        if not address:
            raise PriceFileProblem("Choose a file, or enter an address.")
        return fetching.from_address(address)


class StartForm(forms.Form):
    """When the chosen prices begin."""

    effective_from = forms.DateTimeField(required=False)


@admin.register(PriceImport)
class PriceImportAdmin(AuditedAdmin):
    """Price files that were read, the last ten."""

    form = PriceFileForm
    list_display = ("source", "made_at", "made_by", "waiting")
    list_select_related = ("made_by",)
    ordering = ("-pk",)
    fields = ("file", "address")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PriceImport]:
        """With how many prices wait to be applied."""
        found: QuerySet[PriceImport] = super().get_queryset(request)
        fits = Q(proposals__status__in=TAKEN, proposals__applied_at=None) & ~Q(proposals__model="")
        return found.annotate(ready=Count("proposals", filter=fits))

    @admin.display(description="New and changed, not applied")
    def waiting(self, price_import: PriceImport) -> int:
        """How many."""
        return int(getattr(price_import, "ready", 0))

    def save_model(self, request: HttpRequest, obj: PriceImport, form: forms.ModelForm[Any], change: bool) -> None:
        """Keep the proposals; keeping records itself."""
        if not isinstance(form, PriceFileForm) or form.read is None:
            raise PermissionDenied
        kept = stored.keep(file=form.read, source=form.source, actor=actor_of(request), now=now())
        obj.pk, obj.source, obj.made_at = kept.pk, kept.source, kept.made_at
        obj._state.adding = False

    def response_add(
        self, request: HttpRequest, obj: PriceImport, post_url_continue: str | None = None
    ) -> HttpResponse:
        """On to the review."""
        return HttpResponseRedirect(reverse("admin:proxy_priceimport_change", args=[obj.pk]))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With one button: what follows is always the review."""
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        view: HttpResponse = super().add_view(request, form_url, {**(extra_context or {}), **buttons})
        return view

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The review: filters, old and new prices, and applying what is ticked."""
        found = PriceImport.objects.filter(pk=object_id).select_related("made_by") if object_id.isdigit() else None
        price_import = found.first() if found is not None else None
        if price_import is None or not self.has_view_permission(request, price_import):
            raise Http404
        if request.method == "POST":
            return self._apply(request, price_import)
        context = {
            **self.admin_site.each_context(request),
            "title": "Review of prices",
            "price_import": price_import,
            "review": price_review.review(price_import, request.GET),
            "may_apply": _may_apply(request),
            "opts": self.model._meta,
            "show_back_button": True,
        }
        return TemplateResponse(request, "admin/proxy/priceimport/review.html", context)

    def _apply(self, request: HttpRequest, price_import: PriceImport) -> HttpResponse:
        """Apply the chosen rows, say what became of them, and show the page anew."""
        if not _may_apply(request):
            raise PermissionDenied
        back = HttpResponseRedirect(request.get_full_path())
        start = StartForm(request.POST)
        if not start.is_valid():
            messages.error(request, "The start is no time such as 2026-12-01 00:00.")
            return back
        rows = _chosen(request, price_import)
        if not rows:
            messages.warning(request, "Nothing was chosen.")
            return back
        moment = now()
        terms = review.Terms(
            effective_from=start.cleaned_data["effective_from"] or moment,
            now=moment,
            actor=actor_of(request),
            confirmed=_names(request, "confirm", rows),
            routed=_names(request, "route", rows),
        )
        _tell(request, review.apply_rows(rows, terms))
        return back


def _may_apply(request: HttpRequest) -> bool:
    """Publishing a price and making a model are permissions of their own."""
    return request.user.has_perms(("proxy.add_priceimport", "billing.add_price", "proxy.add_model"))


def _chosen(request: HttpRequest, price_import: PriceImport) -> list[PriceProposal]:
    if "every" in request.POST:
        return list(price_review.ready(price_import))
    keys = [int(key) for key in request.POST.getlist("choose") if key.isdigit() and len(key) < 19]
    return list(PriceProposal.objects.filter(price_import=price_import, pk__in=keys).order_by("pk"))


def _names(request: HttpRequest, field: str, rows: list[PriceProposal]) -> frozenset[str]:
    """The entries whose box of this kind is ticked."""
    ticked = set(request.POST.getlist(field))
    return frozenset(row.name for row in rows if str(row.pk) in ticked)


def _tell(request: HttpRequest, outcome: review.Outcome) -> None:
    if outcome.proposal:
        messages.success(request, f"{outcome.proposal} waits for another operator: {_listed(outcome.applied)}.")
    elif outcome.applied:
        messages.success(request, f"Applied: {_listed(outcome.applied)}.")
    if outcome.already:
        messages.info(request, f"In force already: {_listed(outcome.already)}.")
    for name, why in outcome.refused[:MOST_TOLD]:
        messages.error(request, f"{name}: {why}")
    if len(outcome.refused) > MOST_TOLD:
        messages.error(request, f"{len(outcome.refused) - MOST_TOLD} more were refused.")


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_TOLD
    return ", ".join(names[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
