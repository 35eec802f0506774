"""Upstreams: address, time limits, and a credential that can be written but never read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import action
from unfold.widgets import UnfoldAdminPasswordWidget

from portal.admin.audited import AuditedAdmin
from proxy import credentials, upstream_check, upstreams
from proxy.addresses import AddressProblem, Unresolvable
from proxy.dialects import NAMES
from proxy.models import Upstream
from proxy.rules_form import check_rules


class UpstreamForm(forms.ModelForm):  # type: ignore[type-arg]
    """An upstream with its write-only credential."""

    credential = forms.CharField(
        required=False,
        strip=True,
        max_length=credentials.LONGEST_SECRET,
        label="API key",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}, render_value=False),
        help_text="Write-only. Leave it empty to keep the one that is stored; a new base URL forgets it.",
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

    def clean_credential(self) -> str:
        """Something that can be sent in a header."""
        secret: str = self.cleaned_data["credential"]
        if secret:
            try:
                credentials.check(secret)
            except credentials.CredentialProblem as problem:
                raise ValidationError(str(problem)) from None
        return secret


@admin.register(Upstream)
class UpstreamAdmin(AuditedAdmin):
    """Providers' endpoints."""

    form = UpstreamForm
    list_display = ("name", "dialect", "base_url", "is_active", "stored_credential")
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
        "stored_credential",
        "rules",
        ("connect_timeout_s", "first_byte_timeout_s"),
        ("idle_timeout_s", "total_timeout_s"),
        "disconnect_policy",
        "is_active",
    )
    readonly_fields = ("stored_credential",)

    @admin.display(description="Stored API key")
    def stored_credential(self, upstream: Upstream) -> str:
        """Its last characters, to tell one from another."""
        stored = upstream.credentials.filter(is_active=True).order_by("pk").first() if upstream.pk else None
        return "none" if stored is None else f"…{stored.last_four}"

    def write(self, request: HttpRequest, obj: Upstream, form: forms.ModelForm[Any], change: bool) -> None:
        """A changed address forgets the credential before a new one is stored."""
        secret = form.cleaned_data["credential"]
        before = Upstream.objects.filter(pk=obj.pk).first() if change else None
        if before is not None and before.base_url != obj.base_url:
            forgotten = upstreams.change_base_url(obj, obj.base_url)
            if forgotten and not secret:
                messages.warning(request, "The base URL changed, so the API key was forgotten: enter it again.")
        obj.save()
        if secret:
            upstreams.set_credential(upstream=obj, secret=secret)

    @action(description="Test this upstream")  # type: ignore[untyped-decorator]
    def test_this_upstream(self, request: HttpRequest, obj: Upstream) -> None:
        """Save, then ask the upstream for its models."""
        _tell(request, obj)

    @admin.action(description="Test the selected upstreams")
    def test_selected(self, request: HttpRequest, rows: QuerySet[Upstream]) -> None:
        """Ask each for its models, ten at most."""
        for upstream in rows.order_by("name")[:10]:
            _tell(request, upstream)


def _tell(request: HttpRequest, upstream: Upstream) -> None:
    answer = upstream_check.check(upstream)
    level = messages.SUCCESS if answer.good else messages.ERROR
    messages.add_message(request, level, f"{upstream.name}: {answer.words}")
