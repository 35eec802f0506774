"""The audit log, read-only."""

from __future__ import annotations

from django.contrib import admin

from billing.admin import ReadOnlyAdmin
from portal.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what with privilege, newest first."""

    list_display = ("at", "actor", "action", "subject", "tenant")
    list_select_related = ("actor", "tenant")
    search_fields = ("subject", "action", "tenant__slug", "actor__email")
    ordering = ("-id",)
