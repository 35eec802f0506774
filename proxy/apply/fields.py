"""Strict reading of one TOML table: every field has one type, and what nobody asked for is an error. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from billing.money import MoneyProblem, parse_price, parse_usd

_MISSING = object()


class Problems:
    """What is wrong with a document: one line each, naming file, table and field."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []

    def add(self, table: str, field: str, message: str) -> None:
        """Note a problem; ``field`` may be empty when the table as a whole is wrong."""
        self.lines.append(": ".join(part for part in (self.file, table, field, message) if part))


class Fields:
    """One table. Each reading method takes a field's name and gives its value, or None if missing or wrong."""

    def __init__(self, table: dict[str, Any], title: str, problems: Problems) -> None:
        self.title = title
        self.problems = problems
        self._left = dict(table)

    def text(self, name: str, *, required: bool = False, most: int = 500) -> str | None:
        """A text of 1 to ``most`` characters, none of them a control character."""
        value = self._take(name, required=required)
        if value is _MISSING:
            return None
        if not isinstance(value, str):
            self.wrong(name, "must be a text in quotes")
            return None
        if not 0 < len(value) <= most or not value.replace("\n", "").isprintable():
            self.wrong(name, f"must have 1 to {most} printable characters")
            return None
        return value

    def matching(self, name: str, pattern: re.Pattern[str], message: str, *, required: bool = False) -> str | None:
        """A text of a shape."""
        value = self.text(name, required=required)
        if value is not None and not pattern.search(value):
            self.wrong(name, message)
            return None
        return value

    def choice(self, name: str, choices: tuple[str, ...], *, required: bool = False) -> str | None:
        """One of some texts."""
        value = self.text(name, required=required)
        if value is not None and value not in choices:
            self.wrong(name, f"must be one of {', '.join(choices)}")
            return None
        return value

    def whole(self, name: str, *, least: int, most: int, required: bool = False) -> int | None:
        """A whole number in a range."""
        value = self._take(name, required=required)
        if value is _MISSING:
            return None
        if type(value) is not int or not least <= value <= most:
            self.wrong(name, f"must be a whole number from {least} to {most}")
            return None
        return value

    def flag(self, name: str) -> bool | None:
        """true or false."""
        value = self._take(name)
        if value is _MISSING:
            return None
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
            return None
        return value

    def usd(self, name: str, *, required: bool = False) -> int | None:
        """An amount in USD as a text such as "50.00", in picodollars."""
        return self._amount(name, required=required, per_million=False)

    def price(self, name: str) -> int | None:
        """A price in USD per 1M tokens as a text such as "0.15", in picodollars per token."""
        return self._amount(name, required=False, per_million=True)

    def moment(self, name: str) -> datetime | None:
        """A point in time with its offset."""
        value = self._take(name)
        if value is _MISSING:
            return None
        if not isinstance(value, datetime) or value.tzinfo is None:
            self.wrong(name, "must be a time with its offset, such as 2026-12-01T00:00:00Z")
            return None
        return value

    def texts(self, name: str, pattern: re.Pattern[str], message: str) -> tuple[str, ...] | None:
        """A list of texts of a shape, without repetition."""
        value = self._take(name)
        if value is _MISSING:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self.wrong(name, "must be a list of texts")
            return None
        for one in value:
            if not pattern.search(one):
                self.wrong(name, f"{one[:64]!r}: {message}")
                return None
        if len(set(value)) < len(value):
            self.wrong(name, "names something twice")
            return None
        return tuple(value)

    def table(self, name: str) -> dict[str, Any] | None:
        """A table, as it stands."""
        value = self._take(name)
        if value is _MISSING:
            return None
        if not isinstance(value, dict):
            self.wrong(name, "must be a table")
            return None
        return value

    def tables(self, name: str) -> list[dict[str, Any]] | None:
        """A list of tables."""
        value = self._take(name)
        if value is _MISSING:
            return None
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.wrong(name, "must be a list of tables")
            return None
        return value

    def finish(self) -> None:
        """Call last: whatever was not read is unknown."""
        for name in self._left:
            self.wrong(name[:64], "is not a known field")

    def wrong(self, name: str, message: str) -> None:
        """Note a problem of a field."""
        self.problems.add(self.title, name, message)

    def _amount(self, name: str, *, required: bool, per_million: bool) -> int | None:
        value = self._take(name, required=required)
        if value is _MISSING:
            return None
        if not isinstance(value, str):
            self.wrong(name, 'must be an amount in quotes, such as "0.15": a bare number would be rounded')
            return None
        try:
            return parse_price(value) if per_million else parse_usd(value)
        except MoneyProblem as error:
            self.wrong(name, str(error))
            return None

    def _take(self, name: str, *, required: bool = False) -> Any:
        value = self._left.pop(name, _MISSING)
        if value is _MISSING and required:
            self.wrong(name, "is missing")
        return value
