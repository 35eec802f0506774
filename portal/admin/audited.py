"""What the operators' forms share: every save leaves an audit row, and nothing is deleted."""

from __future__ import annotations

from typing import Any

from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.timezone import now
from unfold.admin import ModelAdmin

from portal import audit
from portal.models import Tenant, User


class AuditedAdmin(ModelAdmin):  # type: ignore[misc]
    """A form whose saves are recorded, in their own transaction, with the names of the fields that changed."""

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        """Save, and record it. Subclasses that save by a verb override ``write``."""
        self.write(request, obj, form, change)
        action = f"{obj._meta.model_name}.{'change' if change else 'add'}"
        detail: dict[str, object] = {"fields": sorted(form.changed_data)}
        audit.record(
            tenant=self.tenant_of(obj),
            actor=actor_of(request),
            action=action,
            subject=str(obj),
            now=now(),
            detail=detail,
        )
        for pressed in self.get_actions_submit_line(request, obj.pk):
            if pressed.action_name in request.POST:
                pressed.method(request, obj)

    def write(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        """Store the row."""
        obj.save()

    def tenant_of(self, obj: Any) -> Tenant | None:
        """Whose audit log the change is in; None for the installation's."""
        return None

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Rows that money hangs on are disabled, not deleted."""
        return False


def actor_of(request: HttpRequest) -> User | None:
    """The operator."""
    return request.user if isinstance(request.user, User) else None
