"""What a key may ask over HTTP: estimates, receipts and usage; and what a caller demands of a call in headers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from proxy import receipts
from tests.deadline import until
from tests.proxy.refusals import error_of
from tests.proxy.town import Town, bearer, body, chunks

pytestmark = pytest.mark.timeout(180)


def receipt(town: Town, key: str, shown: str) -> dict[str, Any]:
    """The receipt of a call that has ended."""

    def look() -> Any:
        answer = town.http.get(f"/v1/receipts/{shown}", headers=bearer(key))
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.json()["state"] != "open" else None

    found: dict[str, Any] = until(look)
    return found


def keys(town: Town) -> list[Ed25519PublicKey]:
    return list(receipts.public_keys(town.http.get("/v1/receipts/keys").json()).values())


# -- receipts


def test_a_receipt_says_what_the_call_cost_and_is_signed(town: Town) -> None:
    key = town.key()
    answer = town.post(key, "sandbox/reasoning-7")
    made = receipt(town, key, answer.json()["id"])
    assert made["id"] == answer.headers["x-request-id"]
    assert made["basis"] == "exact"
    assert Decimal(made["amount"]["amount"]) == Decimal(answer.headers["x-tollgate-cost"])
    assert sum(Decimal(line["amount"]) for line in made["lines"]) == Decimal(made["amount"]["amount"])
    assert {line["class"]: line["tokens"] for line in made["lines"]}["reasoning"] == 7
    assert (made["upstream"], made["upstream_model"]) == ("sandbox", "sandbox/reasoning-7")
    receipts.verify(made, keys(town)[0])
    with pytest.raises(receipts.ReceiptProblem):
        receipts.verify({**made, "model": "another"}, keys(town)[0])


def test_a_receipt_is_found_by_every_id_the_caller_saw_but_by_no_other_tenant(town: Town) -> None:
    key = town.key()
    answer = town.post(key)
    shown = answer.json()["id"]
    for name in (shown, answer.headers["x-request-id"], shown.removeprefix("chatcmpl-")):
        assert receipt(town, key, name)["id"] == answer.headers["x-request-id"]
    for name in ("req_" + "0" * 24, "nothing", "../keys", "req_" + "g" * 24):
        refused = town.http.get(f"/v1/receipts/{name}", headers=bearer(key))
        assert refused.status_code == 404
        error_of(refused)
    assert town.http.get(f"/v1/receipts/{shown}").status_code == 401


def test_a_receipt_is_there_after_a_hang_up(town: Town) -> None:
    key = town.key()
    with town.http.stream(
        "POST", "/v1/chat/completions", json=body("sandbox/paced-30x20", stream=True), headers=bearer(key)
    ) as answer:
        shown = answer.headers["x-request-id"]
        next(answer.iter_bytes())
    made = receipt(town, key, shown)
    assert made["client_gone"] is True
    assert Decimal(made["amount"]["amount"]) > 0


# -- estimates


def test_an_estimate_holds_what_the_call_will_cost(town: Town) -> None:
    key = town.key()
    asked = {**body("sandbox/fixed-0x20"), "max_tokens": 50}
    told = town.http.post("/v1/estimate", json=asked, headers=bearer(key)).json()
    answer = town.http.post("/v1/chat/completions", json=asked, headers=bearer(key))
    cost = Decimal(answer.headers["x-tollgate-cost"])
    assert Decimal(told["cost"]["min"]) <= cost <= Decimal(told["cost"]["max"])
    assert told["output_tokens"]["max"] == 50
    assert told["fits"] is True


def test_an_estimate_names_the_limit_that_would_bind(town: Town) -> None:
    key = town.key("--budget", "0.000001")
    told = town.http.post("/v1/estimate", json=body(), headers=bearer(key)).json()
    assert told["fits"] is False
    assert (told["binding"]["scope"], told["binding"]["limit"]) == ("api_key", "0.000001")
    refused = town.post(key)
    assert refused.status_code == 429
    assert refused.json()["error"]["limit"]["scope"] == told["binding"]["scope"]


def test_an_estimate_minds_the_run(town: Town) -> None:
    key = town.key()
    headers = {**bearer(key), "x-run-id": f"run-{key[-8:]}", "x-run-budget": "0.000001"}
    told = town.http.post("/v1/estimate", json=body(), headers=headers).json()
    assert (told["fits"], told["binding"]["scope"], told["binding"]["limit"]) == (False, "run", "0.000001")
    del headers["x-run-budget"]
    told = town.http.post("/v1/estimate", json=body(), headers=headers).json()
    assert told["binding"]["scope"] != "run", "an estimate sets no budget"
    call = {**headers, "x-run-budget": "1.00"}
    assert town.http.post("/v1/chat/completions", json=body(), headers=call).status_code == 200
    told = town.http.post("/v1/estimate", json=body(), headers=headers).json()
    assert (told["fits"], told["binding"]["scope"], told["binding"]["limit"]) == (True, "run", "1.00")


# -- usage


def test_usage_adds_up_what_a_key_used(town: Town) -> None:
    key = town.key()
    costs = [Decimal(town.post(key).headers["x-tollgate-cost"]) for _ in range(3)]

    def look() -> Any:
        told = town.http.get("/v1/usage", headers=bearer(key)).json()
        return told if told["requests"] == 3 else None

    told: dict[str, Any] = until(look)
    assert Decimal(told["cost"]) == sum(costs)
    assert [row["model"] for row in told["data"]] == ["sandbox/echo"]
    assert town.http.get("/v1/usage", headers=bearer(town.key())).json()["requests"] == 0


@pytest.mark.parametrize(
    "query", ["start=yesterday", "start=2020-01-01", "start=2030-01-01&end=2029-01-01", "end=9e99"]
)
def test_usage_refuses_times_that_are_none(town: Town, query: str) -> None:
    refused = town.http.get(f"/v1/usage?{query}", headers=bearer(town.key()))
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] in ("start", "end")


def test_usage_ends_now_whatever_end_is_asked_for(town: Town) -> None:
    told = town.http.get("/v1/usage?end=9999-12-31T23:59:59Z", headers=bearer(town.key()))
    assert (told.status_code, told.json()["requests"]) == (200, 0)


# -- demands


def test_a_call_never_costs_more_than_its_cap(town: Town) -> None:
    key = town.key()
    asked = body("sandbox/fixed-0x500", stream=True, stream_options={"include_usage": True})
    cap = "0.00015"
    answer = town.http.post("/v1/chat/completions", json=asked, headers={**bearer(key), "x-max-cost": cap})
    events = chunks(answer.text)
    assert events[-1]["usage"]["completion_tokens"] < 500
    assert 0 < Decimal(str(events[-1]["cost"]["amount"])) <= Decimal(cap)
    assert events[-1]["tollgate"] == {"limited_by": "x-max-cost"}
    assert [choice["finish_reason"] for event in events for choice in event["choices"]][-1] == "length"


def test_a_call_whose_input_alone_may_cost_more_than_its_cap_is_refused(town: Town) -> None:
    refused = town.http.post(
        "/v1/chat/completions", json=body(), headers={**bearer(town.key()), "x-max-cost": "0.0000001"}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "max_cost_too_low")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-max-cost", "five"),
        ("x-max-cost", "-1"),
        ("x-max-cost", "1e9"),
        ("x-run-id", "two words"),
        ("x-run-id", "a" * 129),
        ("x-run-budget", "1"),
    ],
)
def test_a_demand_that_cannot_be_read_is_refused_by_name(town: Town, name: str, value: str) -> None:
    refused = town.http.post("/v1/chat/completions", json=body(), headers={**bearer(town.key()), name: value})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith("x-")


def test_a_run_spends_no_more_than_its_budget(town: Town) -> None:
    key = town.key()
    asked = {**body("sandbox/fixed-0x100"), "max_tokens": 100}
    hold = Decimal(town.http.post("/v1/estimate", json=asked, headers=bearer(key)).json()["cost"]["max"])
    headers = {**bearer(key), "x-run-id": f"agent-{key[-8:]}", "x-run-budget": f"{hold * 2:f}"}
    answers: list[httpx.Response] = []
    while not answers or (answers[-1].status_code == 200 and len(answers) < 9):
        answers.append(town.http.post("/v1/chat/completions", json=asked, headers=headers))
    last = answers[-1]
    assert last.status_code == 429, "the run never met its budget"
    assert last.json()["error"]["limit"]["scope"] == "run"
    assert last.headers["x-should-retry"] == "false"
    assert sum(Decimal(answer.headers["x-tollgate-cost"]) for answer in answers[:-1]) <= hold * 2
    assert receipt(town, key, answers[0].json()["id"])["run_id"] == headers["x-run-id"]


@pytest.mark.parametrize("name", ["x-stainless-timeout", "x-stainless-read-timeout"])
def test_a_clients_patience_shortens_the_call(town: Town, name: str) -> None:
    refused = town.http.post(
        "/v1/chat/completions", json=body("sandbox/slow-1500"), headers={**bearer(town.key()), name: "1"}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (504, "timeout")


def test_a_stream_that_outlives_the_clients_patience_ends_as_a_timeout(town: Town) -> None:
    wanted = {**body("sandbox/paced-100x200"), "stream": True}
    answer = town.http.post(
        "/v1/chat/completions", json=wanted, headers={**bearer(town.key()), "x-stainless-timeout": "1"}
    )
    assert (answer.status_code, chunks(answer.text)[-1]["error"]["code"]) == (200, "timeout")
    assert town.event(answer.headers["x-request-id"])["error_code"] == "timeout"
