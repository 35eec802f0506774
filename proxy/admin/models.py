"""Models on sale, with their aliases, routes and prices on one page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.timezone import now
from unfold.admin import TabularInline

from billing import catalog, pricing
from billing.models import Price
from portal.admin.audited import AuditedAdmin
from proxy.admin.prices import per_million
from proxy.models import Model, ModelAlias, Route
from proxy.rules_form import check_object, check_rules


class ModelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A public name with its limits."""

    class Meta:
        model = Model
        fields = ("name", "context_window", "max_output_tokens", "capabilities", "rules", "fallbacks", "is_active")

    def clean_name(self) -> str:
        """Not an alias of another model."""
        name: str = self.cleaned_data["name"]
        if ModelAlias.objects.filter(name=name).exclude(model_id=self.instance.pk).exists():
            raise ValidationError("This is an alias of another model.")
        return name

    def clean_capabilities(self) -> dict[str, Any]:
        """An object, small."""
        return check_object(self.cleaned_data["capabilities"])

    def clean_rules(self) -> dict[str, Any]:
        """Rules there are."""
        return check_rules(self.cleaned_data["rules"])

    def clean_fallbacks(self) -> list[str]:
        """Models there are, and not this one."""
        names: list[str] = self.cleaned_data["fallbacks"] or []
        known = set(Model.objects.filter(name__in=names).values_list("name", flat=True))
        if unknown := [name for name in names if name not in known]:
            raise ValidationError(f"There is no model {', '.join(unknown)}.")
        if self.cleaned_data.get("name", self.instance.name) in names:
            raise ValidationError("A model cannot fall back to itself.")
        return names


class AliasForm(forms.ModelForm):  # type: ignore[type-arg]
    """Another name."""

    class Meta:
        model = ModelAlias
        fields = ("name",)

    def clean_name(self) -> str:
        """Not the name of a model."""
        name: str = self.cleaned_data["name"]
        if Model.objects.filter(name=name).exists():
            raise ValidationError("This is the name of a model.")
        return name


class NamedInline(TabularInline):  # type: ignore[misc]
    """A table of rows to edit, in which each field is named for those who do not see its column's head."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The field, with its name."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = str(field.label)
        return field


class AliasInline(NamedInline):
    """Other names of a model."""

    model = ModelAlias
    form = AliasForm
    extra = 0


class RouteInline(NamedInline):
    """Where calls to a model go."""

    model = Route
    extra = 0
    fields = ("upstream", "upstream_model", "priority", "weight", "is_active")


@admin.register(Model)
class ModelAdmin(AuditedAdmin):
    """What is sold."""

    form = ModelForm
    list_display = ("name", "context_window", "max_output_tokens", "price_now", "is_active")
    list_filter = ("is_active",)
    search_fields = ("name", "aliases__name")
    ordering = ("name",)
    inlines = (AliasInline, RouteInline)
    readonly_fields = ("history",)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Prices are shown once there is a model to price."""
        fields = ("name", ("context_window", "max_output_tokens"), "capabilities", "is_active")
        return ((None, {"fields": (*fields, "history") if obj else fields}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Prices, usage and invoices go by the name: it stays."""
        return ("history", "name") if obj else ("history",)

    @admin.display(description="Price in force: input, output (USD per 1M)")
    def price_now(self, model: Model) -> str:
        """Of the default book."""
        price = catalog.price_list(catalog.default_book(), model.name).published(now())
        return (
            "none: calls are refused" if price is None else f"{per_million(price.input)}, {per_million(price.output)}"
        )

    @admin.display(description="Prices (USD per 1M tokens)")
    def history(self, model: Model) -> str:
        """Every version, newest first, and a link to publish the next."""
        rows = Price.objects.filter(model=model.name).select_related("book").order_by("-effective_from", "variant")[:50]
        lines = format_html_join(
            "",
            "<li>{}{}: from {} {}: input {}, cache read {}, output {}, reasoning {}</li>",
            (
                (
                    price.book,
                    f", {pricing.words(catalog.version_of(price))}" if price.variant else "",
                    f"{price.effective_from:%Y-%m-%d %H:%M}",
                    f"to {price.effective_to:%Y-%m-%d %H:%M}" if price.effective_to else "on",
                    per_million(price.input),
                    per_million(price.cache_read),
                    per_million(price.output),
                    per_million(price.reasoning),
                )
                for price in rows
            ),
        )
        link = reverse("admin:billing_price_add")
        return format_html('<ul>{}</ul><p><a href="{}?model={}">Publish a new price</a></p>', lines, link, model.name)
