"""Forms of the webhook pages."""

from __future__ import annotations

from datetime import timedelta

from django import forms

from billing.models import MessageKind, WebhookDelivery
from billing.webhooks import addresses, endpoints
from billing.webhooks.endpoints import Wish

KIND_WORDS = {
    MessageKind.BUDGET_THRESHOLD: "A budget reached 50, 80 or 100 %",
    MessageKind.WALLET_LOW: "The balance fell below an alert’s amount",
    MessageKind.TOP_UP_STOPPED: "The automatic top-up stopped",
    MessageKind.INVOICE_FINALISED: "An invoice or credit note was issued",
    MessageKind.INVOICE_PAID: "An invoice was paid",
    MessageKind.INVOICE_OVERDUE: "An invoice is overdue",
    MessageKind.KEY_EXPIRING: "An API key expires in 7 days, and in one",
    MessageKind.KEY_EXPIRED: "An API key expired",
}


class EndpointForm(forms.Form):
    """Where to send which messages."""

    url = forms.CharField(
        label="URL",
        max_length=addresses.LONGEST,
        widget=forms.URLInput(attrs={"placeholder": "https://hooks.example.com/tollgate", "autocomplete": "off"}),
        help_text="Messages are sent here by POST. It answers with any 2xx status within 15 seconds.",
    )
    name = forms.CharField(
        label="Name", max_length=endpoints.LONGEST_NAME, required=False, help_text="For yourself, such as “ERP”."
    )
    kinds = forms.MultipleChoiceField(
        label="Messages",
        choices=[(kind, KIND_WORDS[MessageKind(kind)]) for kind in endpoints.CHOICES],
        widget=forms.CheckboxSelectMultiple,
        initial=list(endpoints.CHOICES),
        error_messages={"required": "Choose one or more."},
    )

    def wish(self) -> Wish:
        """What was entered."""
        values = self.cleaned_data
        return Wish(values["url"].strip(), tuple(values["kinds"]), values["name"])


class RotateSecretForm(forms.Form):
    """How long the old secret goes on."""

    overlap = forms.ChoiceField(
        label="The old secret goes on for",
        choices=(("0", "Stop it now"), ("1", "1 hour"), ("24", "1 day"), ("168", "7 days")),
        initial="24",
        help_text="Until then each message is signed with both, so that either verifies.",
    )

    def hours(self) -> timedelta:
        """The overlap as a duration."""
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class ResendForm(forms.Form):
    """How far back to send failed messages again."""

    since = forms.ChoiceField(
        label="Failed in the last",
        choices=(("1", "hour"), ("24", "day"), ("168", "7 days"), ("720", "30 days")),
        initial="168",
    )

    def hours(self) -> timedelta:
        """How far back."""
        return timedelta(hours=int(self.cleaned_data["since"]))


class LogForm(forms.Form):
    """Which messages to list."""

    status = forms.ChoiceField(label="State", required=False, choices=(("", "All"), *WebhookDelivery.Status.choices))
    endpoint = forms.ChoiceField(label="Endpoint", required=False)

    def __init__(self, data: object, *, choices: list[tuple[str, str]]) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        field = self.fields["endpoint"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "All"), *choices]
