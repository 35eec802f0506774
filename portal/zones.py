"""Time zone names as the database of the zoneinfo module knows them."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError


def valid_zone(name: str) -> None:
    """Refuse anything that is not an IANA zone name such as ``Europe/Paris``."""
    if name not in available_timezones():
        raise ValidationError(f"“{name[:64]}” is not a time zone name such as Europe/Paris.")
