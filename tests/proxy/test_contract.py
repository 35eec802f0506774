"""The gateway's contract over HTTP: every error's status, type, code and headers, and every way to ask."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from portal import key_format
from tests.deadline import until
from tests.proxy.refusals import error_of, refused
from tests.proxy.town import Town, bearer, body, chunks, text_of, uuid_of

pytestmark = pytest.mark.timeout(180)
COMPLETIONS = "/v1/chat/completions"
INVALID_KEY = {
    "error": {
        "message": "Invalid API key provided",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}


# -- who may call


def unknown_key() -> str:
    return key_format.generate().text


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Bearer sk-tg-" + "a" * 50, "Basic dXNlcjpwYXNz", "x" * 4_000,
     "Bearer ' OR 1=1; DROP TABLE billing_usageevent; --", "Bearer sk-proj-1234567890"],
)  # fmt: skip
def test_it_knows_no_malformed_key(town: Town, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = town.http.post(COMPLETIONS, json=body(), headers=headers)
    assert (answer.status_code, answer.json()) == (401, INVALID_KEY)
    error_of(answer)


def test_it_says_the_same_of_unknown_revoked_and_expired_keys(town: Town) -> None:
    revoked, soon = town.issue(), datetime.now(UTC) + timedelta(seconds=6)
    expiring = town.key("--expires", soon.isoformat())
    assert town.post(expiring).status_code == 200
    town.control.manage("revoke_key", revoked["id"])
    until(lambda: town.fresh_get("/v1/models", revoked["key"]).status_code == 401)
    until(lambda: datetime.now(UTC) > soon)
    for key in (unknown_key(), revoked["key"], expiring):
        answer = town.post(key)
        assert (answer.status_code, answer.json()) == (401, INVALID_KEY)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {}"},
        {"authorization": "bearer {}"},
        {"Authorization": "BEARER   {}"},
        {"authorization": "{}"},
        {"x-api-key": "{}"},
        {"api-key": "{}"},
        {"X-API-Key": "{}", "authorization": "Bearer {}"},
    ],
)
def test_it_takes_a_key_in_every_usual_header(town: Town, key: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(key) for name, value in headers.items()}
    assert town.http.post(COMPLETIONS, json=body(), headers=sent).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer {}"), ("x-api-key", "{other}")],
        [("x-api-key", "{}"), ("api-key", "{other}")],
        [("authorization", "Bearer {other}"), ("authorization", "Bearer {}")],
        [("x-api-key", "{other}"), ("x-api-key", "{}")],
    ],
)
def test_it_refuses_two_different_keys(town: Town, key: str, headers: list[tuple[str, str]]) -> None:
    sent = [(name, value.format(key, other=unknown_key())) for name, value in headers]
    refused(town.http.post(COMPLETIONS, json=body(), headers=sent), 400, "invalid_request_error", "invalid_api_key")


def test_a_key_reaches_only_its_models_by_every_name(town: Town) -> None:
    by_alias = town.key("--models", "talker")
    for name in ("talker", "acme.talker-latest", "acme/talker@2026-01"):
        assert town.post(by_alias, name).status_code == 200
    refused(town.post(by_alias, "sandbox/echo"), 403, "permission_error", "model_not_allowed", "model")
    other = town.key("--models", "sandbox/echo")
    for name in ("talker", "acme/talker@2026-01"):
        refused(town.post(other, name), 403, "permission_error", "model_not_allowed", "model")
    listed = town.http.get("/v1/models", headers=bearer(by_alias)).json()["data"]
    assert [model["id"] for model in listed] == ["acme.talker-latest", "acme/talker@2026-01", "talker"]


# -- what may be called


@pytest.mark.parametrize(
    "model",
    ["nothing", "Sandbox/echo", "sandbox/echo ", "../../v1/files", "https://evil.example/",
     "sandbox/echo\r\nx: y", "x" * 200],
)  # fmt: skip
def test_it_calls_nobody_for_a_model_that_does_not_exist(town: Town, key: str, model: str) -> None:
    answer = town.post(key, model)
    refused(answer, 404, "invalid_request_error", "model_not_found", "model")
    assert "x" * 65 not in answer.text
    assert town.charge(answer.headers["x-request-id"]) is None
    assert town.events("id = %s::uuid", uuid_of(answer.headers["x-request-id"])) == []


def test_it_never_sells_what_has_no_price(town: Town, key: str) -> None:
    answer = town.post(key, "unpriced")
    refused(answer, 503, "server_error", "price_unavailable")
    assert "retry-after" in answer.headers
    assert town.charge(answer.headers["x-request-id"]) is None


def test_a_model_without_a_route_is_unavailable_and_costs_nothing(town: Town, key: str) -> None:
    answer = town.post(key, "unrouted")
    refused(answer, 503, "server_error", "upstream_overloaded")
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["cost"]) == ("voided", 0)


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"[" * 100_000, "invalid_json", None),
        (b'{"model":"m"}', "missing_required_parameter", "messages"),
        (b'{"model":"sandbox/echo","messages":[{"role":"user","content":"x"}],"n":0}', "integer_below_min_value", "n"),
        (b'{"model":"sandbox/echo","messages":[{"role":["user"],"content":"x"}]}', "invalid_type", "messages[0].role"),
        (b'{"model":"sandbox/echo","messages":[{"role":"user","content":"x"}],"api_base":"x"}', "unknown_parameter",
         "api_base"),
        (b'{"model":"sandbox/echo","messages":[{"role":"user","content":"x"}],"x":' + b"[" * 500 + b"]" * 500 + b"}",
         "invalid_json", None),
    ],
)  # fmt: skip
def test_it_refuses_bad_requests(town: Town, key: str, raw: bytes, code: str, param: str | None) -> None:
    answer = town.http.post(COMPLETIONS, content=raw, headers=bearer(key))
    refused(answer, 400, "invalid_request_error", code, param)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions", "/v1/chat/completions/", "/v1//chat/completions", "//v1/chat/completions",
        "/v1/v1/chat/completions", "/chat/completions", "/v1/chat/completions?api-version=2024-10-21",
        "/openai/deployments/any/chat/completions?api-version=2024-10-21", "/openai/v1/chat/completions",
    ],
)  # fmt: skip
def test_it_finds_completions_however_the_path_is_written(town: Town, key: str, path: str) -> None:
    answer = town.http.post(path, json=body(), headers={"api-key": key})
    assert (answer.status_code, answer.history) == (200, [])


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nothing", "/v1/chat", "/api/v1/x", "/v1/%2e%2e/admin", "/v1/files"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_routes_are_json(town: Town, method: str, path: str) -> None:
    answer = town.http.request(method, path)
    refused(answer, 404, "invalid_request_error", None)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", COMPLETIONS, "POST"),
        ("PUT", COMPLETIONS, "POST"),
        ("DELETE", COMPLETIONS, "POST"),
        ("POST", "/v1/models", "GET"),
    ],
)
def test_wrong_methods_are_told_the_right_one(town: Town, method: str, path: str, allow: str) -> None:
    answer = town.http.request(method, path)
    refused(answer, 405, "invalid_request_error", "method_not_supported")
    assert allow in answer.headers["allow"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_the_content_type_does_not_matter(town: Town, key: str, content_type: str | None) -> None:
    headers = bearer(key) | ({} if content_type is None else {"content-type": content_type})
    assert town.http.post(COMPLETIONS, content=json.dumps(body()), headers=headers).status_code == 200


# -- answers


def test_the_id_is_the_same_everywhere(town: Town, key: str) -> None:
    answer = town.post(key, "sandbox/cached", text="one two three four five six seven")
    request_id = answer.headers["x-request-id"]
    assert answer.json()["id"] == "chatcmpl-" + request_id.removeprefix("req_")
    event = town.event(request_id)
    charge = town.charge(request_id)
    assert charge is not None
    usage = answer.json()["usage"]
    assert charge["prompt_tokens"] == event["prompt_tokens"] == usage["prompt_tokens"]
    assert charge["cached_tokens"] == event["cache_read"] > 0
    assert (event["state"], event["basis"], event["upstream"], event["upstream_model"]) == (
        "settled", "exact", "sandbox", "sandbox/cached",
    )  # fmt: skip
    cost = event["input"] * 10**6 + event["cache_read"] * 250_000 + event["output"] * 4 * 10**6
    assert event["cost"] == cost
    assert answer.json()["cost"] == {"amount": cost / 10**12, "currency": "USD"}
    assert float(answer.headers["x-tollgate-cost"]) == cost / 10**12
    for name in ("openai-processing-ms", "x-tollgate-overhead-ms", "x-tollgate-attempts", "x-tollgate-upstream"):
        assert name in answer.headers


def test_an_answer_names_the_model_as_it_was_asked_for(town: Town, key: str) -> None:
    for name in ("talker", "acme/talker@2026-01", "acme.talker-latest"):
        assert town.post(key, name).json()["model"] == name
        events = chunks(town.post(key, name, stream=True).text)
        assert {event["model"] for event in events} == {name}
    event = town.event(town.post(key, "talker").headers["x-request-id"])
    assert (event["model"], event["requested_model"]) == ("acme/talker@2026-01", "talker")


def test_non_ascii_text_arrives_whole(town: Town, key: str) -> None:
    text = "Grüße 漢字 🎉 \u2028 \ufffd 'quoted' \"x\""
    assert town.post(key, text=text).json()["choices"][0]["message"]["content"] == text
    assert text_of(chunks(town.post(key, text=text, stream=True).text)) == text


def test_nothing_of_the_client_reaches_the_upstream_and_nothing_of_the_upstream_the_client(
    town: Town, key: str
) -> None:
    for model in ("sandbox/echo", "sandbox/401", "sandbox/500", "sandbox/html"):
        answer = town.post(key, model)
        shown = answer.text + str(answer.headers)
        assert "upstream-secret" not in shown
        assert town.sandbox.url not in shown
        assert key not in shown
        assert "nginx" not in shown


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("400", 400, "invalid_value"),
        ("401", 502, "bad_gateway"),
        ("500", 502, "bad_gateway"),
        ("503", 503, "upstream_overloaded"),
        ("529", 503, "upstream_overloaded"),
        ("html", 502, "bad_gateway"),
        ("html200", 502, "bad_gateway"),
        ("error200", 502, "bad_gateway"),
        ("redirect", 502, "bad_gateway"),
        ("timeout", 504, "timeout"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_failures_of_the_upstream_are_real_statuses_and_free(
    town: Town, key: str, kind: str, status: int, code: str, stream: bool
) -> None:
    redirected = town.sandbox.stats()["redirected"]
    answer = town.post(key, f"sandbox/{kind}", stream=stream)
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["type"] == ("invalid_request_error" if status == 400 else "server_error")
    assert ("retry-after" in answer.headers) == (status == 503)
    event = town.event(answer.headers["x-request-id"])
    assert (event["state"], event["cost"], event["status"], event["error_code"]) == ("voided", 0, status, code)
    charge = town.charge(answer.headers["x-request-id"])
    assert charge is not None
    assert charge["attempts"] == event["attempts"] == 1
    assert town.sandbox.stats()["redirected"] == redirected


def test_a_rate_limited_upstream_is_left_alone_as_long_as_it_asked(town: Town, key: str) -> None:
    first = town.post(key, "sandbox/429-2")
    assert (first.status_code, first.headers["retry-after"]) == (503, "2")
    assert error_of(first)["code"] == "upstream_overloaded"
    answers = [town.post(key, "sandbox/429-2") for _ in range(6)]
    assert {answer.status_code for answer in answers} == {503}
    rested = [answer for answer in answers if town.charge(answer.headers["x-request-id"]) is None]
    assert rested
    assert all(1 <= int(answer.headers["retry-after"]) <= 2 for answer in rested)


# -- the other surfaces


def test_browsers_may_call(town: Town, key: str) -> None:
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "authorization, x-stainless-os, content-type"
    preflight = town.http.options(COMPLETIONS, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == asked["access-control-request-headers"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for sent in (bearer(key), {}):
        for path in (COMPLETIONS, "/v1/nothing"):
            answer = town.http.post(path, json=body(), headers={**sent, "origin": "https://app.example"})
            assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example")
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in preflight.headers


def test_the_envelope_is_around_answers_and_errors_under_api_v1_alone(town: Town, key: str) -> None:
    answer = town.http.post("/api/v1/chat/completions", content=json.dumps(body()), headers=bearer(key))
    wrapped = answer.json()
    assert (wrapped["success"], wrapped["code"], wrapped["message"]) == (True, "200", "successful")
    assert wrapped["data"]["choices"][0]["message"]["content"] == "Hello there"
    for sent, status in ((bearer(key), 404), ({}, 401)):
        failed = town.http.post("/api/v1/chat/completions", json=body("nothing"), headers=sent)
        assert (failed.status_code, failed.json()["success"], failed.json()["data"]) == (status, False, None)
        assert failed.json()["code"] == str(status)
    stream = town.http.post("/api/v1/chat/completions", json=body(stream=True), headers=bearer(key))
    assert text_of(chunks(stream.text)) == "Hello there"
    assert "success" not in town.post(key).json()


def test_models_are_listed_by_every_name(town: Town, key: str) -> None:
    listed = town.http.get("/v1/models", headers=bearer(key)).json()
    names = [model["id"] for model in listed["data"]]
    assert listed["object"] == "list"
    assert {"sandbox/echo", "talker", "acme/talker@2026-01"} <= set(names)
    for name in ("sandbox/echo", "talker", "acme/talker@2026-01", "acme%2Ftalker%402026-01"):
        model = town.http.get(f"/v1/models/{name}", headers=bearer(key)).json()
        assert model["id"] == name.replace("%2F", "/").replace("%40", "@")
        assert model["object"] == "model"
        assert model["price"]["input"] == "1.00"
    refused(
        town.http.get("/v1/models/nothing", headers=bearer(key)),
        404,
        "invalid_request_error",
        "model_not_found",
        "model",
    )
    refused(town.http.get("/v1/models"), 401, "invalid_request_error", "invalid_api_key")
