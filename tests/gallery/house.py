"""The product with the demonstration in it, on servers of its own, for as long as somebody looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from portal.environment import ROOT
from tests.gallery.picture import PASSWORD, Picture
from tests.product import Product
from tests.servers import TestServers

STORY_SECONDS = 400
SELLER = {
    "TOLLGATE_SELLER_NAME": "Tollgate GmbH", "TOLLGATE_SELLER_ADDRESS": "Hafenstraße 1\\n20457 Hamburg",
    "TOLLGATE_SELLER_COUNTRY": "DE", "TOLLGATE_SELLER_VAT_ID": "DE136695976",
    "TOLLGATE_SELLER_EMAIL": "ar@tollgate.example", "TOLLGATE_SELLER_IBAN": "DE89370400440532013000",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class House:
    """The running product and its pages."""

    url: str
    pictures: tuple[Picture, ...]
    password: str = PASSWORD


@contextmanager
def house(servers: TestServers, folder: Path) -> Iterator[House]:
    """Start the product without jobs, which would mend what is shown, and tell the demonstration into it."""
    product = Product(servers, folder, variables=SELLER)
    try:
        product.start()
        yield House(product.web_url, _told(product))
    finally:
        product.stop()


def _told(product: Product) -> tuple[Picture, ...]:
    variables = {**os.environ, **product.variables, "TOLLGATE_ROLE": "operator"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.gallery.story", product.sandbox.url],
        cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=STORY_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"The demonstration failed:\n{done.stdout[-2_000:]}\n{done.stderr[-6_000:]}")
    return tuple(Picture(**one) for one in json.loads(done.stdout.splitlines()[-1]))
