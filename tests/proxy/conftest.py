"""One running product for all tests of the gateway that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import SERVERS
from tests.product import Product
from tests.proxy.gallery import Gallery
from tests.proxy.town import Town


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Two gateway processes and a sandbox; bodies up to 1 MB, that arrive within 5 s."""
    variables = {"TOLLGATE_MAX_BODY_MB": "1", "TOLLGATE_BODY_S": "5", "TOLLGATE_ALLOW_PRIVATE_UPSTREAMS": "1"}
    product = Product(SERVERS, tmp_path_factory.mktemp("town"), workers=2, variables=variables)
    try:
        product.start()
        town = Town(product)
        try:
            yield town.furnish()
        finally:
            town.close()
    finally:
        product.stop()


@pytest.fixture(scope="session")
def key(town: Town) -> str:
    """A key without limits of its own."""
    return town.key()


@pytest.fixture(scope="session")
def gallery(town: Town) -> Iterator[Gallery]:
    """The town with Gemini's models, embeddings and images for sale."""
    gallery = Gallery(town)
    try:
        yield gallery.furnish()
    finally:
        gallery.close()
