"""Checks of JSON that operators type: rules of an upstream, capabilities of a model."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError

from proxy import rules

MOST_CHARACTERS = 20_000


def check_rules(value: Any) -> dict[str, Any]:
    """Rules that proxy/rules.py knows."""
    given = check_object(value)
    try:
        rules.check(given)
    except rules.RuleProblem as problem:
        raise ValidationError(str(problem)) from None
    return given


def check_object(value: Any) -> dict[str, Any]:
    """A JSON object of bounded size; an empty field is an empty object."""
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise ValidationError('Enter a JSON object such as {} or {"tools": true}.')
    if len(json.dumps(value)) > MOST_CHARACTERS:
        raise ValidationError(f"At most {MOST_CHARACTERS} characters.")
    return value
