"""Worlds for tests of billing, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # models can be imported only once pytest_configure has set Django up
    from tests.billing.receiver import Receiver
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


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A tenant's own system on this machine, which messages may be sent to."""
    from tests.billing.receiver import Receiver

    settings.ALLOW_PRIVATE_WEBHOOKS = True
    one = Receiver()
    yield one
    one.close()
