"""A page to look at, as told from the process that knows the database to the one that drives the browser."""

from __future__ import annotations

from dataclasses import dataclass

PASSWORD = "a gallery of pages"


@dataclass(frozen=True, slots=True)
class Picture:
    """Its file's name, its route, where it is, and who looks: an email address, empty for somebody not signed in."""

    name: str
    route: str
    address: str
    who: str
