"""Forms of the wallet page."""

from __future__ import annotations

from typing import Any

from django import forms

from billing.balance_alerts import MOST
from billing.money import MoneyProblem, parse_usd, usd
from billing.top_ups import MOST_PER_MONTH, Rule
from portal.forms import AmountField


class VoucherForm(forms.Form):
    """A code."""

    code = forms.CharField(
        label="Voucher code",
        max_length=100,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "XXXXX-XXXXX-XXXXX-XXXXX"}
        ),
    )


class TopUpRuleForm(forms.Form):
    """When the wallet fills itself."""

    threshold = AmountField(label="When less than this is left")
    amount = AmountField(label="Top up by")
    most_per_month = forms.IntegerField(
        label="At most so many times a month", min_value=1, max_value=MOST_PER_MONTH, initial=3
    )

    def rule(self) -> Rule:
        """What was typed, once valid."""
        return Rule(self.cleaned_data["threshold"], self.cleaned_data["amount"], self.cleaned_data["most_per_month"])


class AlertsForm(forms.Form):
    """Amounts left, as a list."""

    thresholds = forms.CharField(
        label="Amounts left, in US dollars",
        required=False,
        max_length=200,
        help_text=f"Such as 50, 20, 5. At most {MOST}; leave it empty for no alerts.",
        widget=forms.TextInput(attrs={"inputmode": "text", "autocomplete": "off"}),
    )

    def clean_thresholds(self) -> list[int]:
        """Picodollars."""
        try:
            return [
                parse_usd(each)
                for each in str(self.cleaned_data["thresholds"]).replace(",", " ").replace("$", " ").split()
            ]
        except MoneyProblem:
            raise forms.ValidationError("Enter amounts in US dollars such as 50, 20, 5.") from None


def shown_thresholds(thresholds: tuple[int, ...]) -> dict[str, Any]:
    """What the form of alerts starts with."""
    return {"thresholds": ", ".join(usd(each) for each in thresholds)}
