"""Probes of routes: what they see, what they find, and that nothing is found twice."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from portal.tenancy import as_operator
from proxy import outbound, tasks, upstreams, verification
from proxy.addresses import AddressProblem
from proxy.models import Finding, Model, Route, RouteProbe, Upstream
from proxy.outbound import Request
from tests.sandbox_process import SandboxProcess

START = datetime.fromisoformat("2026-11-01T00:00:00+00:00")
KINDS = Finding.Kind


class Shop:
    """Routes to the sandbox, and probes of them, an hour apart."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.hours = 0

    def route(self, kind: str, dialect: str = "openai", base: str = "/v1", **rules: Any) -> Route:
        """A route to a model of the sandbox."""
        upstream = Upstream.objects.create(name=f"u-{kind}-{dialect}", dialect=dialect, base_url=self.url + base)
        upstreams.set_credential(upstream=upstream, secret="sk-upstream-0123456789")
        model = Model.objects.create(name=f"m-{kind}-{dialect}", context_window=1, max_output_tokens=1, rules=rules)
        return Route.objects.create(model=model, upstream=upstream, upstream_model=kind)

    def probe(self, route: Route, kind: str = "") -> RouteProbe:
        """One more probe, of what the upstream has become."""
        if kind:
            Route.objects.filter(pk=route.pk).update(upstream_model=kind)
        self.hours += 1
        [probe] = verification.probe_routes(now=START + timedelta(hours=self.hours), route_ids=[route.pk])
        return probe


@pytest.fixture
def shop(db: None, sandbox: SandboxProcess, settings: Any) -> Iterator[Shop]:
    settings.ALLOW_PRIVATE_UPSTREAMS = True
    with as_operator():
        yield Shop(sandbox.url)


def found() -> list[tuple[str, str, str]]:
    return sorted(Finding.objects.filter(state="open").values_list("kind", "before", "after"))


@pytest.mark.parametrize(
    ("kind", "dialect", "base"),
    [
        ("sandbox/echo", "openai", "/v1"),
        ("sandbox-echo", "anthropic", "/anthropic"),
        ("sandbox-echo", "gemini", "/gemini"),
    ],
)
def test_a_probe_keeps_what_it_saw_in_every_dialect(shop: Shop, kind: str, dialect: str, base: str) -> None:
    probe = shop.probe(shop.route(kind, dialect, base))

    assert probe.trouble == ""
    assert probe.reported_model == kind
    assert len(probe.prompt_tokens) == len(probe.completion_tokens) == len(probe.latency_ms) == 3
    assert all(probe.prompt_tokens)
    assert all(0 < count <= 16 for count in probe.completion_tokens)
    assert probe.fingerprint == ("fp_sandbox01" if dialect == "openai" else "")


def test_embeddings_are_probed_as_such_and_models_that_only_draw_not_at_all(shop: Shop) -> None:
    assert shop.probe(shop.route("sandbox/echo", operations=["embeddings"])).prompt_tokens[0] > 0
    drawing = shop.route("sandbox/image", operations=["images"])
    assert verification.probe_routes(now=START, route_ids=[drawing.pk]) == []


def test_nothing_is_found_while_nothing_changes(shop: Shop) -> None:
    route = shop.route("sandbox/echo")
    for _ in range(7):
        shop.probe(route)
    assert [one for one in found() if one[0] != KINDS.LATENCY] == []


def test_another_reported_model_and_other_token_counts_are_found_once(shop: Shop) -> None:
    route = shop.route("sandbox/echo")
    first = shop.probe(route)
    counts = ", ".join(map(str, first.prompt_tokens))
    others = ", ".join(str(count + 4) for count in first.prompt_tokens)

    for _ in range(3):
        shop.probe(route, "sandbox/audio")

    expected = [(KINDS.MODEL, "sandbox/echo", "sandbox/audio"), (KINDS.TOKENS, counts, others)]
    assert [one for one in found() if one[0] != KINDS.LATENCY] == expected
    model = Finding.objects.get(kind=KINDS.MODEL)
    assert (model.route_id, model.upstream_id) == (route.pk, route.upstream_id)
    assert model.subject.endswith("sandbox/audio: reported model changed")


def test_an_acknowledged_finding_makes_the_new_state_the_one_to_keep(shop: Shop) -> None:
    route = shop.route("sandbox/echo")
    for kind in ("sandbox/echo", "sandbox/echo", "sandbox/json"):
        shop.probe(route, kind)
    finding = Finding.objects.get(kind=KINDS.MODEL)

    assert verification.acknowledge(finding, actor=None, now=now())
    assert not verification.acknowledge(finding, actor=None, now=now())
    shop.probe(route)
    assert not Finding.objects.filter(kind=KINDS.MODEL, state="open").exists()

    shop.probe(route, "sandbox/cached")
    assert Finding.objects.get(kind=KINDS.MODEL, state="open").before == "sandbox/json"


