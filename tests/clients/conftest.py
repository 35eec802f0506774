"""One running product for all clients, whose count is checked after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import nodejs
from tests.clients.shop import Shop, spoken
from tests.conftest import SERVERS
from tests.product import Product

collect_ignore = [] if nodejs.PRESENT else ["test_openai_node.py", "test_vercel_ai.py"]


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    """Two gateway processes and a sandbox; bodies up to 6 MB."""
    variables = {"TOLLGATE_MAX_BODY_MB": "6", "TOLLGATE_ALLOW_PRIVATE_UPSTREAMS": "1"}
    product = Product(SERVERS, SERVERS.new_folder(), workers=2, variables=variables)
    try:
        shop = Shop(product.start())
        try:
            yield shop.furnish()
        finally:
            shop.close()
    finally:
        product.stop()


@pytest.fixture(scope="session")
def key(shop: Shop) -> str:
    """A key without limits of its own."""
    return shop.key()


@pytest.fixture(params=spoken())
def dialect(request: pytest.FixtureRequest) -> str:
    """Every dialect in turn."""
    return str(request.param)


@pytest.fixture(autouse=True)
def count(shop: Shop) -> Iterator[None]:
    """After each test, tokens and money agree with the sandbox's own count."""
    yield
    shop.check_count()
