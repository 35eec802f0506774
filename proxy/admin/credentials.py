"""The credentials of an upstream: added, replaced, disabled, tested and removed one by one, and never shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.timezone import now
from unfold.decorators import action
from unfold.widgets import UnfoldAdminPasswordWidget

from portal import audit
from portal.admin.audited import AuditedAdmin, actor_of
from proxy import credentials, upstream_check, upstreams
from proxy.models import Credential, Finding, Upstream

NONE_ACTIVE = "No credential of {} is active now: no call goes to it until one is enabled or added."
NONE_LEFT = "{} has no credential now: calls to it carry none."


@dataclass(frozen=True, slots=True)
class Row:
    """A credential as its upstream's page shows it, with the newest refusal of its secret."""

    credential: Credential
    refusal: Finding | None

    @property
    def is_refused(self) -> bool:
        """Whether nobody has taken note of the refusal yet."""
        return self.refusal is not None and self.refusal.state == Finding.State.OPEN


def rows(upstream: Upstream) -> list[Row]:
    """Every credential, oldest first: the order in which they are taken in turn."""
    return [Row(one, upstreams.last_refusal(one)) for one in upstream.credentials.order_by("pk")]


def secret_field(*, required: bool = False, label: str = "API key", help_text: str = "") -> forms.CharField:
    """A field for a secret: what is in it is never sent back."""
    return forms.CharField(
        required=required,
        strip=True,
        max_length=credentials.LONGEST_SECRET,
        label=label,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}, render_value=False),
        help_text=help_text,
        validators=[check_secret],
    )


def check_secret(secret: str) -> None:
    """Something that can be sent in a header."""
    try:
        credentials.check(secret)
    except credentials.CredentialProblem as problem:
        raise ValidationError(str(problem)) from None


class NewCredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    """A name and a secret for one more credential of ``upstream``, which the admin sets."""

    upstream: Upstream
    secret = secret_field(required=True, help_text="Write-only: it is encrypted, and never shown again.")

    class Meta:
        model = Credential
        fields = ("name",)
        help_texts = {"name": "To tell it from the others: a–z, 0–9 and hyphens. It stays as it is."}

    def clean_name(self) -> str:
        """One that no other credential of the upstream has."""
        name: str = self.cleaned_data["name"]
        if self.upstream.credentials.filter(name=name).exists():
            raise ValidationError(f"{self.upstream} has a credential of this name. Open it to replace its API key.")
        return name


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    """Another secret, or none; and whether it is used."""

    secret = secret_field(label="New API key", help_text="Write-only. Leave it empty to keep the one that is stored.")

    class Meta:
        model = Credential
        fields = ("is_active",)
        help_texts = {"is_active": "Calls never use a disabled credential; it can be enabled again."}