def test_a_route_that_got_much_slower_is_found(shop: Shop) -> None:
    route = shop.route("sandbox/fixed-20x5")
    for _ in range(verification.LEAST_FOR_LATENCY):
        shop.probe(route)
    Finding.objects.all().delete()
    shop.probe(route, "sandbox/fixed-900x5")
    assert KINDS.LATENCY in [kind for kind, _, _ in found()]


def test_one_slow_probe_is_not_judged_by_few(shop: Shop) -> None:
    route = shop.route("sandbox/fixed-0x5")
    shop.probe(route)
    shop.probe(route, "sandbox/fixed-900x5")
    assert KINDS.LATENCY not in [kind for kind, _, _ in found()]


def test_two_failures_in_a_row_are_found_and_one_is_not(shop: Shop) -> None:
    route = shop.route("sandbox/500")
    assert shop.probe(route).trouble == "The upstream answered with 500."
    assert found() == []
    shop.probe(route, "sandbox/echo")
    shop.probe(route, "sandbox/500")
    assert [one for one in found() if one[0] == KINDS.FAILING] == []
    shop.probe(route, "sandbox/html200")
    assert (KINDS.FAILING, "The upstream answered with 500.", "The upstream's answer cannot be read.") in found()


def test_nobody_there_is_trouble_in_plain_words(shop: Shop) -> None:
    route = shop.route("sandbox/echo")
    Upstream.objects.update(base_url="http://127.0.0.1:9/v1")
    assert shop.probe(route).trouble == "It could not be reached: nothing listens there."


def test_those_that_waited_longest_are_due_and_inactive_ones_never(shop: Shop) -> None:
    routes = [shop.route(f"sandbox/fixed-0x{number}") for number in range(1, 5)]
    Route.objects.filter(pk=routes[3].pk).update(is_active=False)
    shop.probe(routes[1])
    shop.probe(routes[0])

    def due(hours: float, most: int = 8) -> list[int]:
        moment = START + timedelta(hours=hours)
        return [route.pk for route in verification.due(now=moment, every=timedelta(hours=6), most=most)]

    assert set(due(3)) == {routes[2].pk}
    assert set(due(9)) == {routes[0].pk, routes[1].pk, routes[2].pk}


def test_the_job_probes_what_is_due_and_can_be_off(shop: Shop, settings: Any) -> None:
    route = shop.route("sandbox/echo")
    settings.PROBE_HOURS = 0
    tasks.probe_due_routes()
    assert route.probes.count() == 0
    settings.PROBE_HOURS = 6
    tasks.probe_due_routes()
    tasks.probe_due_routes(something="new")
    assert route.probes.count() == 1


def test_the_command_tells_what_came_back(shop: Shop) -> None:
    route, out = shop.route("sandbox/echo"), StringIO()
    call_command("probe_routes", "--route", str(route.pk), "--json", stdout=out)
    [told] = json.loads(out.getvalue())
    assert told["route"] == route.pk
    assert told["reported_model"] == "sandbox/echo"
    with pytest.raises(CommandError):
        call_command("probe_routes", "--route", "999999")


def test_probes_are_forgotten_after_ninety_days(shop: Shop) -> None:
    route = shop.route("sandbox/echo")
    shop.probe(route)
    assert verification.forget(now=START + timedelta(days=89)) == 0
    assert verification.forget(now=START + timedelta(days=92)) == 1


# -- the address of what the control plane calls


def test_a_name_is_resolved_once_and_its_checked_address_connected_to(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALLOW_PRIVATE_UPSTREAMS = False
    asked: list[str] = []

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        """Public at first; whoever asks again is led home. Nothing is connected to."""
        asked.append(host)
        if host == "rebinding.test" and asked.count(host) == 1:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))]
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    request = Request("https://rebinding.test/v1", "/models", (("authorization", "Bearer sk-secret"),))
    with pytest.raises(httpx.ConnectError):
        outbound.send(request, timeout=httpx.Timeout(2), within_s=2)
    assert asked == ["rebinding.test", "1.1.1.1"]


def test_a_name_that_leads_to_a_private_address_is_not_called(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALLOW_PRIVATE_UPSTREAMS = False
    home = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: home)
    with pytest.raises(AddressProblem):
        outbound.send(Request("https://home.test/v1", "/models", ()), timeout=httpx.Timeout(2), within_s=2)
