"""The proxy application."""

from django.apps import AppConfig


class ProxyConfig(AppConfig):
    """The door for machines."""

    name = "proxy"
    default_auto_field = "django.db.models.BigAutoField"
