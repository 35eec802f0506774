"""Forms to pay with."""

from __future__ import annotations

from typing import Any

from django import forms

from billing.money import MoneyProblem, format_minor, minor_digits, parse_minor


class TopUpForm(forms.Form):
    """How much to pay into the wallet, in the tenant's currency."""

    amount = forms.CharField(
        label="Amount", max_length=20, widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    )
    save_card = forms.BooleanField(
        label="Keep this card for automatic top-ups", required=False,
        help_text="Stripe keeps it; we see its last four digits. You can have it forgotten at any time.",
    )  # fmt: skip

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        field = self.fields["amount"]
        field.widget.attrs["placeholder"] = format_minor(50 * 10 ** minor_digits(currency), currency)
        field.widget.affix = currency if currency != "USD" else "$"

    def clean_amount(self) -> int:
        """Minor units, of at least one whole unit."""
        text = str(self.cleaned_data["amount"]).strip().removeprefix("$").strip()
        try:
            amount = parse_minor(text, self.currency)
        except MoneyProblem:
            example = format_minor(50 * 10 ** minor_digits(self.currency), self.currency)
            raise forms.ValidationError(f"Enter an amount in {self.currency} such as {example}.") from None
        if amount < 10 ** minor_digits(self.currency):
            raise forms.ValidationError(f"Pay at least 1 {self.currency}.")
        return amount
