"""Edits while calls run: prices, models, routes, budgets and revocations, as every gateway process follows them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.deadline import until
from tests.proxy.town import Town, bearer, body, chunks, tenant_toml, text_of

pytestmark = pytest.mark.timeout(180)
#: What an edit may take to reach every process, and what the test itself takes to look, on a busy machine.
PROMISED, LOOKING = 1.0, 1.0


class Connections:
    """Kept connections, enough to reach every process with one look at each."""

    def __init__(self, town: Town, stack: ExitStack) -> None:
        self.clients = [stack.enter_context(httpx.Client(base_url=town.product.web_url)) for _ in range(12)]

    def statuses(self, path: str, key: str) -> set[int]:
        return {client.get(path, headers=bearer(key)).status_code for client in self.clients}


@pytest.fixture
def connections(town: Town) -> Iterator[Connections]:
    with ExitStack() as stack:
        yield Connections(town, stack)


def test_a_revoked_key_is_refused_everywhere_within_a_second(town: Town, connections: Connections) -> None:
    lags = []
    for _ in range(3):
        issued = town.issue()
        assert connections.statuses("/v1/models", issued["key"]) == {200}
        told = json.loads(town.control.manage("revoke_key", issued["id"], "--json"))
        begun = time.monotonic()
        assert told["changed"]
        until(lambda key=issued["key"]: connections.statuses("/v1/models", key) == {401})  # type: ignore[misc]
        lags.append(time.monotonic() - begun)
    assert min(lags) < PROMISED
    assert max(lags) < PROMISED + LOOKING


@pytest.mark.parametrize("cut", [False, True])
def test_running_streams_of_a_revoked_key_end_only_when_asked(town: Town, cut: bool) -> None:
    issued = town.issue()
    sent = body("sandbox/paced-3000x2" if cut else "sandbox/paced-400x10", stream=True)
    with ExitStack() as stack:
        answers = [
            stack.enter_context(
                httpx.stream("POST", f"{town.product.base_url}/chat/completions", json=sent,
                             headers=bearer(issued["key"]), timeout=60)
            )
            for _ in range(6)
        ]  # fmt: skip
        town.control.manage("revoke_key", issued["id"], *(["--cut-streams"] if cut else []))
        texts = ["".join(answer.iter_text()) for answer in answers]
    for answer, text in zip(answers, texts, strict=True):
        event = town.event(answer.headers["x-request-id"])
        assert event["state"] == "settled"
        if cut:
            assert chunks(text)[-1]["error"]["code"] == "invalid_api_key"
            assert "[DONE]" not in text
            assert event["basis"] == "estimated"
            assert 1 <= event["output"] < 3000
        else:
            assert text.endswith("data: [DONE]\n\n")
            assert (event["basis"], event["output"]) == ("exact", 400)


def model_toml(town: Town, name: str, output: str, kind: str = "echo", upstream: str = "sandbox") -> str:
    text = town.product.model_toml(kind, upstream).replace(f'name = "sandbox/{kind}"', f'name = "{name}"')
    return text.replace('output = "4.00"', f'output = "{output}"')


def test_a_new_model_is_sold_within_a_second(town: Town, key: str, connections: Connections) -> None:
    town.apply(model_toml(town, "brand-new", "4.00"))
    begun = time.monotonic()
    until(lambda: connections.statuses("/v1/models/brand-new", key) == {200})
    assert time.monotonic() - begun < PROMISED + LOOKING


def test_a_stream_keeps_the_price_it_was_admitted_at(town: Town, key: str, connections: Connections) -> None:
    town.apply(model_toml(town, "repriced", "4.00", "paced-400x10"))
    until(lambda: connections.statuses("/v1/models/repriced", key) == {200})
    sent = body("repriced", stream=True)
    url = f"{town.product.base_url}/chat/completions"
    with httpx.stream("POST", url, json=sent, headers=bearer(key), timeout=60) as old:
        old_id = old.headers["x-request-id"]
        town.apply(model_toml(town, "repriced", "8.00", "paced-400x10"))

        def priced() -> set[str]:
            answers = [client.get("/v1/models/repriced", headers=bearer(key)) for client in connections.clients]
            return {answer.json()["price"]["output"] for answer in answers}

        until(lambda: priced() == {"8.00"})
        assert text_of(chunks("".join(old.iter_text())))
    new = httpx.post(url, json=body("repriced", max_tokens=10), headers=bearer(key), timeout=30)
    before, after = town.event(old_id), town.event(new.headers["x-request-id"])
    assert before["cost"] == before["input"] * 10**6 + before["output"] * 4 * 10**6
    assert after["cost"] == after["input"] * 10**6 + after["output"] * 8 * 10**6
    assert before["price_id"] != after["price_id"]


def test_a_budget_binds_the_next_admission(town: Town, connections: Connections) -> None:
    slug = town.tenant()
    key = town.key(tenant=slug)
    assert town.post(key).status_code == 200
    town.apply(tenant_toml(slug, monthly_budget="0.000001"))
    until(lambda: all(town_post(town, key).status_code == 429 for _ in range(8)))
    town.apply(tenant_toml(slug, monthly_budget="100"))
    until(lambda: all(town_post(town, key).status_code == 200 for _ in range(8)))


def town_post(town: Town, key: str) -> httpx.Response:
    return httpx.post(f"{town.product.base_url}/chat/completions", json=body(), headers=bearer(key), timeout=30)


# -- routes


def routed(name: str, *routes: tuple[str, str, int]) -> str:
    lines = [f'{{ upstream = "{u}", model = "sandbox/{kind}", priority = {p}, weight = 1 }}' for u, kind, p in routes]
    head = f'[[models]]\nname = "{name}"\ncontext_window = 128000\nmax_output_tokens = 4096\n'
    return f'{head}routes = [{", ".join(lines)}]\n[models.price]\ninput = "1.00"\noutput = "4.00"\n'


def earn_retries(town: Town, key: str, number: int) -> None:
    """Retries are a tenth of calls."""
    for _ in range(10 * number):
        assert town.post(key).status_code == 200


FAILING = [
    ("nowhere", "echo"),
    *(("sandbox", kind) for kind in ("401", "500", "503", "html200", "error200", "redirect")),
]


@pytest.mark.parametrize("first", FAILING, ids="-".join)
@pytest.mark.parametrize("stream", [False, True])
def test_it_falls_back_before_the_first_byte(town: Town, key: str, first: tuple[str, str], stream: bool) -> None:
    name = f"fallback-{'-'.join(first)}-{stream}".lower()
    town.apply(routed(name, (*first, 1), ("sandbox", "echo", 2)))
    until(lambda: all(town.fresh_get(f"/v1/models/{name}", key).status_code == 200 for _ in range(8)))
    earn_retries(town, key, 1)
    answer = town.post(key, name, text="a b", stream=stream)
    assert answer.status_code == 200
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["basis"], event["attempts"], event["upstream_model"]) == (
        "settled", "exact", 2, "sandbox/echo",
    )  # fmt: skip
    assert answer.headers["x-tollgate-attempts"] == "2"
    assert event["completion_tokens"] == 2


@pytest.mark.parametrize("kind", ["400", "timeout", "drop-3"])
def test_it_does_not_fall_back_where_a_retry_cannot_help_or_could_pay_twice(town: Town, key: str, kind: str) -> None:
    town.apply(routed(f"nofallback-{kind}", ("sandbox", kind, 1), ("sandbox", "echo", 2)))
    until(lambda: all(town.fresh_get(f"/v1/models/nofallback-{kind}", key).status_code == 200 for _ in range(8)))
    answer = town.post(key, f"nofallback-{kind}", text="a b c d e f")
    assert answer.status_code >= 400
    event, charge = town.event(answer.headers["x-request-id"]), town.charge(answer.headers["x-request-id"])
    assert charge is not None
    assert (event["state"], event["cost"], event["attempts"], charge["attempts"]) == ("voided", 0, 1, 1)


def test_it_leaves_a_route_that_keeps_failing(town: Town, key: str) -> None:
    town.apply(routed("breaking", ("sandbox", "500", 1), ("sandbox", "echo", 2)))
    until(lambda: all(town.fresh_get("/v1/models/breaking", key).status_code == 200 for _ in range(8)))
    earn_retries(town, key, 6)
    answers: list[Any] = []

    def left() -> bool:
        answers.append(town.post(key, "breaking"))
        last = [(answer.status_code, answer.headers.get("x-tollgate-attempts")) for answer in answers[-3:]]
        return last == [(200, "1")] * 3

    until(left)
