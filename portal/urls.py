"""Where each page lives."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from portal import health, stripe_webhook

urlpatterns = [
    path("healthz", health.alive, name="healthz"),
    path(settings.ADMIN_PATH.lstrip("/"), admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("manage/api/v1/", include("portal.api.urls")),
    path("webhooks/stripe", stripe_webhook.stripe_webhook, name="stripe_webhook"),
    *(path("", include(module)) for module in settings.PAGE_MODULES),
]
