"""Prices: publishing the next version, and the history. A version that has begun is never changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing import catalog, price_sheets, pricing, proposals
from billing.admin import BoundedPaginator
from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.models import Price, PriceBook, PriceProposal
from billing.money import PICO_PER_USD, usd
from billing.price_sheets import Sheet
from billing.proposals import Change, ProposalProblem
from portal import audit
from portal.admin.audited import AuditedAdmin, actor_of
from portal.admin.money_fields import PriceField, UsdField
from proxy.admin import price_changes, variant_lines
from proxy.admin.price_changes import BookField
from proxy.admin.variant_lines import LineProblem
from proxy.models import Model

LABELS = {"per_request": "Per request (USD)", "per_web_search": "Per web search (USD)", "per_image": "Per image (USD)"}


def per_million(price: int) -> str:
    """Picodollars per token as USD per 1M."""
    return usd(price * (PICO_PER_USD // 10**6))


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new version. It is published, or proposed, while the form is checked, so that what stands against it is said.

    With ``only_checked`` nothing is kept: that is how a preview begins.
    """

    book = BookField(label="Book")
    model = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    effective_from = forms.DateTimeField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-12-01 00:00"}),
        help_text="UTC. Empty is now. A price cannot start in the past.",
    )
    variants = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5, "placeholder": variant_lines.EXAMPLE}),
        help_text="Other prices, one line each: for a service tier, above some prompt tokens (then for the whole "
        "request), in hours of UTC, or for several of these; and what differs.",
    )

    class Meta:
        model = Price
        fields = ("book", "model")

    def __init__(self, *args: Any, only_checked: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.only_checked = only_checked or proposals.four_eyes()
        names = Model.objects.order_by("name").values_list("name", flat=True)
        self.fields["model"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        self.published: Price | None = None
        self.change: Change | None = None

    def clean(self) -> dict[str, Any]:
        """Publish, or only check; a problem is an error of the form, and undoes it."""
        values = super().clean() or {}
        if self.errors:
            return values
        prices = {name: values[name] for name in (*TOKEN_CLASSES, *SURCHARGES) if values.get(name) is not None}
        book, moment = values["book"], now()
        try:
            sheets = price_sheets.replacing([Sheet(values["model"], prices, tuple(values["variants"]))], book)
            self.change = Change(book, sheets, values["effective_from"])
            act = proposals.check if self.only_checked else proposals.publish
            priced = act(self.change, now=moment)
        except catalog.PriceProblem as problem:
            self.add_error(None, str(problem))
            return values
        if not priced:
            self.add_error(None, "These prices are in force already: there is nothing to publish.")
        elif not self.only_checked:
            rows = Price.objects.filter(book=book, model=values["model"], variant="")
            self.published = rows.order_by("effective_from").last()
        return values

    def clean_variants(self) -> list[catalog.VariantPrices]:
        """Lines to variants."""
        try:
            return variant_lines.parse(self.cleaned_data["variants"])
        except LineProblem as problem:
            raise forms.ValidationError(f"{problem}.") from None

    def _post_clean(self) -> None:
        """The row was made by ``publish``; the form's own is not checked or stored."""

    def save(self, commit: bool = True) -> Price:
        """The published version."""
        if self.published is None:
            raise ValueError("a price that was not published cannot be saved")
        self.instance = self.published
        self.save_m2m = lambda: None  # type: ignore[method-assign]
        return self.published


for _name in TOKEN_CLASSES:
    _needed = _name in ("input", "output")
    PriceForm.base_fields[_name] = PriceField(
        required=_needed,
        label=f"{_name.replace('_', ' ').capitalize()} (USD per 1M)",
        help_text="" if _needed else "Empty takes the price of its parent class.",
    )
for _name in SURCHARGES:
    PriceForm.base_fields[_name] = UsdField(required=False, label=LABELS[_name])


class ForceFilter(admin.SimpleListFilter):
    """Prices by whether they have begun and ended."""

    title = "in force"
    parameter_name = "force"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Past, present and future."""
        return [("now", "now"), ("scheduled", "scheduled"), ("over", "no longer")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Price]) -> QuerySet[Price]:
        """Those that were chosen."""
        moment = now()
        if self.value() == "scheduled":
            return queryset.filter(effective_from__gt=moment)
        if self.value() == "over":
            return queryset.filter(effective_to__lte=moment)
        if self.value() == "now":
            return queryset.filter(Q(effective_to=None) | Q(effective_to__gt=moment), effective_from__lte=moment)
        return queryset


@admin.register(Price)
class PriceAdmin(AuditedAdmin):
    """Versions of prices; a variant is a row beside its base price."""

    form = PriceForm
    add_form_template = "admin/billing/price/add.html"
    list_before_template = "admin/billing/price/links.html"
    paginator = BoundedPaginator
    list_display = (
        "model", "conditions", "book", "effective_from", "effective_to", "shown_input", "shown_cached", "shown_output",
        "source", "state",
    )  # fmt: skip
    list_filter = (ForceFilter, "book", "source")
    search_fields = ("model",)
    list_select_related = ("book",)
    ordering = ("model", "-effective_from", "variant")

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        """The form of a new version; the numbers of a published one."""
        if obj is None:
            fields: tuple[str, ...] = ("book", "model", "effective_from", *TOKEN_CLASSES, *SURCHARGES, "variants")
        else:
            fields = ("book", "model", "conditions", "effective_from", "effective_to", "numbers", "inherited", "source")
            fields += ("withdrawal",)
        return ((None, {"fields": fields}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> tuple[str, ...]:
        """A published version is shown in USD."""
        return ("numbers", "conditions", "withdrawal") if obj else ()

    def get_form(self, request: HttpRequest, obj: Price | None = None, change: bool = False, **kwargs: Any) -> Any:
        """The whole form as it is: its fields are no columns."""
        if obj is None:
            return PriceForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, a markup, and publishing what a preview showed."""
        views = (("markup/", self.markup, "billing_price_markup"), ("publish/", self.publish, "billing_price_publish"))
        return [path(where, self.admin_site.admin_view(view), name=name) for where, view, name in views] + [
            *super().get_urls()
        ]

    def markup(self, request: HttpRequest) -> HttpResponse:
        """Prices made from costs or list prices, shown before they are saved."""
        self._check_may_publish(request)
        return price_changes.markup_page(request, self._context(request))

    def publish(self, request: HttpRequest) -> HttpResponse:
        """What a preview showed."""
        self._check_may_publish(request)
        return price_changes.publish(request)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A preview where it is asked for, and always a proposal where the settings ask for four eyes."""
        self._check_may_publish(request)
        if request.method == "POST" and ("_preview" in request.POST or proposals.four_eyes()):
            form = PriceForm(request.POST, only_checked=True)
            if form.is_valid() and form.change:
                return self._show_or_propose(request, form.change)
        answer: HttpResponse = super().add_view(request, form_url, extra_context)
        return answer

    def _show_or_propose(self, request: HttpRequest, change: Change) -> HttpResponse:
        if "_preview" in request.POST:
            return price_changes.preview_page(request, self._context(request), change)
        actor, moment = actor_of(request), now()
        try:
            proposal = proposals.propose(change, actor_id=actor.pk if actor else None, now=moment)
        except ProposalProblem as problem:
            messages.error(request, str(problem))
            proposal = None
        else:
            price_changes.record(request, change, (), proposal, moment)
            messages.success(request, f"{proposal or 'The same change'} waits for another operator.")
        return HttpResponseRedirect(reverse("admin:billing_priceproposal_changelist"))

    def _check_may_publish(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.model._meta, "show_back_button": True}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With how many prices and proposals wait."""
        waiting = {
            "scheduled": len(proposals.scheduled(now())),
            "proposed": PriceProposal.objects.filter(state=PriceProposal.State.WAITING).count(),
        }
        view: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **waiting})
        return view

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Start from the version in force, so that a change is what is typed and no more."""
        name = request.GET.get("model", "")[:200]
        asked = request.GET.get("book", "")
        book = PriceBook.objects.filter(pk=int(asked)).first() if asked.isdecimal() and len(asked) < 19 else None
        rows = Price.objects.filter(book=book or catalog.default_book(), model=name)
        last = rows.filter(variant="").order_by("-effective_from").first()
        if last is None:
            return {"model": name, "book": book.pk if book else ""}
        variants = rows.filter(effective_from=last.effective_from).exclude(variant="").order_by("variant")
        own = [token_class for token_class in TOKEN_CLASSES if token_class not in last.inherited]
        stored = {field: getattr(last, field) for field in (*own, *SURCHARGES)}
        return {"model": name, "book": book.pk if book else "", "variants": variant_lines.said(variants, last)} | stored

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Published is published."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """What has not begun can be withdrawn, one by one."""
        return isinstance(obj, Price) and not catalog.why_it_stays(obj, now())

    def delete_model(self, request: HttpRequest, obj: Price) -> None:
        """Withdraw the version with its variants, and record it."""
        moment, subject, detail = now(), str(obj), {"effective_from": obj.effective_from.isoformat()}
        try:
            with transaction.atomic():
                catalog.withdraw(obj, moment)
                audit.record(
                    tenant=self.tenant_of(obj), actor=actor_of(request), action="price.withdraw", subject=subject,
                    now=moment, detail=dict(detail),
                )  # fmt: skip
        except catalog.PriceProblem as problem:
            raise PermissionDenied(str(problem)) from None

    def write(self, request: HttpRequest, obj: Price, form: forms.ModelForm[Any], change: bool) -> None:
        """Nothing: publishing stored it."""

    @admin.display(description="Input")
    def shown_input(self, price: Price) -> str:
        """USD per 1M."""
        return per_million(price.input)

    @admin.display(description="Cache read")
    def shown_cached(self, price: Price) -> str:
        """USD per 1M."""
        return per_million(price.cache_read)

    @admin.display(description="Output")
    def shown_output(self, price: Price) -> str:
        """USD per 1M."""
        return per_million(price.output)

    @admin.display(description="Prices (USD per 1M tokens)")
    def numbers(self, price: Price) -> str:
        """Every class."""
        return ", ".join(f"{name} {per_million(getattr(price, name))}" for name in TOKEN_CLASSES)

    @admin.display(description="For")
    def conditions(self, price: Price) -> str:
        """When a variant holds."""
        return pricing.words(catalog.version_of(price)) or "every request"

    @admin.display(description="State")
    def state(self, price: Price) -> str:
        """Whether it has begun; what has not, with a link to take it back."""
        moment = now()
        if price.effective_from <= moment:
            return "in force" if price.effective_to is None or price.effective_to > moment else "over"
        if price.variant or catalog.why_it_stays(price, moment):
            return "scheduled"
        link = reverse("admin:billing_price_delete", args=[price.pk])
        return format_html('scheduled – <a class="underline" href="{}">withdraw</a>', link)

    @admin.display(description="Withdraw")
    def withdrawal(self, price: Price) -> str:
        """A button, or why there is none."""
        reason = catalog.why_it_stays(price, now())
        if reason:
            return f"{reason[0].upper()}{reason[1:]}."
        link = reverse("admin:billing_price_delete", args=[price.pk])
        return format_html('<a class="underline" href="{}">Withdraw this price, which has not begun</a>', link)
