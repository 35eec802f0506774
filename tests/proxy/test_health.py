"""What is counted of real traffic per route, and what operators hear of refused credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils.timezone import now

from billing.meters import Usage
from portal.tenancy import as_operator
from proxy import quality, tasks
from proxy.buckets import BOUNDS_S, quantile
from proxy.directory import NO_RULES, Credential, Target
from proxy.health import Health
from proxy.models import Finding, RouteHealth
from proxy.postgres import Connection
from proxy.upstream import Kind
from tests.proxy.rows import Rows


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Rows(connection, database_url)


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Connection]:
    connection = Connection(database_url)
    yield connection
    await connection.close()


def shop(rows: Rows) -> tuple[int, int, int]:
    """An upstream, its credential and a route of it."""
    upstream = rows.insert("proxy_upstream", name="house", base_url="https://house.test", is_active=True)
    credential = rows.insert("proxy_credential", upstream_id=upstream, name="default", last_four="4321")
    model = rows.insert("proxy_model", name="swift", context_window=1, max_output_tokens=1)
    route = rows.insert("proxy_route", model_id=model, upstream_id=upstream, upstream_model="m", weight=1)
    return upstream, credential, route


def target(upstream: int, credential: int) -> Target:
    one = Credential(credential, "4321", (("authorization", "Bearer sk-secret"),), 99)
    return Target(upstream, "house", "openai", "https://house.test", (), NO_RULES, 1, 1, 1, 1, None, (one,))


def traffic(health: Health, route: int) -> None:
    health.answered(route, 0.4, Usage(input=5, output=20, reasoning=4))
    health.streamed(route, 0.2, 2.0, 100, False)
    health.streamed(route, 0.2, 2.0, 0, True)
    for kind in (Kind.TIMEOUT, Kind.OVERLOADED, Kind.AUTH, Kind.REFUSED):
        health.failed(route, kind)


async def test_counts_of_two_processes_add_up(rows: Rows, gateway: Connection) -> None:
    _, _, route = shop(rows)
    for _ in range(2):
        health = Health()
        traffic(health, route)
        health.failed(10**9, Kind.SERVER)  # a route that is gone
        await health.flush(gateway)
        await health.flush(gateway)
    found = rows.connection.execute(
        "SELECT sum(successes), sum(refused), sum(timeouts), sum(server_errors), sum(overloaded), sum(auth), "
        "sum(unreachable), sum(broken), sum(output_tokens), sum(output_ms), max(model) FROM proxy_routehealth"
    ).fetchone()
    assert found == (4, 2, 2, 0, 2, 2, 0, 2, 248, 4800, "swift")
    firsts = rows.run("SELECT sum(v) FROM proxy_routehealth, unnest(first_token) v")
    wholes = rows.run("SELECT sum(v) FROM proxy_routehealth, unnest(whole) v")
    assert (firsts, wholes) == (4, 2)


async def test_counts_are_kept_while_postgresql_is_away(rows: Rows, gateway: Connection) -> None:
    _, _, route = shop(rows)
    health = Health()
    traffic(health, route)
    away = Connection("postgresql://127.0.0.1:9/nowhere")
    with pytest.raises(OSError, match="failed"):
        await health.flush(away)
    health.answered(route, 0.1, None)
    await health.flush(gateway)
    assert rows.run("SELECT sum(successes) FROM proxy_routehealth") == 3


async def test_a_refused_credential_is_one_finding_without_its_secret(
    rows: Rows, gateway: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    upstream, credential, _ = shop(rows)
    one = target(upstream, credential)
    for _ in range(3):
        health = Health()
        for _ in range(5):
            health.refused(one, one.credentials[0], 401)
        await health.flush(gateway)
    found = rows.connection.execute("SELECT kind, subject, after, state, times FROM proxy_finding").fetchall()
    assert found == [("credential", "upstream house refused credential default …4321 (401)", "401", "open", 1)]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3  # one of each process
    assert "sk-secret" not in caplog.text
    rows.run("UPDATE proxy_finding SET seen_at = seen_at - interval '11 minutes'")
    health = Health()
    health.refused(one, one.credentials[0], 403)
    await health.flush(gateway)
    assert rows.connection.execute("SELECT after, times FROM proxy_finding").fetchall() == [("403", 2)]


async def test_the_gateway_may_not_touch_the_tables_themselves(rows: Rows, gateway: Connection) -> None:
    for table in ("proxy_routehealth", "proxy_routeprobe", "proxy_finding"):
        with pytest.raises(Exception, match="permission denied"):
            await gateway.fetch(f"SELECT * FROM {table}")  # noqa: S608 - constants


def test_weights_follow_the_last_minutes_and_recover() -> None:
    health = Health()
    told: list[Mapping[int, float]] = []
    health.on_factors = told.append
    for _ in range(40):
        health.failed(1, Kind.SERVER)
        health.answered(2, 0.1, None)
    health._weigh()
    assert told[-1] == {1: 0.1}
    health._records.clear()
    for _ in range(40):
        health._weigh()
    assert told[-1] == {}


def test_quantiles_are_right_to_a_fifth() -> None:
    counts = [0] * (len(BOUNDS_S) + 1)
    assert quantile(counts, 0.5) is None
    counts[BOUNDS_S.index(0.32)] = 90
    counts[BOUNDS_S.index(5.12)] = 10
    assert 0.22 < (quantile(counts, 0.5) or 0) <= 0.32
    assert 3.6 < (quantile(counts, 0.95) or 0) <= 5.12
    assert quantile([0] * len(BOUNDS_S) + [1], 0.5) == BOUNDS_S[-1]


@pytest.fixture
def seen(db: None) -> Any:
    """Two routes of one model with some hours of traffic, and one row that is too old."""
    from proxy.models import Model, Route, Upstream

    with as_operator():
        upstream = Upstream.objects.create(name="house", base_url="https://house.test")
        model = Model.objects.create(name="swift", context_window=1, max_output_tokens=1)
        routes = [Route.objects.create(model=model, upstream=upstream, upstream_model=name) for name in "ab"]
        buckets = [0] * (len(BOUNDS_S) + 1)
        buckets[10] = 4
        for route, ago in ((routes[0], 1), (routes[0], 2), (routes[1], 3), (routes[0], 91 * 24)):
            RouteHealth.objects.create(
                route=route, model="swift", starts_at=now() - timedelta(hours=ago), successes=9, broken=1, refused=5,
                output_tokens=500, output_ms=10_000, first_token=buckets, whole=[0] * len(buckets),
            )  # fmt: skip
        yield routes


def test_quality_is_read_by_route_and_by_model(seen: Any) -> None:
    routes = quality.of_routes(now=now(), span=quality.DAY)
    assert {route: each.attempts for route, each in routes.items()} == {seen[0].pk: 30, seen[1].pk: 15}
    assert set(quality.of_routes(now=now(), span=quality.DAY, routes=[seen[1].pk])) == {seen[1].pk}
    swift = quality.of_models(now=now(), span=quality.WEEK)["swift"]
    assert swift.successes == 27
    assert swift.uptime == 0.9
    assert swift.tokens_per_s == 50
    assert swift.first_token[10] == 12
    assert 0.2 < (swift.first_token_p95 or 0) < 0.33
    assert swift.whole_p50 is None
    assert quality.of_models(now=now(), span=quality.DAY, models=["other"]) == {}


def test_counts_are_forgotten_after_ninety_days(seen: Any) -> None:
    tasks.forget_health()
    assert RouteHealth.objects.count() == 3


def test_a_models_history_outlives_its_routes(seen: Any) -> None:
    seen[0].delete()
    assert quality.of_models(now=now(), span=quality.DAY)["swift"].successes == 27
    assert Finding.objects.count() == 0
