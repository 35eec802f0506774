"""Worlds for tests of billing, in a transaction that is rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # models can be imported only once pytest_configure has set Django up
    from tests.billing.world import World


@pytest.fixture
def world(db: None) -> World:
    """A postpaid tenant in Paris with a credit line of 100 USD."""
    from tests.billing.world import World

    return World()


@pytest.fixture
def prepaid(db: None) -> World:
    """A prepaid tenant with 100 USD in its wallet."""
    from tests.billing.world import World

    return World(mode="prepaid")
