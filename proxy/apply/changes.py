"""What an apply changed, as lines for people: ``+ model gpt-4o-mini``, ``~ price …: input 0.15 → 0.20``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing.price_sheets import Sheet


class ApplyProblem(Exception):
    """Something stored stands against the document; the message names file, table and field."""


class Changes:
    """The lines, in the order things happened."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []
        self.proposed: list[tuple[Sheet, datetime | None]] = []
        """Prices that wait for a second operator, with their start."""

    def made(self, what: str) -> None:
        """Something new."""
        self.lines.append(f"+ {what}")

    def changed(self, what: str, detail: str) -> None:
        """Something is different now."""
        self.lines.append(f"~ {what}: {detail}")

    def removed(self, what: str) -> None:
        """Something is gone."""
        self.lines.append(f"- {what}")

    def noted(self, what: str) -> None:
        """Nothing changed, but somebody should know."""
        self.lines.append(f"! {what}")

    def problem(self, title: str, field: str, message: object) -> ApplyProblem:
        """The error to raise, in the words of the document's own errors."""
        return ApplyProblem(": ".join(part for part in (self.file, title, field, str(message)) if part))


def assign(row: Any, settings: Mapping[str, Any]) -> list[str]:
    """Set the columns that differ on a row; returns them as ``name old → new`` and leaves saving to the caller."""
    told = []
    for name, value in settings.items():
        before = getattr(row, name)
        if before != value:
            setattr(row, name, value)
            told.append(f"{name} {before} → {value}")
    return told
