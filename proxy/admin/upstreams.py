"""Upstreams: address, time limits, and credentials that can be written but never read."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from portal.admin.audited import AuditedAdmin
from proxy import upstream_check, upstreams
from proxy.addresses import AddressProblem, Unresolvable
from proxy.admin.credentials import rows, secret_field, tell
from proxy.dialects import NAMES
from proxy.models import Upstream
from proxy.rules_form import check_rules

SHOWN = 3


class UpstreamForm(forms.ModelForm):  # type: ignore[type-arg]
    """An upstream with its write-only credential."""

    credential = secret_field(
        help_text="Write-only, stored as the credential “default”. Leave it empty to keep what is stored; "
        "a new base URL forgets every credential."
    )

    class Meta:
        model = Upstream
        fields = (
            "name",
            "dialect",
            "base_url",
            "rules",
            "connect_timeout_s",
            "first_byte_timeout_s",
            "idle_timeout_s",
            "total_timeout_s",
            "disconnect_policy",
            "is_active",
        )

    def clean_dialect(self) -> str:
        """A dialect the gateway speaks."""
        name: str = self.cleaned_data["dialect"]
        if name not in NAMES:
            raise ValidationError(f"A dialect is one of {', '.join(sorted(NAMES))}.")
        return name

    def clean_base_url(self) -> str:
        """An address this installation may call."""
        url: str = self.cleaned_data["base_url"]
        try:
            upstreams.check_address(url)
        except Unresolvable:
            return url  # checked again whenever it is connected to; the test button says so too
        except AddressProblem as problem:
            raise ValidationError(str(problem)) from None
        return url

    def clean_rules(self) -> dict[str, Any]:
        """An object, small."""
        return check_rules(self.cleaned_data["rules"])


@admin.register(Upstream)
class UpstreamAdmin(AuditedAdmin):
    """Providers' endpoints."""

    form = UpstreamForm
    list_display = ("name", "dialect", "base_url", "is_active", "stored_credentials")
    list_filter = ("is_active", "dialect")
    search_fields = ("name", "base_url")
    ordering = ("name",)
    actions = ("test_selected",)
    actions_submit_line = ("test_this_upstream",)
    fields = (
        "name",
        "dialect",
        "base_url",
        "credential",
        "rules",
        ("connect_timeout_s", "first_byte_timeout_s"),
        ("idle_timeout_s", "total_timeout_s"),
        "disconnect_policy",
        "is_active",
    )
    change_form_outer_before_template = "admin/proxy/upstream/credentials.html"

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("proxy/credentials.css",)}

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The form, and the credentials above it: what was done to one is said there."""
        upstream = self.get_object(request, object_id)
        context = {
            **(extra_context or {}),
            "credential_rows": rows(upstream) if upstream else [],
            "may_add_credential": request.user.has_perm("proxy.add_credential"),
            "may_change_credential": request.user.has_perm("proxy.change_credential"),
            "may_remove_credential": request.user.has_perm("proxy.delete_credential"),
        }
        answer: HttpResponse = super().change_view(request, object_id, form_url, context)
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upstream]:
        """With their credentials, for the list."""
        found: QuerySet[Upstream] = super().get_queryset(request)
        return found.prefetch_related("credentials")

    @admin.display(description="Credentials")
    def stored_credentials(self, upstream: Upstream) -> str:
        """What calls have to go out with."""
        stored = sorted(upstream.credentials.all(), key=lambda one: one.pk)
        if not stored:
            return "none: calls carry none"
        active = [one.shown for one in stored if one.is_active]
        if not active:
            return "all disabled: not called"
        return ", ".join(active[:SHOWN]) + (f" and {len(active) - SHOWN} more" if len(active) > SHOWN else "")

    def write(self, request: HttpRequest, obj: Upstream, form: forms.ModelForm[Any], change: bool) -> None:
        """A changed address forgets the credential before a new one is stored."""
        secret = form.cleaned_data["credential"]
        before = Upstream.objects.filter(pk=obj.pk).first() if change else None
        if before is not None and before.base_url != obj.base_url:
            forgotten = upstreams.change_base_url(obj, obj.base_url)
            if forgotten and not secret:
                what = "the API key was" if forgotten == 1 else f"{forgotten} credentials were"
                messages.warning(request, f"The base URL changed, so {what} forgotten: add them again.")
        obj.save()
        if secret:
            upstreams.set_credential(upstream=obj, secret=secret)

    @action(description="Test this upstream")  # type: ignore[untyped-decorator]
    def test_this_upstream(self, request: HttpRequest, obj: Upstream) -> None:
        """Save, then ask the upstream for its models, with each active credential."""
        _tell(request, obj)

    @admin.action(description="Test the selected upstreams")
    def test_selected(self, request: HttpRequest, rows: QuerySet[Upstream]) -> None:
        """Ask each for its models, ten at most."""
        for upstream in rows.order_by("name")[:10]:
            _tell(request, upstream)


def _tell(request: HttpRequest, upstream: Upstream) -> None:
    for name, answer in upstream_check.check_all(upstream):
        tell(request, name, answer)
