"""Form fields for money: USD as plain decimals in, picodollars out."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.money import PICO_PER_USD, MoneyProblem, parse_price, parse_usd, usd


class UsdField(forms.CharField):
    """An amount in USD such as 25.00."""

    widget = UnfoldAdminTextInputWidget

    def to_python(self, value: Any) -> Any:
        """Picodollars, or None if empty."""
        text = super().to_python(value)
        return _parsed(text, per_million=False)

    def prepare_value(self, value: Any) -> Any:
        """Picodollars as text; what was typed stays as typed."""
        return usd(int(value)) if isinstance(value, int) else value


class PriceField(forms.CharField):
    """A price in USD per 1M tokens such as 0.15."""

    widget = UnfoldAdminTextInputWidget

    def to_python(self, value: Any) -> Any:
        """Picodollars per token, or None if empty."""
        text = super().to_python(value)
        return _parsed(text, per_million=True)

    def prepare_value(self, value: Any) -> Any:
        """Picodollars per token as USD per 1M; what was typed stays as typed."""
        return usd(value * (PICO_PER_USD // 10**6)) if isinstance(value, int) else value


def _parsed(text: str | None, *, per_million: bool) -> int | None:
    if not text:
        return None
    try:
        return parse_price(text) if per_million else parse_usd(text)
    except MoneyProblem as problem:
        raise forms.ValidationError(f"{problem}.") from None
