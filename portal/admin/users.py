"""People."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from billing.admin import ReadOnlyInline
from portal.admin.audited import AuditedAdmin
from portal.models import Membership, User

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(AuditedAdmin):
    """Permissions that several operators share."""

    list_display = ("name",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "permissions")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """No money hangs on a group."""
        return bool(ModelAdmin.has_delete_permission(self, request, obj))


class MembershipInline(ReadOnlyInline):
    """The tenants a user is in, or the members of a tenant."""

    model = Membership
    fields = ("tenant", "user", "role", "created_at")
    readonly_fields = fields


@admin.register(User)
class UserAdmin(AuditedAdmin):
    """Users by e-mail address. A new one has no password: they set it by “forgot password”."""

    list_display = ("email", "name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    ordering = ("email",)
    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "groups", "joined_at", "last_login")
    inlines = (MembershipInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only a superuser makes staff; nobody changes an address somebody signs in with."""
        fixed: tuple[str, ...] = ("joined_at", "last_login")
        if obj is not None:
            fixed += ("email",)
        if not getattr(request.user, "is_superuser", False):
            fixed += ("is_staff", "is_superuser", "groups")
        return fixed

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Staff who are no superusers cannot touch those who are."""
        if obj is not None and obj.is_superuser and not getattr(request.user, "is_superuser", False):
            return False
        return bool(super().has_change_permission(request, obj))

    def write(self, request: HttpRequest, obj: User, form: ModelForm[Any], change: bool) -> None:
        """A new user starts without a password."""
        if not change:
            obj.email = User.objects.normalize_email(obj.email).lower()
            obj.set_unusable_password()
        obj.save()
