"""The billing application."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """The counting-house."""

    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"
