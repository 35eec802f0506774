"""The portal application."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The door for people."""

    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"
