"""Forms of the pages. They read what people type; the verbs decide and write. Fields nobody declared are ignored."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.db.models import QuerySet
from django.utils import timezone

from billing import money
from billing.models import Budget
from portal import organisation
from portal.api_keys import KeyLimits
from portal.limits import Limits
from portal.models import Project, Role, Tenant, User

MOST_RATE = 2**31 - 1
LAST_YEAR = 2200
RATE_WORDS = {
    "invalid": "Enter a whole number, or leave it empty for no limit.",
    "min_value": "Enter 1 or more, or leave it empty for no limit.",
    "max_value": f"Enter at most {MOST_RATE:,}.",
}
WINDOWS = (("month", "per month"), ("day", "per day"), ("lifetime", "in total"))


class AmountField(forms.CharField):
    """An amount in USD, read exactly as picodollars. ``5``, ``5.00``, ``$5.00`` and ``1,500.00`` are taken."""

    widget = forms.TextInput

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=30, **options)
        self.widget.attrs.update({"inputmode": "decimal", "autocomplete": "off", "placeholder": "0.00"})
        self.widget.affix = "$"  # type: ignore[attr-defined]  # read by templates/parts/field.html

    def clean(self, value: Any) -> Any:
        """Picodollars, or None when empty."""
        text = str(super().clean(value) or "").strip().removeprefix("$").strip()
        if not text:
            return None
        if _grouped(text):
            text = text.replace(",", "")
        try:
            return money.parse_usd(text)
        except money.MoneyProblem:
            raise forms.ValidationError("Enter an amount in US dollars such as 5.00.") from None

    def prepare_value(self, value: Any) -> Any:
        """Picodollars are shown as dollars; what was typed stays as typed."""
        return money.usd(value) if isinstance(value, int) else value


class LastDayField(forms.DateField):
    """The last day something may be used, read as the moment it ends: the next midnight of the page's time zone."""

    widget = forms.DateInput

    def __init__(self, **options: Any) -> None:
        super().__init__(label="Last day of use", required=False, **options)
        self.widget.input_type = "date"
        self.error_messages["invalid"] = "Enter a date such as 2026-12-31."

    def clean(self, value: Any) -> datetime | None:
        """An aware moment, or None when empty."""
        day = super().clean(value)
        if day is None:
            return None
        if day < timezone.localdate() or day.year > LAST_YEAR:
            raise forms.ValidationError("Choose today or a later day, or leave it empty.")
        following = day + timedelta(days=1)
        return datetime(following.year, following.month, following.day, tzinfo=timezone.get_current_timezone())


def rate_field(label: str, help_text: str = "") -> forms.IntegerField:
    """A rate: a whole number from 1 on, or empty for no limit."""
    field = forms.IntegerField(
        label=label,
        help_text=help_text,
        required=False,
        min_value=1,
        max_value=MOST_RATE,
        error_messages=RATE_WORDS,
    )
    field.widget.attrs.update({"placeholder": "No limit", "inputmode": "numeric"})
    return field


