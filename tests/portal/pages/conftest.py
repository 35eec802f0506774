"""Fixtures of the page tests. Models are imported inside: this file is read before Django is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.portal.pages.cast import Cast


@pytest.fixture
def cast(db: None) -> Cast:
    """Alice's Acme with members of every role, and Charlie's organisation."""
    from django.core.cache import cache

    from tests.portal.pages.cast import make

    cache.clear()  # sign-in is throttled by address, and all tests have the same one
    return make()
