"""Filters of the usage page and of the list of calls, read from the query string."""

from __future__ import annotations

from typing import Any

from django import forms

from portal.readings import Names

FIRST_YEAR, LAST_YEAR = 2000, 2200


class FilterForm(forms.Form):
    """Filters in a query string. What cannot be read is as if it were not there: pages show, they don't refuse."""

    model = forms.ChoiceField(label="Model", required=False)
    key = forms.ChoiceField(label="Key", required=False)
    project = forms.ChoiceField(label="Project", required=False)

    def __init__(self, *args: Any, names: Names, models: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._offer("model", "All models", [(name, name) for name in models])
        keys = [(key.public_id, key.name or str(key)) for key in names.keys.values()]
        projects = [(project.slug, project.name) for project in names.projects.values()]
        self._offer("key", "All keys", sorted(keys, key=lambda pair: pair[1].lower()))
        self._offer("project", "All projects", sorted(projects, key=lambda pair: pair[1].lower()))

    def _offer(self, name: str, everything: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = [("", everything), *choices]  # type: ignore[attr-defined]


class UsageFilterForm(FilterForm):
    """Which days of usage to show, and how."""

    SPANS = (
        ("7", "Last 7 days"),
        ("30", "Last 30 days"),
        ("month", "This month"),
        ("last_month", "Last month"),
        ("90", "Last 90 days"),
        ("custom", "From … to …"),
    )
    MOST_DAYS = 366

    span = forms.ChoiceField(label="Days", choices=SPANS, required=False)
    first = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    by = forms.ChoiceField(
        label="Table by",
        required=False,
        choices=(("day", "Day"), ("model", "Model"), ("api_key", "Key"), ("project", "Project")),
    )
    measure = forms.ChoiceField(
        label="Chart of", required=False, choices=(("cost", "Cost"), ("tokens", "Tokens"), ("calls", "Calls"))
    )
    field_order = ["span", "first", "last", "model", "key", "project", "by", "measure"]

    def clean(self) -> dict[str, Any]:
        """From before to, and a year at most."""
        typed = super().clean() or {}
        first, last = typed.get("first"), typed.get("last")
        if typed.get("span") == "custom" and not (first and last):
            self.add_error("first" if not first else "last", "Choose a first and a last day.")
        for name, day in (("first", first), ("last", last)):
            if day and not FIRST_YEAR <= day.year <= LAST_YEAR:
                self.add_error(name, f"Choose a day from {FIRST_YEAR} to {LAST_YEAR}.")
        if first and last and first > last:
            self.add_error("last", "The last day is before the first one.")
        elif first and last and (last - first).days >= self.MOST_DAYS:
            self.add_error("last", f"Choose at most {self.MOST_DAYS} days.")
        return typed


class CallFilterForm(FilterForm):
    """Which calls to list."""

    state = forms.ChoiceField(
        label="Status",
        required=False,
        choices=(("", "All"), ("settled", "Settled"), ("open", "Running"), ("voided", "Voided"), ("failed", "Failed")),
    )
