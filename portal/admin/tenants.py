"""Tenants: making one, changing its data, and looking at its calls."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timezone import now
from unfold.widgets import UnfoldAdminSelectWidget

from billing import reports
from billing.admin import ReadOnlyInline
from billing.models import Wallet
from portal import tenancy
from portal.admin.audited import AuditedAdmin
from portal.admin.money_fields import UsdField
from portal.admin.users import MembershipInline
from portal.models import ApiKey, Project, Tenant, User

PAGE = 100
BILLED = (
    "address",
    ("country", "vat_id", "tax_category"),
    ("currency", "language", "billing_email"),
    ("billing_anchor_day", "payment_days"),
)


class NewTenantForm(forms.ModelForm):  # type: ignore[type-arg]
    """A tenant with its way of paying and its first owner."""

    mode = forms.ChoiceField(label="Billing", choices=Wallet.Mode.choices, widget=UnfoldAdminSelectWidget)
    credit_limit = UsdField(required=False, label="Credit line (USD)", help_text="For postpaid billing.")
    owner = forms.ModelChoiceField(
        User.objects.filter(is_active=True).order_by("email"), required=False, widget=UnfoldAdminSelectWidget
    )

    class Meta:
        model = Tenant
        fields = ("slug", "name", "timezone")

    def clean(self) -> dict[str, Any]:
        """A prepaid tenant has no credit line."""
        values = super().clean() or {}
        if values.get("mode") == Wallet.Mode.PREPAID and values.get("credit_limit"):
            self.add_error("credit_limit", "A prepaid tenant has no credit line: top it up.")
        return values


class ProjectInline(ReadOnlyInline):
    """The projects of a tenant."""

    model = Project
    fields = ("slug", "name", "is_active", "created_at")
    readonly_fields = fields


class ApiKeyInline(ReadOnlyInline):
    """The keys of a tenant: never their text, which nobody has."""

    model = ApiKey
    fields = ("public_id", "name", "project", "created_at", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = fields


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin):
    """The paying organisations."""

    list_display = ("slug", "name", "timezone", "is_active", "created_at", "calls_link")
    list_filter = ("is_active",)
    search_fields = ("slug", "name")
    ordering = ("slug",)
    inlines = (MembershipInline, ProjectInline, ApiKeyInline)

    def get_form(self, request: HttpRequest, obj: Tenant | None = None, change: bool = False, **kwargs: Any) -> Any:
        """A longer form for a new tenant."""
        if obj is None:
            kwargs["form"] = NewTenantForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        """What is asked, and what is shown."""
        if obj is None:
            fields: tuple[str, ...] = ("slug", "name", "timezone", "mode", "credit_limit", "owner")
        else:
            fields = ("slug", "name", "timezone", "disconnect_policy", "is_active", "calls_link")
            return ((None, {"fields": fields}), ("Invoices", {"fields": BILLED}))
        return ((None, {"fields": fields}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        """A slug is in links and in scripts: it stays."""
        return ("slug", "calls_link") if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Tenant | None) -> Any:
        """Nothing belongs to a tenant that is not there yet."""
        return self.inlines if obj else ()

    def write(self, request: HttpRequest, obj: Tenant, form: forms.ModelForm[Any], change: bool) -> None:
        """A new tenant is made by its verb, with wallet and project."""
        if change:
            obj.save()
            return
        made = tenancy.create_tenant(
            slug=obj.slug,
            name=obj.name,
            timezone=obj.timezone,
            owner=form.cleaned_data["owner"],
            mode=form.cleaned_data["mode"],
            credit_limit=form.cleaned_data["credit_limit"] or 0,
            now=now(),
        )
        obj.pk = made.pk
        obj._state.adding = False

    def tenant_of(self, obj: Tenant) -> Tenant:
        """The tenant sees what operators change about it."""
        return obj

    @admin.display(description="Calls")
    def calls_link(self, tenant: Tenant) -> str:
        """A link to its calls."""
        return format_html('<a href="{}">Calls</a>', reverse("admin:portal_tenant_calls", args=[tenant.pk]))

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the calls of a tenant."""
        view = self.admin_site.admin_view(self.calls)
        return [path("<int:tenant_id>/calls/", view, name="portal_tenant_calls"), *super().get_urls()]

    def calls(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Calls of one tenant, newest first: pages by key, so that no page counts or skips rows."""
        tenant = Tenant.objects.filter(pk=tenant_id).first()
        if tenant is None or not self.has_view_permission(request, tenant):
            raise Http404
        found = reports.calls(tenant_id=tenant.pk, before=_before(request), most=PAGE + 1)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Calls of {tenant.name}",
            "tenant": tenant,
            "calls": found[:PAGE],
            "next": found[PAGE - 1].id.hex if len(found) > PAGE else "",
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "admin/portal/tenant/calls.html", context)


def _before(request: HttpRequest) -> UUID | None:
    text = request.GET.get("before", "")
    if not text:
        return None
    try:
        return UUID(hex=text)
    except ValueError:
        raise Http404 from None
