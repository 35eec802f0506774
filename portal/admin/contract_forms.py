"""The forms of a contract: its amounts and times, and its rules as people write them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.utils import pretty_name
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing import contract_months, tier_texts
from billing.contract_sums import FreeTerms, TierTerms
from billing.meters import TOKEN_CLASSES
from billing.models import FreeTokens, Terms, TierRule
from billing.tiers import TierProblem
from portal.admin.money_fields import UsdField

CLASSES = [("", "all"), *((name, name.replace("_", " ")) for name in TOKEN_CLASSES)]


class TermsForm(forms.ModelForm):  # type: ignore[type-arg]
    """The whole of a contract but its rules."""

    minimum_usd = UsdField(
        required=False, label="Minimum a month (USD)", help_text="What a month costs at least, used or not."
    )
    free_usd = UsdField(
        required=False, label="Free amount a month (USD)", help_text="Taken off what is used, after tiers and tokens."
    )

    class Meta:
        model = Terms
        fields = ("tenant", "effective_from", "effective_to", "note")
        help_texts = {
            "effective_from": "In UTC, on a quarter of an hour; best where a month of the tenant begins.",
            "effective_to": "Empty: until other terms begin, or these are ended.",
            "note": "The tenant sees it, such as the contract's number.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial.update(minimum_usd=int(self.instance.minimum), free_usd=int(self.instance.free_amount))


class EndForm(forms.ModelForm):  # type: ignore[type-arg]
    """Terms of which a month is closed can only be ended."""

    class Meta:
        model = Terms
        fields = ("effective_to",)


class UsageForm(forms.ModelForm):  # type: ignore[type-arg]
    """Which usage a rule is about."""

    pattern = forms.CharField(
        max_length=200, initial="*", label="Models", widget=UnfoldAdminTextInputWidget, help_text="gpt-4o*, or *"
    )
    token_class = forms.ChoiceField(required=False, choices=CLASSES, widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():  # the head of a column is no label to those who do not see it
            field.widget.attrs["aria-label"] = str(field.label or pretty_name(name))


class TierRuleForm(UsageForm):
    """Tiers as text."""

    mode = forms.ChoiceField(choices=TierRule.Mode.choices, widget=UnfoldAdminSelectWidget)
    unit = forms.ChoiceField(
        choices=[("tokens", "tokens, USD per 1M"), ("usd", "USD, per cent off")], widget=UnfoldAdminSelectWidget
    )
    tiers = forms.CharField(
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "0: 2.50\n1M: 2.00"}),
        help_text="A line each: where it begins, a colon, its price.",
    )

    class Meta:
        model = TierRule
        fields = ("pattern", "token_class", "mode", "unit")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["tiers"] = said_tiers(self.instance)

    def clean(self) -> dict[str, Any]:
        """The tiers, read."""
        values = super().clean() or {}
        if not self.errors:
            try:
                tiers = tier_texts.parse(values["tiers"], mode=values["mode"], unit=values["unit"])
            except TierProblem as problem:
                self.add_error("tiers", str(problem))
            else:
                values["rule"] = TierTerms(values["pattern"].strip(), values["token_class"], values["unit"], tiers)
        return values


class FreeTokensForm(UsageForm):
    """Tokens as people write them."""

    amount = forms.CharField(max_length=40, label="Tokens a month", widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = FreeTokens
        fields = ("pattern", "token_class")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["amount"] = f"{self.instance.tokens:,}"

    def clean(self) -> dict[str, Any]:
        """The number, read."""
        values = super().clean() or {}
        if not self.errors:
            try:
                tokens = tier_texts.count(values["amount"])
            except TierProblem as problem:
                self.add_error("amount", str(problem))
            else:
                values["rule"] = FreeTerms(values["pattern"].strip(), values["token_class"], tokens)
        return values


def said_tiers(rule: TierRule) -> str:
    """Stored tiers as they are typed."""
    return tier_texts.said(contract_months.tiers_of(rule).tiers, rule.unit)
