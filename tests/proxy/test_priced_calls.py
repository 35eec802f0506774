"""Calls through the whole product on either side of a price's threshold, in and out of a service tier."""

from __future__ import annotations

import pytest

from tests.deadline import until
from tests.proxy.town import Town

pytestmark = pytest.mark.timeout(180)
NAME = "tiered"
VARIANTS = """
[[models.price.variants]]
above_tokens = 200
input = "3.00"
output = "9.00"

[[models.price.variants]]
service_tier = "flex"
input = "0.50"
output = "2.00"
"""


@pytest.fixture(scope="module")
def tiered(town: Town) -> str:
    """A key of a tenant, once the model is on sale."""
    text = town.product.model_toml("echo")
    town.apply(text.replace('name = "sandbox/echo"', f'name = "{NAME}"') + VARIANTS)
    key = town.key()
    until(lambda: town.fresh_get(f"/v1/models/{NAME}", key).status_code == 200)
    return key


def test_a_longer_prompt_is_charged_at_its_own_price_as_a_whole(town: Town, tiered: str) -> None:
    short = town.post(tiered, NAME, "word " * 10, max_tokens=5)
    long = town.post(tiered, NAME, "word " * 1000, max_tokens=5)
    first, second = (town.event(answer.headers["x-request-id"]) for answer in (short, long))
    assert first["input"] <= 200 < second["input"]
    assert first["cost"] == first["input"] * 10**6 + first["output"] * 4 * 10**6
    assert second["cost"] == second["input"] * 3 * 10**6 + second["output"] * 9 * 10**6
    assert first["price_id"] != second["price_id"]
    town.books()


def test_a_service_tier_without_a_price_is_refused(town: Town, tiered: str) -> None:
    refused = town.post(tiered, NAME, service_tier="priority")
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "service_tier"
    assert town.post(tiered, NAME, service_tier="default").status_code == 200


def test_the_models_page_shows_the_variants(town: Town, tiered: str) -> None:
    price = town.fresh_get(f"/v1/models/{NAME}", tiered).json()["price"]
    assert [(one["name"], one["input"]) for one in price["variants"]] == [("above-200", "3.00"), ("flex", "0.50")]


def test_a_call_is_charged_by_the_tier_that_answered_and_held_for_it(town: Town, tiered: str) -> None:
    answer = town.post(tiered, NAME, service_tier="flex", max_tokens=5)
    assert answer.json()["service_tier"] == "default"
    event = town.event(answer.headers["x-request-id"])
    assert event["cost"] == event["input"] * 10**6 + event["output"] * 4 * 10**6 <= event["hold"]
