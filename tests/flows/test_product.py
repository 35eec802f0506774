"""The running product that other tests build on: its commands, its processes, and how they are stopped and killed."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.deadline import until
from tests.product import Product

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def key(running: Product) -> str:
    running.apply_defaults()
    return str(running.issue_key()["key"])


def test_it_serves_the_sdk_and_the_sandbox_counts_the_same(running: Product, key: str) -> None:
    with running.client(key) as client:
        answer = client.chat.completions.create(
            model="sandbox/echo", messages=[{"role": "user", "content": "one two three"}]
        )
    assert answer.choices[0].message.content == "one two three"
    assert answer.usage is not None
    charges = running.sandbox.stats()
    assert charges["completion_tokens"] == answer.usage.completion_tokens
    assert charges["prompt_tokens"] == answer.usage.prompt_tokens


def test_it_replaces_a_killed_gateway_process(running: Product, key: str) -> None:
    killed = running.signal_worker(signal.SIGKILL)
    until(lambda: killed not in running.gateway_pids() and len(running.gateway_pids()) == 2, seconds=60)
    until(lambda: running.post(key).status_code == 200, seconds=30)


def test_it_comes_back_after_its_own_postgres_was_away(product: Callable[..., Product]) -> None:
    own = product(private=True)
    own.apply_defaults("echo")
    key = own.issue_key()["key"]
    assert own.post(key).status_code == 200
    own.postgres.stop()
    until(lambda: own.post(key).status_code == 503, seconds=60)
    own.postgres.start()
    until(lambda: own.post(key).status_code == 200, seconds=60)