@admin.register(Credential)
class CredentialAdmin(AuditedAdmin):
    """Reached from the page of an upstream alone."""

    actions_submit_line = ("test_this_credential",)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """In no menu: a credential is looked for where its upstream is."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the button beside each credential."""
        view = self.admin_site.admin_view(self.test)
        return [path("<int:credential_id>/test/", view, name="proxy_credential_test"), *super().get_urls()]

    def get_form(self, request: HttpRequest, obj: Credential | None = None, change: bool = False, **kwargs: Any) -> Any:
        """For a new one, of the upstream in the address; or for the one that is there."""
        kwargs["form"] = NewCredentialForm if obj is None else CredentialForm
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None:
            form.upstream = _upstream(request)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Credential | None = None) -> Any:
        """What is asked, and what is shown."""
        if obj is None:
            return ((None, {"fields": ("name", "secret")}),)
        return ((None, {"fields": ("upstream", "stored", "refused", "secret", "is_active")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Credential | None = None) -> tuple[str, ...]:
        """What a credential is of, and what is known of it."""
        return ("upstream", "stored", "refused") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """No money hangs on a credential."""
        return bool(request.user.has_perm("proxy.delete_credential"))

    @admin.display(description="Stored API key")
    def stored(self, credential: Credential) -> str:
        """Its last characters, and since when it is this one."""
        return f"{credential.shown}, entered {credential.sealed_at:%Y-%m-%d %H:%M} UTC"

    @admin.display(description="Last refused")
    def refused(self, credential: Credential) -> str:
        """By the upstream, as calls met it."""
        found = upstreams.last_refusal(credential)
        return "not since it was entered" if found is None else f"{found.seen_at:%Y-%m-%d %H:%M} UTC ({found.after})"

    def write(self, request: HttpRequest, obj: Credential, form: forms.ModelForm[Any], change: bool) -> None:
        """Seal and store it, or disable or enable it, by the verbs."""
        secret = form.cleaned_data["secret"]
        if not change:
            obj.upstream = form.upstream  # type: ignore[attr-defined]
            stored = upstreams.set_credential(upstream=obj.upstream, name=obj.name, secret=secret)
            obj.pk = stored.pk if stored else None
            obj._state.adding = False
            obj.refresh_from_db()
            return
        stored = Credential.objects.get(pk=obj.pk)
        if secret:
            upstreams.set_credential(upstream=stored.upstream, name=stored.name, secret=secret, is_active=obj.is_active)
        else:
            upstreams.set_active(stored, obj.is_active)
        obj.refresh_from_db()
        if not obj.upstream.credentials.filter(is_active=True).exists():
            messages.warning(request, NONE_ACTIVE.format(obj.upstream))

    @action(description="Save and test")  # type: ignore[untyped-decorator]
    def test_this_credential(self, request: HttpRequest, obj: Credential) -> None:
        """Save, then ask the upstream for its models with this credential."""
        tell(request, f"{obj.upstream}, credential {obj.shown}", upstream_check.check(obj.upstream, obj))

    def test(self, request: HttpRequest, credential_id: int) -> HttpResponse:
        """The button beside a credential: ask the upstream with it."""
        credential = Credential.objects.select_related("upstream").filter(pk=credential_id).first()
        if credential is None or request.method != "POST":
            raise Http404
        if not self.has_change_permission(request, credential):
            raise PermissionDenied
        self.test_this_credential(request, credential)
        return _back(credential.upstream_id)

    def delete_model(self, request: HttpRequest, obj: Credential) -> None:
        """Forget it, and record that in the same transaction."""
        upstream, subject = obj.upstream, str(obj)
        with transaction.atomic():
            upstreams.remove_credential(obj)
            audit.record(tenant=None, actor=actor_of(request), action="credential.remove", subject=subject, now=now())
        if not upstream.credentials.exists():
            messages.warning(request, NONE_LEFT.format(upstream))
        elif not upstream.credentials.filter(is_active=True).exists():
            messages.warning(request, NONE_ACTIVE.format(upstream))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The question whether to remove it, with what that would do; then back to the list it was in."""
        credential = self.get_object(request, object_id)
        told = {"consequence": _consequence(credential)} if credential else {}
        answer: HttpResponse = super().delete_view(request, object_id, {**(extra_context or {}), **told})
        if credential is not None and isinstance(answer, HttpResponseRedirect):
            return _back(credential.upstream_id)
        return answer

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A form that leads back to its upstream, and is not there without one."""
        if object_id is None and self.has_add_permission(request) and _upstream(request) is None:
            messages.info(request, "A credential is added on the page of its upstream.")
            return self.changelist_view(request)
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        context = {**(extra_context or {}), **buttons}
        answer: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return answer

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """They are listed with their upstreams."""
        return HttpResponseRedirect(reverse("admin:proxy_upstream_changelist"))

    def response_post_save_add(self, request: HttpRequest, obj: Credential) -> HttpResponseRedirect:
        """Back to the list it is in."""
        return _back(obj.upstream_id)

    def response_post_save_change(self, request: HttpRequest, obj: Credential) -> HttpResponseRedirect:
        """Back to the list it is in."""
        return _back(obj.upstream_id)


def tell(request: HttpRequest, name: str, answer: upstream_check.Answer) -> None:
    """Show what came of a test."""
    messages.add_message(request, messages.SUCCESS if answer.good else messages.ERROR, f"{name}: {answer.words}")


def _consequence(credential: Credential) -> str:
    """What removing a credential does, in plain words."""
    others = credential.upstream.credentials.exclude(pk=credential.pk)
    name = credential.upstream.name
    if others.filter(is_active=True).exists():
        return f"Calls to {name} go on with its other credentials. The API key cannot be brought back."
    if others.exists():
        return f"The other credentials of {name} are disabled: no call goes to it until one is enabled or added."
    return (
        f"This is the only credential of {name}: calls to it will carry none, and fail where it wants one. "
        "Disable it instead if no call is to go there. The API key cannot be brought back."
    )


def _upstream(request: HttpRequest) -> Upstream | None:
    """The one that the address names."""
    asked = request.GET.get("upstream", "")
    return Upstream.objects.filter(pk=int(asked)).first() if asked.isdecimal() and len(asked) < 19 else None


def _back(upstream_id: int) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:proxy_upstream_change", args=[upstream_id]))
