"""Checks of JSON that operators type: rules of an upstream, capabilities of a model."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError

MOST_CHARACTERS = 20_000


def check_rules(value: Any) -> dict[str, Any]:
    """A JSON object of bounded size; an empty field is an empty object."""
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise ValidationError('Enter a JSON object such as {} or {"tools": true}.')
    if len(json.dumps(value)) > MOST_CHARACTERS:
        raise ValidationError(f"At most {MOST_CHARACTERS} characters.")
    return value
