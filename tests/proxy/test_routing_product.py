"""Failover in the running product: over credentials, routes and fallback models, as callers and operators see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.deadline import until
from tests.product import Product
from tests.proxy.town import Town, bearer, body, chunks, text_of

FALLBACK = """
[[upstreams]]
name = "gone"
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "upstream-secret"
[[models]]
name = "{first}"
context_window = 128000
max_output_tokens = 4096
fallbacks = ["{other}"]
routes = [{{ upstream = "gone", model = "{first}", priority = 1, weight = 1 }}]
[models.price]
input = "1.00"
output = "4.00"
[[models]]
name = "{other}"
context_window = 128000
max_output_tokens = 4096
routes = [{{ upstream = "sandbox", model = "sandbox/echo", priority = 1, weight = 1 }}]
[models.price]
input = "3.00"
output = "7.00"
"""


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_answers_and_is_what_is_billed(town: Town, stream: bool) -> None:
    first, other = f"falls-{stream}".lower(), f"catches-{stream}".lower()
    key = town.key()
    town.apply(FALLBACK.format(first=first, other=other))
    until(lambda: all(town.fresh_get(f"/v1/models/{first}", key).status_code == 200 for _ in range(8)))

    answer = town.post(key, first, "a b c", stream=stream)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollgate-upstream"] == "sandbox"
    assert answer.headers["x-tollgate-model"] == "sandbox/echo"
    assert answer.headers["x-tollgate-attempts"] == "2"
    said = text_of(chunks(answer.text)) if stream else answer.json()["choices"][0]["message"]["content"]
    assert said == "a b c"
    event = town.event(answer.headers["x-request-id"])
    assert (event["model"], event["requested_model"], event["attempts"]) == (other, first, 2)
    assert event["cost"] == event["input"] * 3_000_000 + event["output"] * 7_000_000
    identifier = answer.headers["x-request-id"]
    receipt = httpx.get(f"{town.product.base_url}/receipts/{identifier}", headers=bearer(key)).json()
    assert (receipt["model"], receipt["upstream"], receipt["upstream_model"]) == (other, "sandbox", "sandbox/echo")
    assert receipt["attempts"] == 2


def test_failing_calls_leave_the_fallbacks_of_other_models_alone(town: Town) -> None:
    town.apply(FALLBACK.format(first="falls-late", other="catches-late"))
    town.apply(routes("failing", ("500", "html", "error200")))
    key = town.key()
    until(lambda: all(town.fresh_get(f"/v1/models/{name}", key).is_success for name in ("falls-late", "failing")))
    town.parallel(30, key, "failing")
    answers = town.parallel(8, key, "falls-late", text="a b c")
    assert [answer.status_code for answer in answers] == [200] * 8, answers[0].text


def test_a_fallback_outside_the_keys_list_is_not_called(town: Town) -> None:
    town.apply(FALLBACK.format(first="falls-alone", other="catches-nobody"))
    key = town.key("--models", "falls-alone")
    until(lambda: town.fresh_get("/v1/models/falls-alone", key).status_code == 200)
    answer = town.post(key, "falls-alone")
    assert answer.status_code == 502
    assert town.event(answer.headers["x-request-id"])["model"] == "falls-alone"


def routes(model: str, kinds: tuple[str, ...], *, tiers: bool = True) -> str:
    """A model with a route for each of these, in tiers one after another, or all in one."""
    listed = [
        f'{{ upstream = "sandbox", model = "sandbox/{kind}", priority = {place if tiers else 1}, weight = 1 }}'
        for place, kind in enumerate(kinds, 1)
    ]
    lines = ["[[models]]", f'name = "{model}"', "context_window = 128000", "max_output_tokens = 4096"]
    return "\n".join([*lines, f"routes = [{', '.join(listed)}]", "[models.price]", 'input = "1.00"', 'output = "4.00"'])


def test_no_call_is_tried_more_than_four_times(product: Callable[..., Product]) -> None:
    one = product()
    kinds = ("500", "503", "529", "html", "error200", "echo")
    one.apply_defaults("echo", extra=routes("doomed", kinds))
    key = one.issue_key()["key"]
    until(lambda: one.post(key).status_code == 200)
    answer = one.post(key, "doomed")
    assert answer.status_code == 502
    assert answer.headers["x-tollgate-attempts"] == "4"


def refuse_second_credential(one: Product) -> None:
    """Give the sandbox's upstream another credential, which it refuses."""
    one.manage(
        "shell",
        "--command",
        "from proxy import upstreams; from proxy.models import Upstream; "
        "upstreams.set_credential(upstream=Upstream.objects.get(name='sandbox'), secret='sk-refused-by-the-sandbox', "
        "name='second')",
    )


