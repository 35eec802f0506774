"""Slugs made from names. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection


def slug_of(name: str, *, otherwise: str) -> str:
    """A slug of at most 50 characters: ``Acme GmbH`` → ``acme-gmbh``; ``otherwise`` where nothing of a name is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-") or otherwise


def first_free(slug: str, taken: Collection[str]) -> str:
    """The slug, or with the first number that makes it free: ``acme-gmbh``, ``acme-gmbh-2``, …"""
    number, free = 1, slug
    while free in taken:
        number += 1
        free = f"{slug}-{number}"
    return free
