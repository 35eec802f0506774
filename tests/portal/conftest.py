"""The cast of the portal's tests, in a transaction that is rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # models can be imported only once pytest_configure has set Django up
    from tests.portal.cast import Cast


@pytest.fixture
def cast(db: None) -> Cast:
    """Two organisations and their people."""
    from tests.portal.cast import make_cast

    return make_cast()