def zone_choices() -> list[tuple[str, str]]:
    """IANA zone names, UTC first."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/")))
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class TenantForm(forms.Form):
    """A new organisation."""

    name = forms.CharField(
        label="Name of your organisation",
        max_length=200,
        error_messages={"required": "Give your organisation a name."},
        widget=forms.TextInput(attrs={"autocomplete": "organization", "autofocus": True, "placeholder": "Acme GmbH"}),
    )
    timezone = forms.ChoiceField(
        label="Time zone",
        choices=zone_choices,
        initial="UTC",
        help_text="Days, months and invoices begin at midnight here.",
    )


class TenantSettingsForm(TenantForm):
    """What an organisation's owner may change about it."""

    address = forms.CharField(
        label="Address on invoices",
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "street-address"}),
    )
    country = forms.RegexField(
        r"^[A-Za-z]{2}$",
        label="Country",
        required=False,
        help_text="Two letters, such as DE. VAT depends on it.",
        error_messages={"invalid": "Enter the two letters of a country, such as DE."},
        widget=forms.TextInput(attrs={"maxlength": 2, "autocomplete": "country", "placeholder": "DE"}),
    )
    vat_id = forms.CharField(
        label="VAT id",
        required=False,
        max_length=30,
        help_text="Of a business in another country of the EU: reverse charge.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    language = forms.ChoiceField(label="Language of invoices", choices=Tenant.Language.choices)
    billing_email = forms.EmailField(
        label="Email address for invoices",
        required=False,
        help_text="Reminders go there; without one, to owners and finance members.",
    )

    def clean_country(self) -> str:
        """Capital letters."""
        return str(self.cleaned_data["country"]).upper()

    def save(self, *, tenant: Tenant, actor: User, now: datetime) -> None:
        """Store what was typed; raises TenancyProblem."""
        typed = dict(self.cleaned_data)
        name, zone = typed.pop("name"), typed.pop("timezone")
        organisation.change_tenant(
            tenant=tenant, name=name, timezone=zone, billed=organisation.Billed(**typed), actor=actor, now=now
        )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["name"].label = "Name"
        self.fields["name"].widget.attrs.pop("autofocus", None)


class PersonForm(forms.Form):
    """A person's own name."""

    name = forms.CharField(
        label="Your name",
        required=False,
        max_length=150,
        help_text="Members of your organisations see it.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )


class KeyForm(forms.Form):
    """A new API key with its limits."""

    name = forms.CharField(
        label="Name",
        max_length=100,
        error_messages={"required": "Give the key a name, so that you know later what uses it."},
        widget=forms.TextInput(attrs={"placeholder": "Website chatbot", "autocomplete": "off", "autofocus": True}),
    )
    project = forms.ModelChoiceField(
        queryset=Project.objects.none(), to_field_name="slug", empty_label=None, label="Project"
    )
    models = forms.MultipleChoiceField(
        label="Models",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Tick none to allow every model, also ones added later.",
    )
    budget = AmountField(label="Budget", required=False, help_text="Calls that could go past it are refused.")
    window = forms.ChoiceField(label="Budget is", choices=WINDOWS, initial="month")
    requests_per_minute = rate_field("Requests per minute")
    tokens_per_minute = rate_field("Tokens per minute")
    concurrency = rate_field("Calls at once")
    expires_on = LastDayField(help_text="The key stops at the end of this day.")

    def __init__(self, *args: Any, projects: QuerySet[Project], models: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]
        self.fields["project"].initial = projects.first()
        self.fields["models"].choices = [(name, name) for name in models]  # type: ignore[attr-defined]

    def limits(self) -> KeyLimits:
        """What was typed, for the verb."""
        typed = self.cleaned_data
        return KeyLimits(
            models=tuple(typed["models"]) or None,
            requests_per_minute=typed["requests_per_minute"],
            tokens_per_minute=typed["tokens_per_minute"],
            concurrency=typed["concurrency"],
            budget=typed["budget"],
            window=typed["window"],
            expires_at=typed["expires_on"],
        )


class RotateForm(forms.Form):
    """How long the old key goes on."""

    OVERLAPS = (("0", "Stop it now"), ("1", "1 hour"), ("24", "1 day"), ("168", "7 days"), ("720", "30 days"))

    overlap = forms.ChoiceField(
        label="The old key goes on for",
        choices=OVERLAPS,
        initial="24",
        help_text="Long enough to put the new key everywhere. Both count against the same limits.",
    )

    def hours(self) -> timedelta:
        """The overlap as a duration."""
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class RevokeForm(forms.Form):
    """Whether calls that run now are cut."""

    cut_streams = forms.ChoiceField(
        label="Answers that are being streamed right now",
        widget=forms.RadioSelect,
        initial="no",
        choices=(("no", "Let them finish"), ("yes", "Cut them within a second")),
    )

    def cut(self) -> bool:
        """Whether to cut."""
        return bool(self.cleaned_data["cut_streams"] == "yes")


class LimitsForm(forms.Form):
    """Rates and budgets of a tenant, a project or a key."""

    month = AmountField(label="Budget per month", required=False)
    day = AmountField(label="Budget per day", required=False)
    lifetime = AmountField(label="Budget in total", required=False)
    requests_per_minute = rate_field("Requests per minute")
    tokens_per_minute = rate_field("Tokens per minute")
    concurrency = rate_field("Calls at once")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in Budget.Window.values:
            self.fields[name].widget.attrs["placeholder"] = "No limit"

    def limits(self) -> Limits:
        """What was typed, for the verb."""
        return Limits(**self.cleaned_data)


class ProjectForm(forms.Form):
    """A project's name."""

    name = forms.CharField(
        label="Name",
        max_length=200,
        error_messages={"required": "Give the project a name."},
        widget=forms.TextInput(attrs={"placeholder": "Customer support", "autocomplete": "off"}),
    )


ROLE_WORDS = {
    Role.OWNER: "Owner: everything",
    Role.ADMIN: "Admin: keys, projects, limits, members",
    Role.DEVELOPER: "Developer: keys and usage",
    Role.FINANCE: "Finance: usage, limits and invoices",
}


class RoleForm(forms.Form):
    """A member's role. Only owners are offered the owner's."""

    role = forms.ChoiceField(label="Role")

    def __init__(self, *args: Any, by_owner: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        offered = [role for role in Role if by_owner or role != Role.OWNER]
        self.fields["role"].choices = [(role.value, ROLE_WORDS[role]) for role in offered]  # type: ignore[attr-defined]


class InviteForm(RoleForm):
    """An e-mail address to invite."""

    email = forms.EmailField(
        label="Email address",
        error_messages={"required": "Whom do you want to invite?", "invalid": "That is not an email address."},
        widget=forms.EmailInput(attrs={"placeholder": "ana@example.com", "autocomplete": "off"}),
    )
    field_order = ["email", "role"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["role"].initial = Role.DEVELOPER.value


class TokenForm(forms.Form):
    """A token of the management API."""

    name = forms.CharField(
        label="Name",
        max_length=100,
        error_messages={"required": "Give the token a name, so that you know later what uses it."},
        widget=forms.TextInput(attrs={"placeholder": "Terraform", "autocomplete": "off"}),
    )
    expires_on = LastDayField(help_text="The token stops at the end of this day.")


def _grouped(text: str) -> bool:
    """Whether commas separate thousands: ``1,500.00`` yes, ``5,00`` no."""
    whole, *groups = text.partition(".")[0].split(",")
    return bool(groups) and 1 <= len(whole) <= 3 and all(len(group) == 3 for group in groups)


class MonthForm(forms.Form):
    """Which month to invoice: the running one or one of the twelve before."""

    MONTHS_BACK = 12

    month = forms.ChoiceField(label="Month")

    def __init__(self, *args: Any, today: str, **options: Any) -> None:
        super().__init__(*args, **options)
        year, number = map(int, today.split("-"))
        months = [divmod(year * 12 + number - 1 - back, 12) for back in range(self.MONTHS_BACK + 1)]
        labels = [f"{year:04d}-{place + 1:02d}" for year, place in months]
        self.fields["month"].choices = [  # type: ignore[attr-defined]
            (label, f"{label} (running)" if label == today else label) for label in labels
        ]
