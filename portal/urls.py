"""Where each page lives."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from portal import health

urlpatterns = [
    path("healthz", health.alive, name="healthz"),
    path(settings.ADMIN_PATH.lstrip("/"), admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("manage/api/v1/", include("portal.api.urls")),
    *(path("", include(module)) for module in settings.PAGE_MODULES),
]
