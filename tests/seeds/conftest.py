"""One running product that sells what the pages name; its count is checked after every test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.clients import nodejs
from tests.conftest import SERVERS
from tests.product import Product
from tests.seeds.pages import Market

collect_ignore = [] if nodejs.PRESENT else ["test_fetch_in_node.py"]


@pytest.fixture(scope="session")
def market() -> Iterator[Market]:
    """Two gateway processes and a sandbox."""
    yield from open_market({})


@pytest.fixture(scope="session")
def key(market: Market) -> str:
    """A key without limits of its own."""
    return market.key()


@pytest.fixture(scope="session")
def api(market: Market, key: str) -> Iterator[httpx.Client]:
    """HTTP with the key."""
    yield from open_client(market, key)


@pytest.fixture(autouse=True)
def count(market: Market) -> Iterator[None]:
    """After each test, tokens and money agree with the sandbox's own count."""
    yield
    market.check_count()


def open_market(variables: dict[str, str]) -> Iterator[Market]:
    """A market with settings, for as long as it is used."""
    settings = {"TOLLGATE_ALLOW_PRIVATE_UPSTREAMS": "1", **variables}
    product = Product(SERVERS, SERVERS.new_folder(), workers=2, variables=settings)
    try:
        market = Market(product.start())
        try:
            yield market.furnish()
        finally:
            market.close()
    finally:
        product.stop()


def open_client(market: Market, key: str) -> Iterator[httpx.Client]:
    """HTTP with a key, for as long as it is used."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=market.product.web_url, headers=headers, timeout=30) as client:
        yield client
