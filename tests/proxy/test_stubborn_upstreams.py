"""Upstreams that say more than they may, or what nobody can read: nobody pays for what was never allowed unawares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deadline import until
from tests.proxy.stubborn import DONE, Stubborn, chunk, whole
from tests.proxy.town import Town

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stubborn() -> Iterator[Stubborn]:
    upstream = Stubborn()
    yield upstream
    upstream.close()


def ready(town: Town, key: str, model: str) -> str:
    """The model, once every gateway process sells it."""
    until(lambda: all(town.fresh_get(f"/v1/models/{model}", key).status_code == 200 for _ in range(8)))
    return model


@pytest.mark.parametrize("stream", [False, True])
def test_an_estimate_is_never_more_than_the_output_limit(
    town: Town, key: str, stubborn: Stubborn, stream: bool
) -> None:
    text = [chunk(""), chunk("x" * 900), chunk(None, "stop"), DONE]
    model = stubborn.offer(town, f"untold-{stream}", lambda asked: text if asked else [whole("x" * 9000)], limit=20)
    answer = town.post(key, ready(town, key, model), stream=stream, n=2)
    event = town.event(answer.headers["x-request-id"])
    assert (event["basis"], event["output"]) == ("estimated", 40)
    assert event["cost"] <= event["hold"]