def test_a_refused_credential_is_survived_counted_and_told(product: Callable[..., Product]) -> None:
    one = product()
    one.apply_defaults("echo", "fixed-0x20")
    refuse_second_credential(one)
    key = one.issue_key()["key"]
    until(lambda: one.post(key).status_code == 200)

    answers = [one.post(key, "sandbox/fixed-0x20") for _ in range(12)]
    tried = [int(answer.headers["x-tollgate-attempts"]) for answer in answers]

    assert [answer.status_code for answer in answers] == [200] * 12
    assert sum(tried) <= 13
    until(lambda: one.query("SELECT 1 FROM proxy_finding"))
    [(subject, times)] = one.query("SELECT subject, times FROM proxy_finding")
    assert (subject, times) == ("upstream sandbox refused credential second …dbox (401)", 1)
    log = one.child("gateway").tail()
    assert log.count("upstream sandbox refused credential …dbox (401)") == 1
    assert "sk-refused" not in log


def test_health_is_written_by_the_running_gateway(product: Callable[..., Product]) -> None:
    one = product()
    one.apply_defaults("echo", "500", "drop-3")
    key = one.issue_key()["key"]
    until(lambda: one.post(key).status_code == 200)
    one.post(key, stream=True)
    one.post(key, "sandbox/500")
    one.post(key, "sandbox/drop-3", text="a b c d e f", stream=True)
    one.stop_gateway()  # which writes down what is left

    def sums(model: str) -> tuple[Any, ...]:
        return one.query(
            "SELECT sum(successes), sum(server_errors), sum(broken), sum((SELECT sum(v) FROM unnest(first_token) v)) "
            "FROM proxy_routehealth WHERE model = %s",
            model,
        )[0]

    successes, server_errors, broken, first_tokens = sums("sandbox/echo")
    assert successes >= 2
    assert (server_errors, broken, first_tokens) == (0, 0, 1)
    assert sums("sandbox/500") == (0, 1, 0, 0)
    assert sums("sandbox/drop-3") == (0, 0, 1, 1)


def test_a_session_stays_with_its_route(product: Callable[..., Product]) -> None:
    one = product(workers=2)
    kinds = ("fixed-0x1", "fixed-0x2", "fixed-0x3", "fixed-0x4")
    one.apply_defaults("echo", extra=routes("spread", kinds, tiers=False))
    key = one.issue_key()["key"]
    until(lambda: all(httpx.get(f"{one.base_url}/models/spread", headers=bearer(key)).is_success for _ in range(8)))

    def served(**named: str) -> set[str]:
        headers = bearer(key) | ({"x-session-id": named["session"]} if "session" in named else {})
        more = {"prompt_cache_key": named["cache_key"]} if "cache_key" in named else {}
        answers = [
            httpx.post(f"{one.base_url}/chat/completions", json=body("spread", **more), headers=headers)
            for _ in range(10)
        ]
        return {answer.headers["x-tollgate-model"] for answer in answers}

    assert len(served()) > 1
    by_session = [served(session=f"chat-{number}") for number in range(6)]
    assert all(len(models) == 1 for models in by_session)
    assert len(set.union(*by_session)) > 1
    assert len(served(cache_key="prefix")) == 1
