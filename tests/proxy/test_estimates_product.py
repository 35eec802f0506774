"""Estimates in a running product: learned from calls, used where the upstream says nothing, shown to operators."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from portal.environment import ROOT
from tests.conftest import SERVERS
from tests.deadline import until
from tests.product import Product
from tests.proxy.town import Town, bearer

pytestmark = pytest.mark.timeout(180)

LEARN = (
    "import django; django.setup(); from datetime import UTC, datetime, timedelta; from proxy import learning; "
    "print(learning.learn(now=datetime.now(UTC), lag=timedelta(0)))"
)
WORDS = "wonderful elephants remember everything " * 15
SHIFTY = """
[[models]]
name = "shifty"
context_window = 128000
max_output_tokens = 4096
routes = [{ upstream = "sandbox", model = "sandbox/echo", priority = 1, weight = 1 }]
[models.price]
input = "1.00"
output = "4.00"
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town of this module's own: what is learned here must not change what others are told."""
    variables = {"TOLLGATE_MAX_BODY_MB": "1", "TOLLGATE_ALLOW_PRIVATE_UPSTREAMS": "1"}
    product = Product(SERVERS, tmp_path_factory.mktemp("learners"), variables=variables)
    try:
        town = Town(product.start()).furnish()
        town.apply(SHIFTY)
        yield town
        town.close()
    finally:
        product.stop()


def learn(town: Town) -> int:
    """Run the job at once; returns how many calls it read."""
    environment = {**town.product._environment("operator"), "DJANGO_SETTINGS_MODULE": "portal.settings"}
    done = subprocess.run(
        [sys.executable, "-c", LEARN],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def call(town: Town, key: str, model: str, **fields: Any) -> dict[str, Any]:
    """One call, and its event when it has ended."""
    answer = town.post(key, model, **fields)
    assert answer.status_code == 200, answer.text
    return town.event(answer.headers["x-request-id"])


def turn_to(town: Town, kind: str) -> None:
    """Let the model ``shifty`` be another one of the sandbox, and wait until the gateways know."""
    town.apply(SHIFTY.replace("sandbox/echo", f"sandbox/{kind}"))


def estimate(town: Town, key: str, text: str) -> dict[str, Any]:
    body = {"model": "shifty", "messages": [{"role": "user", "content": text}]}
    answer = town.http.post("/v1/estimate", json=body, headers=bearer(key))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_it_learns_the_size_of_tokens_and_estimates_by_it(town: Town) -> None:
    key = town.key()
    texts = [WORDS + f" number {n}" * (n % 4) for n in range(40)]
    exact = [call(town, key, "shifty", text=text, stream=bool(n % 2)) for n, text in enumerate(texts)]
    assert {event["basis"] for event in exact} == {"exact"}
    assert learn(town) >= 40
    assert learn(town) == 0  # from each call once

    sums = {name: sum(event[name] for event in exact) for name in ("input_bytes", "prompt_tokens", "output_bytes")}
    (row,) = town.product.query(
        "SELECT input_factor, output_factor, input_samples, output_samples, input_errors, usual_output "
        "FROM proxy_modelestimate e JOIN proxy_model m ON m.id = e.model_id WHERE m.name = 'shifty'"
    )
    said = sum(event["completion_tokens"] for event in exact)
    assert row[0] == sums["input_bytes"] * 1000 // sums["prompt_tokens"]
    assert row[1] == sums["output_bytes"] * 1000 // said
    assert row[0] > 5_000  # not the four bytes that a token usually has
    assert row[2:4] == (40, 40)
    first = exact[0]
    off = abs(first["input_estimate"] - first["prompt_tokens"]) * 1000 // first["prompt_tokens"]
    assert row[4][0] == off > 200

    until(lambda: estimate(town, key, WORDS)["output_tokens"]["expected"] == row[5])
    turn_to(town, "no-usage")
    for stream in (False, True):
        silent = until(partial(silent_call, town, key, stream))
        assert silent is not None
        assert silent["input"] == pytest.approx(first["prompt_tokens"], rel=0.05)
        assert silent["output"] == pytest.approx(first["completion_tokens"], rel=0.05)
        assert silent["input_estimate"] == silent["input"]


def silent_call(town: Town, key: str, stream: bool) -> dict[str, Any] | None:
    event = call(town, key, "shifty", text=WORDS, stream=stream)
    return event if event["basis"] == "estimated" else None


def test_a_model_of_a_known_vocabulary_is_counted_in_it(town: Town) -> None:
    town.apply(SHIFTY.replace('"shifty"', '"gpt-4o-silent"').replace("sandbox/echo", "sandbox/no-usage"))
    key = town.key()
    event = call(town, key, "gpt-4o-silent", text="The quick brown fox jumps over the lazy dog.")
    assert (event["basis"], event["input"], event["output"]) == ("estimated", 10 + 1 + 3 + 3, 10)
    body = {"model": "gpt-4o-silent", "messages": [{"role": "user", "content": "Hello, world!"}], "max_tokens": 5}
    counted = town.http.post("/v1/messages/count_tokens", json=body, headers=bearer(key))
    assert counted.json() == {"input_tokens": 4 + 1 + 3 + 3}


def test_a_picture_in_the_request_is_no_text(town: Town) -> None:
    key = town.key()
    url = "data:image/png;base64," + base64.b64encode(bytes(400_000)).decode()
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = town.http.post(
        "/v1/chat/completions",
        json={"model": "sandbox/no-usage", "messages": [{"role": "user", "content": parts}]},
        headers=bearer(key),
    )
    event = town.event(answer.headers["x-request-id"])
    assert event["basis"] == "estimated"
    assert event["input_bytes"] > 500_000
    assert event["input"] < 1_000


def test_a_small_move_is_learned_and_told_to_nobody(town: Town) -> None:
    """Gateways load the whole catalog anew when a factor changes, so it must not change with every call."""
    key = town.key()
    for _ in range(25):
        call(town, key, "sandbox/echo", text=WORDS)
    learn(town)
    with psycopg.connect(town.product.database_url, autocommit=True) as connection:
        connection.execute("LISTEN tollgate")
        for _ in range(3):
            call(town, key, "sandbox/echo", text=WORDS)
        assert learn(town) >= 3
        assert "catalog" not in [notice.payload for notice in connection.notifies(timeout=0.2)]
        for _ in range(25):
            call(town, key, "sandbox/echo", text="é" * 400)
        assert learn(town) >= 25
        assert "catalog" in [notice.payload for notice in connection.notifies(timeout=5, stop_after=1)]
