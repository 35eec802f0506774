"""Serializer fields of the API: money as text."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.money import MoneyProblem, parse_usd, usd


@extend_schema_field({"type": "string", "example": "5.00", "pattern": r"^\d{1,12}(\.\d{1,12})?$"})
class UsdField(serializers.Field[int, Any, str, Any]):
    """Picodollars inside, a decimal text in USD outside: a JSON number would be a float."""

    def to_internal_value(self, data: Any) -> int:
        """``"5.00"`` → picodollars."""
        if not isinstance(data, str):
            raise serializers.ValidationError('An amount is a text such as "5.00".')
        try:
            return parse_usd(data)
        except MoneyProblem as problem:
            raise serializers.ValidationError(f"{problem}.") from None

    def to_representation(self, value: Any) -> str:
        """Picodollars → exact decimal text."""
        return usd(int(value))
